"""HTTP servers of the gateway and the console: uvicorn with TLS, without signal handlers, and bearer tokens."""

from __future__ import annotations

import hmac
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from streams.tls import Tls


class Server(uvicorn.Server):
    """`serve()` runs in the caller's loop until `should_exit` is set; signals are the process's own business."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install no handlers."""
        yield


def http_server(app: ASGIApp, tls: Tls | None, *, host: str = "127.0.0.1", port: int = 0, drain: int = 10) -> Server:
    """A server for `app`; requests in flight have `drain` seconds once it stops. Port 0 takes a free one.

    `host` and `port` have no effect when `serve(sockets=…)` is given sockets. Raises OSError (ssl.SSLError) for TLS
    files that cannot be used.
    """
    certified = tls is not None and tls.client_ca is not None
    return Server(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            timeout_graceful_shutdown=drain,
            ssl_certfile=None if tls is None else str(tls.certificate),
            ssl_keyfile=None if tls is None else str(tls.key),
            ssl_ca_certs=str(tls.client_ca) if tls is not None and certified else None,
            ssl_cert_reqs=ssl.CERT_REQUIRED if certified else ssl.CERT_NONE,
        )
    )


def bearer_of(authorization: str) -> str:
    """The token of an `Authorization: Bearer …` header (RFC 6750, section 2.1); "" when there is none."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def same_secret(given: str, expected: str) -> bool:
    """Whether two secrets are equal, in a time that does not depend on where they differ. An empty one never is."""
    return bool(expected) and hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())
