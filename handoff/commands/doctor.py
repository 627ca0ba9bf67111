"""`doctor`: check everything that handoff needs, with remedies. Read-only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, NamedTuple

import redis
import typer
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from domain.errors import BadDeclaration
from handoff import target
from handoff.declarations.rules import load_rules
from handoff.declarations.senders import load_senders
from handoff.embedded.jars import JarsUnavailable, cache_folder, lock_path, read_lock
from handoff.embedded.kafka import java_executable
from handoff.embedded.process import NotStarted
from handoff.embedded.redis import redis_executable
from handoff.findings import findings
from handoff.output import as_json, out, table
from handoff.settings import Settings, describe, load_settings
from streams.topics import cluster_state, load_topics, plan

SECONDS = 5.0


class Finding(NamedTuple):
    """One check. `ok` None: not needed here, or not made because of an earlier finding."""

    what: str
    ok: bool | None
    told: str


def doctor(json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Check settings, Kafka, topics, Redis, rules, senders and feeds.

    Exit 0 all well, 1 something wrong, 2 bad settings.
    """
    target.adopt()
    try:
        settings = load_settings()
    except BadDeclaration as wrong:
        findings = [Finding("settings", False, fault) for fault in wrong.faults]
        _show(findings, {}, json_)
        raise typer.Exit(2) from wrong
    findings = list(examine(settings))
    _show(findings, describe(settings), json_)
    if any(finding.ok is False for finding in findings):
        raise typer.Exit(1)


def examine(settings: Settings) -> Iterator[Finding]:
    """Make all checks; yields every finding, good or bad. Raises nothing."""
    yield Finding("settings", True, f"environment {settings.environment}")
    yield from _declared("topics.yaml", lambda: load_topics(settings.paths.topics))
    yield from _declared("senders", lambda: load_senders(settings.paths.senders))
    yield from _declared("rules", lambda: load_rules(settings.paths.rules))
    yield from _kafka(settings) if settings.kafka.bootstrap else _embedded_kafka()
    yield from _feeds(settings)
    yield _redis(settings) if settings.redis.url.get_secret_value() else _embedded_redis()


def _declared(what: str, load: Callable[[], object]) -> Iterator[Finding]:
    try:
        load()
    except BadDeclaration as wrong:
        for fault in wrong.faults:
            yield Finding(what, False, fault)
    else:
        yield Finding(what, True, "no fault")


def _kafka(settings: Settings) -> Iterator[Finding]:
    admin = AdminClient({**settings.kafka.librdkafka(), "log_level": 0})
    try:
        brokers = admin.list_topics(timeout=SECONDS).brokers
        yield Finding("Kafka", True, f"{len(brokers)} brokers answer")
        planned = plan(
            load_topics(settings.paths.topics).for_environment(settings.environment, settings.kafka.topics),
            cluster_state(admin, seconds=SECONDS),
        )
    except KafkaException as error:
        yield Finding("Kafka", False, f"{error.args[0].str()}: check HANDOFF_KAFKA__* and that the broker runs")
        return
    except BadDeclaration:
        yield Finding("topics", None, "topics.yaml is wrong")
        return
    for refusal in planned.refused:
        yield Finding("topics", False, refusal)
    if planned.create or planned.update:
        yield Finding("topics", False, f"{planned.summary} Run `handoff topics apply`.")
    elif not planned.refused:
        yield Finding("topics", True, "as declared")


def _embedded_kafka() -> Iterator[Finding]:
    try:
        yield Finding("Java", True, java_executable())
    except NotStarted as error:
        yield Finding("Java", False, str(error))
    try:
        jars = read_lock(lock_path())
    except (OSError, JarsUnavailable) as error:
        yield Finding("Kafka jars", False, str(error))
        return
    folder = cache_folder() / "jars"
    cached = sum((folder / jar.filename).exists() for jar in jars)
    told = f"{cached} of {len(jars)} in {folder}" + ("" if cached == len(jars) else "; `make setup` fetches the others")
    yield Finding("Kafka jars", True if cached == len(jars) else None, told)


def _feeds(settings: Settings) -> Iterator[Finding]:
    """What the console finds: refusals, unmapped codes and unknown senders by sending system, lag, silence."""
    if not settings.kafka.bootstrap:
        return
    found = findings(settings)
    if found is None:
        yield Finding("feeds", None, "not known: no console answers (HANDOFF_CONSOLE__*)")
    elif not found.says:
        yield Finding("feeds", True, "the console finds nothing wrong")
    for each in () if found is None else found.says:
        yield Finding("feeds", False, each)


def _redis(settings: Settings) -> Finding:
    try:
        with redis.Redis.from_url(
            settings.redis.url.get_secret_value(), socket_timeout=SECONDS, socket_connect_timeout=SECONDS
        ) as client:
            client.ping()
    except (redis.RedisError, ValueError) as error:
        return Finding("Redis", False, f"{type(error).__name__}: check HANDOFF_REDIS__URL and that Redis runs")
    return Finding("Redis", True, "answers")


def _embedded_redis() -> Finding:
    try:
        return Finding("Redis", True, redis_executable())
    except NotStarted as error:
        return Finding("Redis", False, str(error))


def _show(findings: list[Finding], settings: dict[str, str], json_: bool) -> None:
    if json_:
        as_json({"findings": [finding._asdict() for finding in findings], "settings": settings})
        return
    marks = {True: "ok", False: "WRONG", None: "-"}
    table("Doctor", ("what", "", "finding"), [(f.what, marks[f.ok], f.told) for f in findings])
    if settings:
        out.print()
        table("Settings", ("variable", "value"), settings.items())
