"""Routes of the console. Read-only: nothing here writes to Kafka, or anywhere."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from threading import Event, Lock
from typing import Final

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from console.auth import Authentication
from console.metrics import ViewMetrics
from console.page import page, sections
from console.view import ConsoleView
from streams.health import Detail

EVERY_SECONDS: Final = 2.0
STREAMS: Final = 64
"""Most open event streams; further pages poll every few seconds instead."""
_STATIC: Final = Path(__file__).parent / "static"


class Probes(msgspec.Struct, frozen=True):
    """Liveness and readiness of the console itself: called at each request, and quick."""

    alive: Callable[[], Detail]
    ready: Callable[[], Detail]


class CachedView:
    """Builds the view at most twice a second, whatever the number of requests. Any thread may call it."""

    def __init__(self, current: Callable[[], ConsoleView]) -> None:
        self._current, self._lock = current, Lock()
        self._at = float("-inf")
        self._view: ConsoleView | None = None
        self._sections: dict[str, str] = {}

    def view(self) -> ConsoleView:
        """The view, at most half a second old."""
        return self._fresh()[0]

    def sections(self) -> dict[str, str]:
        """Its sections as HTML."""
        return self._fresh()[1]

    def _fresh(self) -> tuple[ConsoleView, dict[str, str]]:
        with self._lock:
            if self._view is None or time.monotonic() - self._at > 0.5:
                self._view = self._current()
                self._sections = sections(self._view)
                self._at = time.monotonic()
            return self._view, self._sections


def build(
    current: Callable[[], ConsoleView], probes: Probes, stopping: Event, token: str | None = None, secure: bool = False
) -> Starlette:
    """The ASGI application. Event streams end soon after `stopping` is set. `secure`: it is served over TLS."""
    cached = CachedView(current)
    registry = CollectorRegistry()
    registry.register(ViewMetrics(cached.view))
    open_streams = 0

    async def index(_: Request) -> Response:
        return HTMLResponse(page(cached.view()))

    async def state(_: Request) -> Response:
        return Response(msgspec.json.encode(cached.view()), media_type="application/json")

    async def fragments(_: Request) -> Response:
        return JSONResponse(cached.sections())

    async def events(_: Request) -> Response:
        if open_streams >= STREAMS:
            return Response(status_code=503)
        return StreamingResponse(stream(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})

    async def stream() -> AsyncIterator[bytes]:
        nonlocal open_streams
        open_streams += 1
        sent: dict[str, str] = {}
        try:
            while not stopping.is_set():
                now = cached.sections()
                changed = {name: html for name, html in now.items() if sent.get(name) != html}
                sent = now
                yield b"data: " + msgspec.json.encode(changed) + b"\n\n"
                until = time.monotonic() + EVERY_SECONDS
                while time.monotonic() < until and not stopping.is_set():
                    await asyncio.sleep(0.1)
        finally:
            open_streams -= 1

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    def probe(check: Callable[[], Detail]) -> Callable[[Request], Awaitable[Response]]:
        async def answer(_: Request) -> Response:
            good, values = check()
            return JSONResponse(dict(values), 200 if good else 503)

        return answer

    return Starlette(
        routes=[
            Route("/", index),
            Route("/api/state", state),
            Route("/sections", fragments),
            Route("/events", events),
            Route("/metrics", metrics),
            Route("/livez", probe(probes.alive)),
            Route("/readyz", probe(probes.ready)),
            Mount("/static", StaticFiles(directory=_STATIC)),
        ],
        middleware=[Middleware(Authentication, token=token, secure=secure)],
    )
