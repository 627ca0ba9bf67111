"""The MLLP port: accepts connections within limits, enforces their deadlines, and drains them at the end."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from typing import Final

import msgspec

from gateway import metrics, signals
from gateway.config import Keepalive, MllpConfig
from gateway.ingress import Ingress
from gateway.mllp import Connection
from gateway.peers import peer_name
from streams.tls import server_context

_SWEEP_SECONDS: Final = 0.1
_HANDSHAKE_SECONDS: Final = 10.0
_BUFFER: Final = 65_536


class Listener:
    """Serves MLLP between `start` and `stop`."""

    def __init__(self, ingress: Ingress, config: MllpConfig) -> None:
        self._ingress, self._config = ingress, config
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
        """Listen. Raises OSError, or ssl.SSLError for a certificate that cannot be used."""
        tls = None if self._config.tls is None else server_context(self._config.tls)
        self._server = await asyncio.start_server(
            self._connected,
            self._config.host,
            self._config.port,
            ssl=tls,
            ssl_handshake_timeout=None if tls is None else _HANDSHAKE_SECONDS,
            limit=_BUFFER,
            backlog=512,
        )
        self.port = int(self._server.sockets[0].getsockname()[1])
        self._sweeper = asyncio.create_task(self._sweep())

    async def stop(self, seconds: float) -> int:
        """Accept no more, finish the messages in flight, close; cut off what is left after `seconds`.

        Returns the number of connections that had to be cut off.
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
            signals.turned_away(why)
            writer.transport.abort()
            return
        _set_keepalive(writer.get_extra_info("socket"), self._config.keepalive)
        peer = peer_name(writer.get_extra_info("peercert"), address, self._ingress.profiles)
        connection = Connection(reader, writer, peer, self._ingress, self._config.timeouts, self._config.limit)
        task = asyncio.current_task()
        assert task is not None
        self._connections[connection] = task
        self._by_peer[address] += 1
        metrics.CONNECTIONS.inc()
        try:
            await connection.serve()
            # Closing waits until the peer has read the last answer; the sweeper ends it when that takes too long.
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
        """The limit that one more connection from `address` would exceed; "" for none."""
        if self.stopping:
            return "stopping"
        if len(self._connections) >= self._config.connections:
            return "total"
        if self._by_peer[address] >= self._config.connections_per_peer:
            return "peer"
        return ""

    async def _sweep(self) -> None:
        """End connections that take too long. One pass over all of them is cheaper than a timer for each read."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            now = loop.time()
            for connection in [each for each in self._connections if each.deadline < now]:
                connection.cut_off()


def _set_keepalive(connection: socket.socket, keepalive: Keepalive) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    names = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT")
    for name, value in zip(names, msgspec.structs.astuple(keepalive), strict=True):
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
