"""`handoff topics`: the declaration in topics.yaml against the cluster. Nothing here deletes a topic."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import typer
from confluent_kafka.admin import AdminClient

from domain.refusal import BadDeclaration
from handoff import place
from handoff.show import as_json, err, needs_kafka, out
from streams.topics import Plan, Topic, Topics, apply, cluster_state, kafka_topics_commands, load_topics, plan, strimzi

topics_app = typer.Typer(no_args_is_help=True, help="The topics that handoff needs: checked, planned, made, exported.")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Environment = Annotated[
    str | None, typer.Option("--env", help="Environment of topics.yaml; the settings' if not given.")
]
File = Annotated[Path | None, typer.Option("--file", help="Another topics.yaml.")]


def declared(file: Path | None) -> Topics:
    """The declaration, or exit 2 with every fault."""
    try:
        return load_topics(file or place.here().paths.topics)
    except BadDeclaration as wrong:
        raise _exit_with(wrong) from wrong


def declared_for(environment: str | None, file: Path | None) -> tuple[Topic, ...]:
    """The topics of one environment, or exit 2."""
    topics = declared(file)
    try:
        return topics.for_environment(environment or place.here().environment)
    except BadDeclaration as wrong:
        raise _exit_with(wrong) from wrong


def _exit_with(wrong: BadDeclaration) -> typer.Exit:
    for fault in wrong.faults:
        err.print(fault, markup=False)
    return typer.Exit(2)


@topics_app.command()
def validate(file: File = None, json_: Json = False) -> None:
    """Check topics.yaml for itself; needs no cluster. Exit 2 with every fault and its line."""
    topics = declared(file)
    if json_:
        as_json({"topics": topics.names, "environments": topics.environments})
        return
    out.print(f"{len(topics.names)} topics, environments {', '.join(topics.environments)}: no fault")


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


def _admin() -> AdminClient:
    return AdminClient({**place.kafka().librdkafka(), "log_level": 0})


def _planned(admin: AdminClient, topics: tuple[Topic, ...]) -> Plan:
    return plan(topics, cluster_state(admin))


def _show(planned: Plan, json_: bool) -> None:
    """Print the plan; exit 1 when it holds refusals."""
    if json_:
        told: dict[str, Any] = msgspec.to_builtins(planned)
        as_json({**told, "summary": planned.summary})
    else:
        for line in planned.lines():
            out.print(line, markup=False, soft_wrap=True)
    if planned.refused:
        raise typer.Exit(1)
