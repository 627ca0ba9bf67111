"""`directory`: the member directory in Redis, as a process."""

from __future__ import annotations

import signal
from typing import Any

import structlog
import typer

from agents.topics import IDENTITY_FACTS, LINKS, ROSTER, UNATTRIBUTED
from handoff import target
from handoff.declarations.rules import load_rules
from handoff.exits import faults_exit_2
from handoff.logs import configure
from streams.directory import DirectoryKeeper
from streams.health import HealthServer


def directory() -> None:
    """Keep the member directory until SIGTERM. Of several, one works and the others take over when it ends.

    Exit 0 stopped, 2 settings or rules are wrong.
    """
    settings = target.settings()
    configure()
    url = settings.redis.url.get_secret_value()
    target.require(settings, redis=True)
    with faults_exit_2():
        words = load_rules(settings.paths.rules).vocabulary
    named = settings.kafka.actual
    keeper = DirectoryKeeper(
        settings.kafka,
        url,
        key=settings.directory.key(),
        words=words,
        roster=named(ROSTER),
        unattributed=named(UNATTRIBUTED),
        facts=named(IDENTITY_FACTS),
        links=named(LINKS),
    )

    def stop(*_: Any) -> None:
        keeper.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    try:
        health = HealthServer(settings.health.host, settings.health.port, keeper.alive, keeper.ready)
    except OSError as error:
        typer.echo(f"HANDOFF_HEALTH__PORT: {error.strerror or error}", err=True)
        raise typer.Exit(2) from error
    structlog.get_logger("directory").info("health", address=f"http://{settings.health.host}:{health.port}")
    try:
        keeper.run()
    finally:
        health.stop()
