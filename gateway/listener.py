"""The MLLP port: accepts connections within limits, watches their deadlines, and drains them at the end."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import Counter
from typing import Final

import msgspec
import structlog

from gateway import metrics
from gateway.ingress import Ingress
from gateway.mllp import Connection, Timeouts
from gateway.tls import Tls, peer_name, server_context

_log = structlog.get_logger("gateway")
_SWEEP_SECONDS: Final = 0.1
_HANDSHAKE_SECONDS: Final = 10.0
_BUFFER: Final = 65_536


class Keepalive(msgspec.Struct, frozen=True):
    """How a peer that vanished without a word is noticed (after two minutes, as it stands here).

    After `idle` seconds of silence the kernel asks, every `interval` seconds, and gives up after `probes` questions.
    """

    idle: int = 60
    interval: int = 10
    probes: int = 6


class MllpConfig(msgspec.Struct, frozen=True):
    """Where to listen and whom to let in. Port 0 takes a free one."""

    host: str = "127.0.0.1"
    port: int = 2575
    connections: int = 500
    connections_per_peer: int = 200
    patience: Timeouts = Timeouts()
    keepalive: Keepalive = Keepalive()
    tls: Tls | None = None


class Listener:
    """Serves MLLP between `start` and `stop`."""

    def __init__(self, intake: Ingress, door: MllpConfig) -> None:
        self._intake, self._door = intake, door
        self._connections: dict[Connection, asyncio.Task[None]] = {}
        self._by_peer: Counter[str] = Counter()
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self.stopping = False
        self.port = 0
        """The port it listens on, from `start` on."""

    @property
    def open_connections(self) -> int:
        """How many connections are being served."""
        return len(self._connections)

    async def start(self) -> None:
        """Opens the port. Raises OSError, or ssl.SSLError for a certificate that cannot be used."""
        tls: ssl.SSLContext | None = None if self._door.tls is None else server_context(self._door.tls)
        self._server = await asyncio.start_server(
            self._connected,
            self._door.host,
            self._door.port,
            ssl=tls,
            ssl_handshake_timeout=None if tls is None else _HANDSHAKE_SECONDS,
            limit=_BUFFER,
            backlog=512,
        )
        self.port = int(self._server.sockets[0].getsockname()[1])
        self._sweeper = asyncio.create_task(self._sweep())

    async def stop(self, seconds: float) -> int:
        """Lets nobody in any more, finishes the messages in flight, closes; cuts off what is left after `seconds`.

        Gives the number of connections that had to be cut off.
        """
        self.stopping = True
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.stop()
        tasks = list(self._connections.values())
        late: set[asyncio.Task[None]] = set()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=seconds)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=5)
        if self._sweeper is not None:
            self._sweeper.cancel()
        return len(late)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = str((writer.get_extra_info("peername") or ("unknown",))[0])
        if why := self._no_room(address):
            metrics.TURNED_AWAY.labels(why).inc()
            _log.warning("connection turned away", why=why)
            writer.transport.abort()
            return
        _keep_alive(writer.get_extra_info("socket"), self._door.keepalive)
        peer = peer_name(writer.get_extra_info("peercert"), address, self._intake.profiles)
        connection = Connection(reader, writer, peer, self._intake, self._door.patience)
        task = asyncio.current_task()
        assert task is not None
        self._connections[connection] = task
        self._by_peer[address] += 1
        metrics.CONNECTIONS.inc()
        try:
            await connection.serve()
            # Closing waits for the other side to read the last answer: the sweeper ends it when that takes too long.
            await writer.wait_closed()
        except OSError:
            pass
        finally:
            writer.transport.abort()
            del self._connections[connection]
            self._by_peer[address] -= 1
            if not self._by_peer[address]:
                del self._by_peer[address]
            metrics.CONNECTIONS.dec()

    def _no_room(self, address: str) -> str:
        if self.stopping:
            return "stopping"
        if len(self._connections) >= self._door.connections:
            return "total"
        if self._by_peer[address] >= self._door.connections_per_peer:
            return "peer"
        return ""

    async def _sweep(self) -> None:
        """Ends connections that take too long. One look at all of them is cheaper than a timer for each read."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            now = loop.time()
            for connection in [each for each in self._connections if each.deadline < now]:
                connection.cut_off()


def _keep_alive(connection: socket.socket, keepalive: Keepalive) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    names = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT")
    for name, value in zip(names, msgspec.structs.astuple(keepalive), strict=True):
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
