"""`directory`: the member directory in Redis, as a process."""

from __future__ import annotations

import signal
from typing import Any

from agents.topics import IDENTITY_FACTS, LINKS, ROSTER, UNATTRIBUTED
from handoff import target
from handoff.logs import configure
from streams.directory import DirectoryKeeper
from streams.health import HealthServer


def directory() -> None:
    """Keep the member directory until SIGTERM. Exactly one should run. Exit 0 stopped, 2 settings are wrong."""
    settings = target.settings()
    configure()
    url = settings.redis.url.get_secret_value()
    target.require(settings, redis=True)
    named = settings.kafka.actual
    keeper = DirectoryKeeper(
        settings.kafka,
        url,
        key=settings.directory.key(),
        roster=named(ROSTER),
        unattributed=named(UNATTRIBUTED),
        facts=named(IDENTITY_FACTS),
        links=named(LINKS),
    )

    def stop(*_: Any) -> None:
        keeper.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    health = HealthServer(settings.health.host, settings.health.port, keeper.alive, keeper.ready)
    try:
        keeper.run()
    finally:
        health.stop()
