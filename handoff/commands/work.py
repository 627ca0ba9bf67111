"""`work`: one worker of one stage as a process; `up` starts these too."""

from __future__ import annotations

from typing import Annotated

import typer

from agents.graph import RECONCILE
from handoff import target
from handoff.exits import faults_exit_2
from handoff.logs import configure
from handoff.stages import StageName, as_shadow, build, options
from streams.directory_lookup import RedisLookup
from streams.shadow import APP, group_prefix
from streams.worker import run_worker


def work(
    stage: Annotated[StageName, typer.Option(help="Which stage this worker runs.")],
    slot: Annotated[int, typer.Option(min=0, help="This worker's stable number within its stage.")] = 0,
    shadow: Annotated[
        str | None,
        typer.Option(help="Run beside the live system: same inputs, its own outputs (see `handoff shadow`)."),
    ] = None,
) -> None:
    """Run one worker until SIGTERM. Exit 0 stopped, 2 the topics or files are wrong, 70 crashed on purpose.

    With --shadow NAME it reads what the live workers read and writes only to topics of its own, under a group of its
    own. Make them first with `handoff shadow create NAME`.
    """
    settings = target.settings() if shadow is None else target.here()
    configure()
    app = APP
    with faults_exit_2():
        built, chosen = build(stage.value, settings), options(settings)
        if shadow is not None:
            built, app = as_shadow(stage.value, shadow, settings), group_prefix(shadow)
    target.require(settings, redis=stage.value == RECONCILE.name)
    lookup = None
    if stage.value == RECONCILE.name:
        lookup = RedisLookup(settings.redis.url.get_secret_value())
    raise typer.Exit(run_worker(built, settings.kafka, slot=slot, app_id=app, options=chosen, lookup=lookup))
