"""`console`: the operations page as a process; `up` starts it too."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import typer

from agents.graph import groups
from console.config import ConsoleConfig, Topics
from console.serve import PortTaken, serve
from handoff import target
from handoff.embedded.tether import started_at
from handoff.logs import configure
from handoff.settings import Settings


def console(
    app: Annotated[str, typer.Option(help="The application's name: its groups begin with it.")] = "handoff",
) -> None:
    """Serve the operations page until SIGTERM: lag, feeds, dead letters, candidates as counts; no data of persons.

    Exit 0 stopped, 2 settings are wrong or a port is taken.
    """
    settings = target.here()
    configure()
    if not settings.kafka.bootstrap:
        typer.echo("HANDOFF_KAFKA__BOOTSTRAP: not set, and no handoff runs on this machine", err=True)
        raise typer.Exit(2)
    try:
        code = serve(
            settings.kafka,
            groups(app),
            config(settings),
            processes=processes(settings.kafka.bootstrap),
            topics=settings.kafka.actual_all(Topics()),
        )
    except PortTaken as taken:
        typer.echo(
            f"{taken} cannot be listened on: set HANDOFF_CONSOLE__PORT or HANDOFF_HEALTH__PORT to another port",
            err=True,
        )
        raise typer.Exit(2) from taken
    raise typer.Exit(code)


def config(settings: Settings) -> ConsoleConfig:
    """The console that the settings describe."""
    given = settings.console
    return ConsoleConfig(
        host=given.host,
        port=given.port,
        token=given.token.get_secret_value() if given.token is not None else None,
        tls=given.tls,
        health_host=settings.health.host,
        health_port=settings.health.port,
        connections=given.max_connections,
        connections_per_peer=given.max_connections_per_peer,
    )


def processes(bootstrap: str) -> Callable[[], Sequence[Mapping[str, Any]]]:
    """A function that lists the processes of `handoff up` here; none when they use another Kafka than `bootstrap`."""

    def found() -> Sequence[Mapping[str, Any]]:
        state = target.running()
        if state is None or state.get("bootstrap") != bootstrap:
            return ()
        pid = state.get("pid")
        if not isinstance(pid, int) or started_at(pid) != state.get("started"):
            return ()
        listed = state.get("processes")
        return listed if isinstance(listed, list) else ()

    return found
