"""The MLLP port: accepts connections within limits, enforces their deadlines, and drains them at the end."""

from __future__ import annotations

import asyncio
import socket
from functools import partial
from typing import Final

import msgspec

from gateway.config import Keepalive, MllpConfig
from gateway.ingress import Ingress
from gateway.mllp import Connection
from gateway.peers import peer_name
from streams.listening import Bounds, Listening, Slot, cut_off, open_sockets, turned_away
from streams.tls import server_context

NAME: Final = "mllp"
_SWEEP_SECONDS: Final = 0.1
_BUFFER: Final = 65_536


class Listener:
    """Serves MLLP between `start` and `stop`."""

    def __init__(self, ingress: Ingress, config: MllpConfig) -> None:
        self._ingress, self._config = ingress, config
        self._connections: dict[Connection, asyncio.Task[None]] = {}
        self._listening: Listening | None = None
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
        config = self._config
        tls = None if config.tls is None else server_context(config.tls)
        bounds = Bounds(config.connections, config.connections_per_peer)
        self._listening = Listening(NAME, open_sockets(config.host, config.port), bounds, self._protocol, tls)
        self._listening.start()
        self.port = self._listening.port
        self._sweeper = asyncio.create_task(self._sweep())

    async def stop(self, seconds: float) -> int:
        """Accept no more, finish the messages in flight, close; cut off what is left after `seconds`.

        Returns the number of connections that had to be cut off.
        """
        self.stopping = True
        if self._listening is not None:
            self._listening.close()
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

    def _protocol(self, slot: Slot) -> asyncio.Protocol:
        loop = asyncio.get_running_loop()
        return asyncio.StreamReaderProtocol(
            asyncio.StreamReader(_BUFFER, loop), partial(self._connected, slot), loop=loop
        )

    async def _connected(self, slot: Slot, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.stopping:
            turned_away(NAME, "stopping")
            writer.transport.abort()
            slot.release()
            return
        address = slot.address
        _set_keepalive(writer.get_extra_info("socket"), self._config.keepalive)
        peer = peer_name(writer.get_extra_info("peercert"), address, self._ingress.profiles)
        connection = Connection(reader, writer, peer, self._ingress, self._config.timeouts, self._config.limit)
        task = asyncio.current_task()
        assert task is not None
        self._connections[connection] = task
        try:
            await connection.serve()
            # Closing waits until the peer has read the last answer; the sweeper ends it when that takes too long.
            await writer.wait_closed()
        except OSError:
            pass
        finally:
            writer.transport.abort()
            del self._connections[connection]
            # Not sooner: a message whose sender is gone still waits for Kafka.
            slot.release()

    async def _sweep(self) -> None:
        """End connections that take too long. One pass over all of them is cheaper than a timer for each read."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            now = loop.time()
            for connection in [each for each in self._connections if each.deadline < now]:
                cut_off(NAME, connection.waits_for)
                connection.cut_off()


def _set_keepalive(connection: socket.socket, keepalive: Keepalive) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    names = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT")
    for name, value in zip(names, msgspec.structs.astuple(keepalive), strict=True):
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
