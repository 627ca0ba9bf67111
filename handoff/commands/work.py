"""`work`: one worker of one stage, for real deployments; `up` starts these too."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from agents import reconcile, refer
from agents.stage import Stage
from domain.refusal import BadDeclaration
from handoff import place
from handoff.declarations.rules import load_rules
from handoff.declarations.senders import load_senders
from handoff.logs import configure
from handoff.settings import Settings
from streams.directory import RedisLookup
from streams.engine.options import EngineOptions
from streams.worker import run_worker


class StageName(StrEnum):
    """The stages there are, in order of flow."""

    reconcile = "reconcile"
    refer = "refer"


def work(
    stage: Annotated[StageName, typer.Option(help="Which stage this worker runs.")],
    slot: Annotated[int, typer.Option(min=0, help="This worker's stable number within its stage.")] = 0,
) -> None:
    """Run one worker until SIGTERM. Exit 0 stopped, 2 the topics or files are wrong, 70 crashed on purpose."""
    settings = place.settings()
    configure()
    try:
        built = build(stage.value, settings)
    except BadDeclaration as wrong:
        for fault in wrong.faults:
            typer.echo(fault, err=True)
        raise typer.Exit(2) from wrong
    lookup = None
    if stage is StageName.reconcile:
        lookup = RedisLookup(settings.redis.url.get_secret_value())
    raise typer.Exit(run_worker(built, settings.kafka, slot=slot, options=options(settings), lookup=lookup))


def build(stage: str, settings: Settings) -> Stage:
    """A stage with the declarations that the settings name. Raises BadDeclaration."""
    if stage == "reconcile":
        return reconcile.stage(load_senders(settings.paths.senders))
    return refer.stage(load_rules(settings.paths.rules))


def options(settings: Settings) -> EngineOptions:
    """The engine's options from the settings."""
    work = settings.work
    return EngineOptions(
        max_records=work.chunk_max_records,
        linger=work.linger_ms / 1000,
        session=work.session_timeout_ms / 1000,
        transaction=work.transaction_timeout_ms / 1000,
        tick_every=work.tick_seconds,
        health_host=settings.health.host,
        health_port=settings.health.port,
    )
