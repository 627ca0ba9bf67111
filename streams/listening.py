"""TCP listeners with limits, the same for MLLP, HTTP and health: connections in total and of one address, and file
descriptors that one listener leaves to the others (docs/operations.md#limits-of-the-listeners).
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import structlog

from streams.descriptors import descriptor_limit
from streams.metrics import ACCEPT_FAULTS, CONNECTIONS, CUT_OFF, TURNED_AWAY

_BACKLOG: Final = 512
_AT_ONCE: Final = 64
"""Connections accepted before the loop does something else."""
_HANDSHAKE_SECONDS: Final = 10.0
_RETRY_SECONDS: Final = 1.0
"""After an accept that failed, which for want of descriptors it would do again at once."""
_QUIET_SECONDS: Final = 60.0
_OWN_DESCRIPTORS: Final = 64
"""What a process has open beside connections: Kafka, files, the loops."""
_LEAST: Final = 128
"""What a listener that leaves descriptors to others has itself, the process's own included."""
_log = structlog.get_logger("listening")


class Bounds(msgspec.Struct, frozen=True):
    """How many connections a listener holds, in total and from one address.

    `spare` descriptors are left to others: it never holds one of that many highest numbers below the process's limit.
    """

    connections: int
    per_peer: int
    spare: int = 0


def spare_for(connections: int) -> int:
    """The descriptors that a listener leaves to so many connections of others: what they need, and the process's own.

    Where the process's limit is too low for it, the others have all but `_LEAST`, and a warning is logged.
    """
    wanted, limit = connections + _OWN_DESCRIPTORS, descriptor_limit()
    most = max(limit - _LEAST, limit // 2)
    if wanted > most:
        _log.warning("few descriptors: raise the limit (ulimit -n)", limit=limit, wanted=wanted + _LEAST)
    return min(wanted, most)


class Seldom:
    """Log lines of one kind, at most one a minute; each has the number of happenings since the one before it."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, ...]] = Counter()
        self._next: dict[tuple[str, ...], float] = {}

    def warn(self, event: str, **fields: str) -> None:
        """Log `event`, or count it for the next line with the same fields, of which there must be few."""
        kind = (event, *fields.values())
        self._counts[kind] += 1
        now = time.monotonic()
        if now >= self._next.get(kind, 0.0):
            self._next[kind] = now + _QUIET_SECONDS
            _log.warning(event, **fields, count=self._counts.pop(kind))


_seldom: Final = Seldom()


def turned_away(listener: str, why: str) -> None:
    """A connection was closed at once: `why` is the limit (total, peer, descriptors) or "stopping"."""
    TURNED_AWAY.labels(listener, why).inc()
    _seldom.warn("connections turned away", listener=listener, why=why)


def cut_off(listener: str, why: str) -> None:
    """A connection was ended for taking too long over `why`."""
    CUT_OFF.labels(listener, why).inc()
    _seldom.warn("connections cut off", listener=listener, why=why)


class Slot:
    """The place of one connection in its listener's counts, held from the accept until `release`."""

    def __init__(self, listening: Listening, address: str) -> None:
        self.address = address
        self._listening: Listening | None = listening

    def release(self) -> None:
        """Give the place back; a second time does nothing."""
        if self._listening is not None:
            self._listening.left(self.address)
            self._listening = None


Protocol = Callable[[Slot], asyncio.Protocol]
"""Makes the protocol of one connection, which releases the slot once the connection costs nothing any more."""


def open_sockets(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen on every address of `host`, all on one port; port 0 takes a free one. Raises OSError."""
    found: list[socket.socket] = []
    addresses = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    try:
        for family, _, _, _, address in dict.fromkeys(addresses):
            there = (str(address[0]), port or (port_of(found) if found else 0), *address[2:])
            found.append(socket.create_server(there, family=family, backlog=_BACKLOG))
            found[-1].setblocking(False)
    except OSError:
        for each in found:
            each.close()
        raise
    return found


def port_of(sockets: Sequence[socket.socket]) -> int:
    """The port that they listen on."""
    return int(sockets[0].getsockname()[1])


class Listening:
    """Accepts connections between `start` and `close`, in the running loop, within its bounds.

    Over a bound a connection is accepted and closed at once: a peer that waits in the kernel's queue would not know.
    """

    def __init__(
        self,
        name: str,
        sockets: Sequence[socket.socket],
        bounds: Bounds,
        protocol: Protocol,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`name` is the listener's in metrics and log lines. The sockets are closed with it."""
        self.name, self._sockets, self._bounds = name, list(sockets), bounds
        self.port = port_of(sockets)
        self._protocol, self._tls = protocol, tls
        self._loop = asyncio.get_running_loop()
        self._by_peer: Counter[str] = Counter()
        self._held = 0
        self._beginning: set[asyncio.Task[None]] = set()
        self._closed = False

    def start(self) -> None:
        """Accept from now on."""
        for each in self._sockets:
            self._resume(each)

    def close(self) -> None:
        """Accept no more; connections that have begun go on."""
        self._closed = True
        for each in self._sockets:
            self._loop.remove_reader(each)
            each.close()
        self._sockets.clear()

    async def wait_closed(self) -> None:
        """Returns at once; `asyncio.Server` has it."""

    def left(self, address: str) -> None:
        """A connection from `address` has ended (`Slot.release`)."""
        self._held -= 1
        CONNECTIONS.labels(self.name).dec()
        self._by_peer[address] -= 1
        if not self._by_peer[address]:
            del self._by_peer[address]

    def _resume(self, listening: socket.socket) -> None:
        if not self._closed:
            self._loop.add_reader(listening, self._accept, listening)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                connection, peer = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                ACCEPT_FAULTS.labels(self.name).inc()
                _seldom.warn("accept failed", listener=self.name, error=error.strerror or type(error).__name__)
                self._loop.remove_reader(listening)
                self._loop.call_later(_RETRY_SECONDS, self._resume, listening)
                return
            address = str(peer[0])
            if why := self._no_room(address, connection.fileno()):
                connection.close()
                turned_away(self.name, why)
                continue
            connection.setblocking(False)
            self._held += 1
            CONNECTIONS.labels(self.name).inc()
            self._by_peer[address] += 1
            task = self._loop.create_task(self._begin(connection, Slot(self, address)))
            self._beginning.add(task)
            task.add_done_callback(self._beginning.discard)

    def _no_room(self, address: str, number: int) -> str:
        """The bound that one more connection from `address` would exceed; "" for none."""
        if self._held >= self._bounds.connections:
            return "total"
        if self._by_peer[address] >= self._bounds.per_peer:
            return "peer"
        # A new descriptor has the lowest free number. So the highest `spare` numbers are never this listener's, however
        # many connections it is asked for, and stay for the others.
        if self._bounds.spare and number >= descriptor_limit() - self._bounds.spare:
            return "descriptors"
        return ""

    async def _begin(self, connection: socket.socket, slot: Slot) -> None:
        """Make the connection's protocol, after the TLS handshake; from then on the slot is the protocol's."""
        try:
            await self._loop.connect_accepted_socket(
                lambda: self._protocol(slot),
                connection,
                ssl=self._tls,
                ssl_handshake_timeout=None if self._tls is None else _HANDSHAKE_SECONDS,
            )
        except OSError:  # the handshake failed, took too long, or the peer is gone
            connection.close()
            slot.release()
        except BaseException:
            connection.close()
            slot.release()
            raise
