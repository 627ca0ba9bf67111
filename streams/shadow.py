"""Topics and consumer groups of shadows: stages that run beside the live ones (docs/operations.md#upgrading)."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from typing import Final

import msgspec
from confluent_kafka import KafkaError, KafkaException

from agents.runtime.contract import Stage
from agents.shadow import shadow_topic, topics_of_shadow
from agents.topics import VISITS
from domain.errors import BadDeclaration
from streams.kafka.offsets import admin_client
from streams.kafka.settings import KafkaSettings
from streams.topics import Plan, Topic, apply, cluster_state

APP: Final = "handoff"
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,39}")
_SECONDS: Final = 20.0


class StillRunning(Exception):
    """A worker of the shadow is a member of this group."""


def check_name(shadow: str) -> None:
    """Raises BadDeclaration for a name that no shadow can have."""
    if not _NAME.fullmatch(shadow):
        raise BadDeclaration(
            (f"--shadow {shadow}: a shadow is named with lower-case letters, digits and hyphens, a letter first",)
        )


def group_prefix(shadow: str) -> str:
    """Prefix of the shadow's groups and transactional IDs; that of the live ones is `handoff`."""
    return f"{APP}.{shadow}"


def topics_for(shadow: str, stages: Iterable[Stage], declared: Iterable[Topic], kafka: KafkaSettings) -> list[Topic]:
    """The topics that a shadow of the stages writes to: configs and partition counts are those of the live topics.

    `declared` are the topics by their declared names. Raises KafkaException, or BadDeclaration when a live one is
    missing.
    """
    check_name(shadow)
    wanted = {topic for stage in stages for topic in topics_of_shadow(stage)}
    state = cluster_state(admin_client(kafka))
    found, faults = [], []
    for topic in declared:
        if topic.name not in wanted:
            continue
        live = state.get(kafka.actual(topic.name))
        if live is None:
            faults.append(f"topic {kafka.actual(topic.name)} does not exist: run `handoff topics apply`")
            continue
        name = shadow_topic(shadow, topic.name)
        found.append(msgspec.structs.replace(topic, name=name, partitions=live.partitions))
    if faults:
        raise BadDeclaration(tuple(faults))
    return found


def create(kafka: KafkaSettings, topics: Iterable[Topic]) -> list[str]:
    """Create the missing ones; returns their names. Raises KafkaException."""
    admin = admin_client(kafka)
    present = cluster_state(admin)
    missing = tuple(topic for topic in topics if topic.name not in present)
    apply(admin, Plan(create=missing, update=(), refused=(), extra=()))
    return [topic.name for topic in missing]


def topics_of(kafka: KafkaSettings, shadow: str | None = None) -> list[str]:
    """Names of the topics of one shadow, or of all, in the cluster. Raises KafkaException."""
    start = "shadow." if shadow is None else shadow_topic(shadow, "")
    known = admin_client(kafka).list_topics(timeout=_SECONDS).topics
    return sorted(name for name in known if name.startswith(start))


def has_visits(kafka: KafkaSettings, shadow: str) -> bool:
    """Whether the shadow has a patient stage: its member stage then reads the visits of that one."""
    return shadow_topic(shadow, VISITS) in topics_of(kafka, shadow)


def drop(kafka: KafkaSettings, shadow: str, stages: Iterable[str]) -> list[str]:
    """Remove a shadow's groups and topics; returns the topics' names. Raises StillRunning and KafkaException.

    Groups go first: one with a member is not removed, so nothing is while a worker runs. Kafka keeps a static member
    that has stopped for the rest of its session, which is waited for.
    """
    check_name(shadow)
    admin = admin_client(kafka)
    deadline = time.monotonic() + _SECONDS
    for group in [f"{group_prefix(shadow)}.{stage}" for stage in stages]:
        while True:
            try:
                admin.delete_consumer_groups([group])[group].result(_SECONDS)
                break
            except KafkaException as error:
                code = error.args[0].code()
                if code == KafkaError.GROUP_ID_NOT_FOUND:
                    break
                if code != KafkaError.NON_EMPTY_GROUP:
                    raise
                if time.monotonic() > deadline:
                    raise StillRunning(group) from error
                time.sleep(0.5)
    names = topics_of(kafka, shadow)
    if names:
        for future in admin.delete_topics(names, operation_timeout=_SECONDS).values():
            future.result(_SECONDS + 5)
        while topics_of(kafka, shadow) and time.monotonic() < deadline + _SECONDS:
            time.sleep(0.05)
    return names
