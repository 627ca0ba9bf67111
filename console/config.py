"""How the console is configured, with its defaults."""

from __future__ import annotations

import msgspec

from streams.health import DEFAULT_PORT as HEALTH_PORT
from streams.tls import Tls


class ConsoleConfig(msgspec.Struct, frozen=True):
    """Where the console listens, which token it requires, and where it answers probes. Port 0 takes a free one.

    Without a token it serves requests for this machine's own names only.
    """

    host: str = "127.0.0.1"
    port: int = 8585
    token: str | None = None
    tls: Tls | None = None
    health_host: str = "127.0.0.1"
    health_port: int = HEALTH_PORT
