"""Health server of a process: `/livez`, `/readyz` and `/metrics` on a thread of its own, up before the work starts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from functools import partial
from threading import Thread
from typing import Any, Final

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from streams.listening import Bounds, Listening, Slot, cut_off, open_sockets, port_of

Detail = tuple[bool, Mapping[str, Any]]
Probe = Callable[[], Detail]
_NAME: Final = "health"
MOST_CONNECTIONS: Final = 64
_PER_PEER: Final = 32
_SECONDS: Final = 5.0
"""For the request to be whole, and once more for its answer to be read."""
_HEAD_BYTES: Final = 8192
_STATUS: Final = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    503: "Service Unavailable",
}


class HealthServer:
    """Answers 200 or 503 with a JSON detail. Each request calls `alive` or `ready`, on the server's thread.

    One request a connection, 64 connections (32 of one address), each for ten seconds at most.
    """

    def __init__(self, host: str, port: int, alive: Probe, ready: Probe) -> None:
        """Port 0 takes a free one. Raises OSError for a taken port."""
        sockets = open_sockets(host, port)
        self.port = port_of(sockets)
        """The port it listens on."""
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        routes: Mapping[str, Callable[[], Answer]] = {
            "/livez": partial(_probe, alive),
            "/readyz": partial(_probe, ready),
            "/metrics": _metrics,
        }

        async def serve() -> None:
            bounds = Bounds(MOST_CONNECTIONS, _PER_PEER)
            listening = Listening(_NAME, sockets, bounds, partial(_Request, routes))
            listening.start()
            await self._stopping.wait()
            listening.close()

        def run() -> None:
            self._loop.run_until_complete(serve())
            self._loop.close()

        self._thread = Thread(target=run, name=_NAME, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop listening."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()


Answer = tuple[int, str, bytes]
"""Status, content type, body."""


def _probe(check: Probe) -> Answer:
    good, values = check()
    return 200 if good else 503, "application/json", json.dumps(values).encode() + b"\n"


def _metrics() -> Answer:
    return 200, CONTENT_TYPE_LATEST, generate_latest()


class _Request(asyncio.Protocol):
    """One connection: reads the head of one request, answers, closes. Takes no body."""

    def __init__(self, routes: Mapping[str, Callable[[], Answer]], slot: Slot) -> None:
        self._routes, self._slot = routes, slot
        self._head = b""
        self._answered = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._deadline = asyncio.get_running_loop().call_later(_SECONDS, self._late, "head")

    def connection_lost(self, _: Exception | None) -> None:
        self._deadline.cancel()
        self._slot.release()

    def data_received(self, data: bytes) -> None:
        if self._answered:
            return
        self._head += data
        if b"\r\n\r\n" in self._head or b"\n\n" in self._head:
            self._say(*self._answer())
        elif len(self._head) > _HEAD_BYTES:
            self._say(400, "text/plain", b"the request is too long\n")

    def _answer(self) -> Answer:
        words = self._head.split(b"\n", 1)[0].decode("latin-1").split()
        if len(words) != 3:
            return 400, "text/plain", b"not an HTTP request\n"
        if words[0] != "GET":
            return 405, "text/plain", b"GET only\n"
        route = self._routes.get(words[1].partition("?")[0])
        return (404, "text/plain", b"not found\n") if route is None else route()

    def _say(self, status: int, kind: str, body: bytes) -> None:
        self._answered = True
        self._deadline.cancel()
        self._deadline = asyncio.get_running_loop().call_later(_SECONDS, self._late, "answer")
        head = f"HTTP/1.1 {status} {_STATUS[status]}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        self._transport.write(head.encode() + b"Connection: close\r\n\r\n" + body)
        self._transport.close()

    def _late(self, why: str) -> None:
        cut_off(_NAME, why)
        self._transport.abort()
