"""The console's routes. Reads only: nothing here writes to Kafka, or anywhere."""

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

from console.auth import Guard
from console.metrics import ScreenMetrics
from console.page import page, sections
from console.view import ConsoleView
from streams.health import Detail

EVERY_SECONDS: Final = 2.0
STREAMS: Final = 64
"""Open event streams; whoever comes after asks every few seconds instead."""
_STATIC: Final = Path(__file__).parent / "static"


class Probes(msgspec.Struct, frozen=True):
    """How the console itself is: asked at each request, quick to answer."""

    alive: Callable[[], Detail]
    ready: Callable[[], Detail]


class CachedView:
    """One look for all who ask within half a second."""

    def __init__(self, look: Callable[[], ConsoleView]) -> None:
        self._look, self._lock = look, Lock()
        self._at = float("-inf")
        self._screen: ConsoleView | None = None
        self._sections: dict[str, str] = {}

    def screen(self) -> ConsoleView:
        """The screen as it is, or was just now."""
        return self._take()[0]

    def sections(self) -> dict[str, str]:
        """Its sections as HTML."""
        return self._take()[1]

    def _take(self) -> tuple[ConsoleView, dict[str, str]]:
        with self._lock:
            if self._screen is None or time.monotonic() - self._at > 0.5:
                self._screen = self._look()
                self._sections = sections(self._screen)
                self._at = time.monotonic()
            return self._screen, self._sections


def build(
    look: Callable[[], ConsoleView], probes: Probes, stopping: Event, token: str | None = None, secure: bool = False
) -> Starlette:
    """The app. Event streams end soon after `stopping` is set. `secure`: it is served over TLS."""
    glance = CachedView(look)
    registry = CollectorRegistry()
    registry.register(ScreenMetrics(glance.screen))
    open_streams = 0

    async def index(_: Request) -> Response:
        return HTMLResponse(page(glance.screen()))

    async def state(_: Request) -> Response:
        return Response(msgspec.json.encode(glance.screen()), media_type="application/json")

    async def fragments(_: Request) -> Response:
        return JSONResponse(glance.sections())

    async def events(_: Request) -> Response:
        if open_streams >= STREAMS:
            return Response(status_code=503)
        return StreamingResponse(stream(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})

    async def stream() -> AsyncIterator[bytes]:
        nonlocal open_streams
        open_streams += 1
        told: dict[str, str] = {}
        try:
            while not stopping.is_set():
                now = glance.sections()
                news = {name: html for name, html in now.items() if told.get(name) != html}
                told = now
                yield b"data: " + msgspec.json.encode(news) + b"\n\n"
                until = time.monotonic() + EVERY_SECONDS
                while time.monotonic() < until and not stopping.is_set():
                    await asyncio.sleep(0.1)
        finally:
            open_streams -= 1

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    def probe(ask: Callable[[], Detail]) -> Callable[[Request], Awaitable[Response]]:
        async def answer(_: Request) -> Response:
            good, said = ask()
            return JSONResponse(dict(said), 200 if good else 503)

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
        middleware=[Middleware(Guard, token=token, secure=secure)],
    )
