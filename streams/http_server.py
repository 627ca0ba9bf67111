"""HTTP servers of the gateway and the console: uvicorn with TLS and limits, without signal handlers; bearer tokens."""

from __future__ import annotations

import asyncio
import hmac
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from socket import socket
from typing import Any, Final, cast

import msgspec
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from streams.listening import Bounds, Listening, Slot, cut_off
from streams.tls import Tls

_HEAD_BYTES: Final = 16 * 1024
"""Request line and headers together."""


class HttpTimes(msgspec.Struct, frozen=True):
    """How long a client of an HTTP listener may take, in seconds."""

    head: float = 10.0
    """From the opening of the connection, or the answer before, to the last byte of the headers."""
    body: float = 60.0
    """From there to the last byte of the body."""
    answer: float = 20.0
    """To read on, once what it was sent fills the buffers."""


class Server(uvicorn.Server):
    """`serve(sockets)` runs in the caller's loop until `should_exit` is set; signals are the process's own business."""

    def __init__(self, config: uvicorn.Config, name: str, bounds: Bounds, times: HttpTimes) -> None:
        super().__init__(config)
        self._name, self._bounds, self._times = name, bounds, times

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install no handlers."""
        yield

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Accept within the bounds, in place of `asyncio.Server`, which has none."""
        await self.lifespan.startup()
        assert sockets

        def protocol(slot: Slot) -> asyncio.Protocol:
            return _Connection(self, slot)

        # Its sockets are closed by it, before uvicorn closes them again, which does nothing.
        listening = Listening(self._name, sockets, self._bounds, protocol, self.config.ssl)
        self.servers = [cast("asyncio.Server", listening)]
        listening.start()
        self.started = True

    def late(self, why: str) -> None:
        """A client took too long."""
        cut_off(self._name, why)

    @property
    def times(self) -> HttpTimes:
        """What its connections may take."""
        return self._times


class _Connection(H11Protocol):
    """uvicorn's connection with a deadline for the headers, the body and the reading of the answer.

    No deadline runs while the application works.
    """

    def __init__(self, server: Server, slot: Slot) -> None:
        super().__init__(config=server.config, server_state=server.server_state, app_state=server.lifespan.state)
        self._server, self._slot = server, slot
        self._phase: tuple[str, Any] = ("", None)
        self._deadline: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._bound()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        for timer in (self._deadline, self._stalled):
            if timer is not None:
                timer.cancel()
        self._slot.release()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._bound()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._bound()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = self.loop.call_later(self._server.times.answer, self._late, "answer")

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()

    def _bound(self) -> None:
        """Set the deadline of the phase that the connection is in, where that is another one than before."""
        cycle = self.cycle
        if cycle is not None and cycle.more_body:
            phase, seconds = "body", self._server.times.body
        elif cycle is None or cycle.response_complete:
            phase, seconds = "head", self._server.times.head
        else:
            phase, seconds = "work", None
        if (phase, cycle) == self._phase:
            return
        self._phase = (phase, cycle)
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self._late, phase)

    def _late(self, why: str) -> None:
        if not self.transport.is_closing():
            self._server.late(why)
        self.transport.abort()


def http_server(
    app: ASGIApp, tls: Tls | None, name: str, bounds: Bounds, times: HttpTimes | None = None, *, drain: int = 10
) -> Server:
    """A server for `app`, called `name` in metrics; requests in flight have `drain` seconds once it stops.

    Raises OSError (ssl.SSLError) for TLS files that cannot be used.
    """
    certified = tls is not None and tls.client_ca is not None
    config = uvicorn.Config(
        app,
        http=H11Protocol,
        ws="none",
        log_config=None,
        log_level="error",  # a warning for each malformed request would be a way to fill the log
        access_log=False,
        server_header=False,
        lifespan="off",
        # A request whose client is gone goes on, waiting for Kafka perhaps: no more of them than connections.
        limit_concurrency=bounds.connections + 1,
        h11_max_incomplete_event_size=_HEAD_BYTES,
        timeout_graceful_shutdown=drain,
        ssl_certfile=None if tls is None else str(tls.certificate),
        ssl_keyfile=None if tls is None else str(tls.key),
        ssl_ca_certs=str(tls.client_ca) if tls is not None and certified else None,
        ssl_cert_reqs=ssl.CERT_REQUIRED if certified else ssl.CERT_NONE,
    )
    return Server(config, name, bounds, times or HttpTimes())


def bearer_of(authorization: str) -> str:
    """The token of an `Authorization: Bearer …` header (RFC 6750, section 2.1); "" when there is none."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def same_secret(given: str, expected: str) -> bool:
    """Whether two secrets are equal, in a time that does not depend on where they differ. An empty one never is."""
    return bool(expected) and hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())
