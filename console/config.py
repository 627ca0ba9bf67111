"""How the console is configured, with its defaults."""

from __future__ import annotations

import msgspec

from agents.topics import ADT_RAW, ALERTS, CANDIDATES, DEAD_LETTERS, UNATTRIBUTED, WATCHLIST
from streams.tls import Tls


class Topics(msgspec.Struct, frozen=True):
    """The topics that the console reads, as the cluster calls them."""

    raw: str = ADT_RAW
    dead_letters: str = DEAD_LETTERS
    candidates: str = CANDIDATES
    watchlist: str = WATCHLIST
    unattributed: str = UNATTRIBUTED
    alerts: str = ALERTS

    @property
    def every(self) -> tuple[str, ...]:
        """All of them."""
        return msgspec.structs.astuple(self)


class ConsoleConfig(msgspec.Struct, frozen=True):
    """Where the console listens, which token it requires, and where it answers probes. Port 0 takes a free one.

    Without a token it serves requests for this machine's own names only.
    """

    host: str = "127.0.0.1"
    port: int = 8585
    token: str | None = None
    tls: Tls | None = None
    health_host: str = "127.0.0.1"
    health_port: int = 0
    connections: int = 256
    connections_per_peer: int = 128
