"""`topics`: compare the declaration in topics.yaml with the cluster. Nothing here deletes a topic."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import typer
from confluent_kafka.admin import AdminClient
from rich.progress import Progress, TextColumn

from agents.graph import NODES, describe, mermaid
from handoff import target
from handoff.exits import faults_exit_2
from handoff.output import as_json, err, needs_kafka, out
from handoff.stages import StageName, build_declared
from streams.migrate import Move, copy, finish, moves, sizes, what_is_busy
from streams.topics import Plan, Topic, Topics, apply, cluster_state, kafka_topics_commands, load_topics, plan, strimzi

topics_app = typer.Typer(
    no_args_is_help=True, help="The topics that handoff needs: check, plan, create, export, migrate."
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Environment = Annotated[
    str | None, typer.Option("--env", help="Environment of topics.yaml; the settings' if not given.")
]
File = Annotated[Path | None, typer.Option("--file", help="Another topics.yaml.")]


def declared(file: Path | None) -> Topics:
    """The declaration, or exit 2 with every fault."""
    with faults_exit_2():
        return load_topics(file or target.here().paths.topics)


def declared_for(environment: str | None, file: Path | None) -> tuple[Topic, ...]:
    """The topics of one environment, or exit 2."""
    topics = declared(file)
    with faults_exit_2():
        settings = target.here()
        return topics.for_environment(environment or settings.environment, settings.kafka.topics)


@topics_app.command()
def validate(file: File = None, json_: Json = False) -> None:
    """Check topics.yaml for itself; needs no cluster. Exit 2 with every fault and its line."""
    topics = declared(file)
    if json_:
        as_json({"topics": topics.names, "environments": topics.environments})
        return
    out.print(f"{len(topics.names)} topics, environments {', '.join(topics.environments)}: no fault")


@topics_app.command("graph")
def graph_(
    json_: Json = False,
    mermaid_: Annotated[bool, typer.Option("--mermaid", help="Print a Mermaid flowchart.")] = False,
) -> None:
    """What flows where: each process, the topics it reads and writes, and its state. Needs no cluster."""
    if json_:
        as_json([msgspec.to_builtins(node) for node in NODES])
    elif mermaid_:
        out.print(mermaid(), markup=False, soft_wrap=True)
    else:
        out.print(describe(), markup=False, soft_wrap=True)


@topics_app.command("plan")
@needs_kafka
def plan_(environment: Environment = None, file: File = None, json_: Json = False) -> None:
    """What `apply` would change. Exit 1 when something is wanted that cannot be done safely."""
    _show(_planned(_admin(), declared_for(environment, file)), json_)


@topics_app.command("apply")
@needs_kafka
def apply_(environment: Environment = None, file: File = None, json_: Json = False) -> None:
    """Create what is missing and set what differs. With anything refused (exit 1) nothing is done."""
    wanted = declared_for(environment, file)
    admin = _admin()
    planned = _planned(admin, wanted)
    _show(planned, json_)
    apply(admin, planned)


@topics_app.command()
def export(
    to: Annotated[Literal["strimzi", "kafka-topics"], typer.Option("--to", help="For which tool.")] = "strimzi",
    environment: Environment = None,
    file: File = None,
    cluster: Annotated[str, typer.Option(help="Name of the Strimzi Kafka resource.")] = "kafka",
    json_: Json = False,
) -> None:
    """Print the topics for another tool: Strimzi's KafkaTopic resources, or kafka-topics.sh commands."""
    topics = declared_for(environment, file)
    if json_:
        as_json([msgspec.to_builtins(topic) for topic in topics])
        return
    typer.echo(strimzi(topics, cluster) if to == "strimzi" else kafka_topics_commands(topics), nl=False)


@topics_app.command()
@needs_kafka
def migrate(
    to_partitions: Annotated[
        int, typer.Option("--to-partitions", min=1, max=1000, help="Partitions of each new topic.")
    ],
    suffix: Annotated[str, typer.Option("--suffix", help="Version of the new topics, as v2.")] = "v2",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be copied; write nothing.")] = False,
    environment: Environment = None,
    file: File = None,
    json_: Json = False,
) -> None:
    """Move all co-partitioned topics to new versions with another partition count; the old ones stay as they are.

    Inputs and rows are copied record by record, each once, however often this is started and stopped. It may run while
    the system works; to finish, stop listeners and workers and run it again: it then copies the rest, sets the workers'
    positions and prints how to switch. Exit 0 done, 1 not finished (with the reason), 2 the new topics are in the way.
    """
    settings, kafka = target.here(), target.kafka()
    topics = declared(file).for_environment(environment or settings.environment)
    with faults_exit_2():
        plan_of_move = moves(topics, kafka, suffix, to_partitions)
        stages = [build_declared(each.value, settings) for each in StageName]
        if dry_run:
            counts = {move.old: sizes(kafka, move) for move in plan_of_move}
            _report_dry_run(plan_of_move, counts, json_)
            return
        busy = what_is_busy(kafka, stages)
        with Progress(
            TextColumn("{task.description}"), TextColumn("{task.completed} records"), console=err
        ) as progress:
            task = progress.add_task("copying", total=None)
            copied = copy(kafka, plan_of_move, suffix, lambda count: progress.update(task, completed=count))
        if not busy:
            finish(kafka, plan_of_move, stages, topics)
    names = {move.topic.name: move.new for move in plan_of_move}
    if json_:
        as_json({"copied": copied, "finished": not busy, "busy": busy, "topics": names})
    else:
        for topic, count in copied.items():
            out.print(f"{count:>9}  {topic} -> {next(m.new for m in plan_of_move if m.old == topic)}", markup=False)
    if busy:
        err.print(
            "Not finished: " + "; ".join(busy) + ". Stop them, let the workers catch up first, and run this again."
        )
        raise typer.Exit(1)
    if not json_:
        _report_switch(plan_of_move, to_partitions)


def _report_dry_run(planned: list[Move], counts: dict[str, int], json_: bool) -> None:
    if json_:
        as_json([{"from": m.old, "to": m.new, "partitions": m.partitions, "records": counts[m.old]} for m in planned])
        return
    for move in planned:
        what = f"{counts[move.old]} offsets to copy" if move.copied else "not copied"
        out.print(f"{move.old} -> {move.new} ({move.partitions} partitions): {what}", markup=False)


def _report_switch(planned: list[Move], partitions: int) -> None:
    names = json.dumps({move.topic.name: move.new for move in planned})
    out.print("Copied, and the workers' positions are set. To switch:")
    out.print(f"1. in topics.yaml, under each of these, set `partitions: {partitions}`:")
    for move in planned:
        out.print(f"     {move.topic.name}", markup=False)
    out.print("2. set for every process:")
    out.print(f"     HANDOFF_KAFKA__TOPICS='{names}'", markup=False, soft_wrap=True)
    out.print("3. `handoff topics plan` must show nothing to create and nothing refused; then start everything.")
    out.print("4. keep the old topics as long as evidence names places in them; nothing writes to them any more.")


def _admin() -> AdminClient:
    return AdminClient({**target.kafka().librdkafka(), "log_level": 0})


def _planned(admin: AdminClient, topics: tuple[Topic, ...]) -> Plan:
    return plan(topics, cluster_state(admin))


def _show(planned: Plan, json_: bool) -> None:
    """Print the plan; exit 1 when it holds refusals."""
    if json_:
        document: dict[str, Any] = msgspec.to_builtins(planned)
        as_json({**document, "summary": planned.summary})
    else:
        for line in planned.lines():
            out.print(line, markup=False, soft_wrap=True)
    if planned.refused:
        raise typer.Exit(1)
