"""`shadow`: a trial run beside the live system, with topics and groups of its own."""

from __future__ import annotations

from typing import Annotated

import typer

from handoff import target
from handoff.commands.topics import File, Json, declared
from handoff.exits import faults_exit_2
from handoff.output import as_json, err, needs_kafka, out
from handoff.stages import StageName, build_declared
from streams.shadow import StillRunning, create, drop, topics_for, topics_of

shadow_app = typer.Typer(
    no_args_is_help=True,
    help="A trial run beside the live system: the same inputs, other outputs. Nothing live is written.\n\n"
    "[bold]handoff shadow create next[/], then `handoff work --stage reconcile --shadow next` and "
    "`handoff work --stage refer --shadow next` (with the new code or HANDOFF_PATHS__RULES), then "
    "`handoff compare live next`, then `handoff shadow drop next`.",
)
Name = Annotated[str, typer.Argument(metavar="NAME", help="The shadow's name: lower-case letters, digits, hyphens.")]


@shadow_app.command("create")
@needs_kafka
def create_(
    name: Name,
    stage: Annotated[
        StageName | None, typer.Option(help="Shadow this stage alone (refer then reads the live visits).")
    ] = None,
    file: File = None,
    json_: Json = False,
) -> None:
    """Create the shadow's topics: one for each that its stages write to, with as many partitions as the live one."""
    settings = target.here()
    kafka = target.kafka()
    with faults_exit_2():
        stages = [build_declared(each.value, settings) for each in ([stage] if stage is not None else StageName)]
        topics = topics_for(name, stages, declared(file).for_environment(settings.environment), kafka)
    _report(create(kafka, topics), "created", json_)


@shadow_app.command("list")
@needs_kafka
def list_(json_: Json = False) -> None:
    """The topics of all shadows."""
    _report(topics_of(target.kafka()), "there", json_)


@shadow_app.command("drop")
@needs_kafka
def drop_(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    json_: Json = False,
) -> None:
    """Remove a shadow's topics and groups for good. Exit 1 while one of its workers still runs."""
    kafka = target.kafka()
    try:
        with faults_exit_2():
            if not yes:
                for topic in topics_of(kafka, name):
                    err.print(f"- {topic}", markup=False)
                typer.confirm("Remove these topics with their records?", abort=True, err=True)
            _report(drop(kafka, name, [each.value for each in StageName]), "removed", json_)
    except StillRunning as group:
        err.print(f"A worker of group {group} still runs: stop it, then drop the shadow.", markup=False)
        raise typer.Exit(1) from group


def _report(topics: list[str], what: str, json_: bool) -> None:
    if json_:
        as_json({what: topics})
        return
    for topic in topics:
        out.print(topic, markup=False)
    out.print(f"{len(topics)} topics {what}")
