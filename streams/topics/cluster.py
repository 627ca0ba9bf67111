"""Topics in a real cluster: what there is, making it so, and refusing to start on what is wrong."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from typing import Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ConfigSource, NewTopic

from streams.kafka.offsets import admin_client
from streams.kafka.settings import KafkaSettings
from streams.topics.planning import ClusterTopic, Plan

SECONDS: Final = 20.0


def cluster_state(
    admin: AdminClient, names: Collection[str] | None = None, *, seconds: float = SECONDS
) -> dict[str, ClusterTopic]:
    """Those of the topics `names` that are there; without names, every topic of the cluster but the internal ones.

    Raises KafkaException when the cluster does not answer.
    """
    found = {
        name: topic
        for name, topic in admin.list_topics(timeout=seconds).topics.items()
        if (name in names if names is not None else not name.startswith("__"))
    }
    if not found:
        return {}
    resources = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in found]
    state: dict[str, ClusterTopic] = {}
    for resource, future in admin.describe_configs(resources, request_timeout=seconds).items():
        entries: dict[str, ConfigEntry] = future.result(timeout=seconds + 5)
        partitions = found[resource.name].partitions
        state[resource.name] = ClusterTopic(
            partitions=len(partitions),
            replication=min((len(partition.replicas) for partition in partitions.values()), default=0),
            configs={setting: entry.value or "" for setting, entry in entries.items()},
            own=frozenset(
                setting for setting, entry in entries.items() if entry.source == ConfigSource.DYNAMIC_TOPIC_CONFIG.value
            ),
        )
    return state


def apply(admin: AdminClient, plan: Plan, *, seconds: float = SECONDS) -> None:
    """Create and update as planned; return when the metadata shows every created topic with leaders.

    Raises ValueError when the plan holds refusals (nothing is done then), KafkaException when the cluster refuses.
    A topic that another `apply` made meanwhile is no error.
    """
    if plan.refused:
        raise ValueError("a plan with refusals is not applied")
    if plan.create:
        wanted = [
            NewTopic(
                topic.name,
                num_partitions=topic.partitions,
                replication_factor=topic.replication,
                config=dict(topic.configs),
            )
            for topic in plan.create
        ]
        for future in admin.create_topics(wanted, operation_timeout=seconds).values():
            try:
                future.result(timeout=seconds + 5)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise
        _wait_for_leaders(admin, {topic.name: topic.partitions for topic in plan.create}, seconds)
    if plan.update:
        resources = [
            ConfigResource(
                ConfigResource.Type.TOPIC,
                update.topic,
                incremental_configs=[
                    ConfigEntry(
                        change.setting,
                        change.wanted,
                        incremental_operation=(
                            AlterConfigOpType.DELETE if change.wanted is None else AlterConfigOpType.SET
                        ),
                    )
                    for change in update.changes
                ],
            )
            for update in plan.update
        ]
        for future in admin.incremental_alter_configs(resources).values():
            future.result(timeout=seconds + 5)


def _wait_for_leaders(admin: AdminClient, partitions: dict[str, int], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        seen = admin.list_topics(timeout=seconds).topics
        late = [
            name
            for name, count in partitions.items()
            if name not in seen
            or len(seen[name].partitions) != count
            or any(partition.leader < 0 for partition in seen[name].partitions.values())
        ]
        if not late:
            return
        if time.monotonic() > deadline:
            raise KafkaException(KafkaError(KafkaError.LEADER_NOT_AVAILABLE, f"no leaders yet for {', '.join(late)}"))
        time.sleep(0.05)


def check_topics(
    kafka: KafkaSettings,
    needed: Iterable[str],
    copartitioned: Iterable[Iterable[str]] = (),
    *,
    compacted: Iterable[str] = (),
    append_time: Iterable[str] = (),
    seconds: float = SECONDS,
) -> list[str]:
    """Why a process should not start on this cluster's topics; empty when it may.

    `needed` must exist; each set in `copartitioned` must have one partition count; `compacted` (changelogs) must have
    cleanup.policy compact and nothing else; `append_time` (stage inputs) must be stamped by the broker. The last three
    are needed too. Raises KafkaException when the cluster does not answer.
    """
    groups = [tuple(group) for group in copartitioned]
    compacted, append_time = tuple(compacted), tuple(append_time)
    wanted = dict.fromkeys((*needed, *compacted, *append_time, *(name for group in groups for name in group)))
    # A worker need not have access to other topics, nor wait for the answers of a large cluster.
    state = cluster_state(admin_client(kafka), wanted, seconds=seconds)
    faults = [f"topic {name} does not exist: run `handoff topics apply`" for name in wanted if name not in state]
    for group in groups:
        counts = {name: state[name].partitions for name in group if name in state}
        if len(set(counts.values())) > 1:
            listed = ", ".join(f"{name} {count}" for name, count in counts.items())
            faults.append(f"co-partitioned topics differ in partitions: {listed}")
    for names, setting, value in (
        (compacted, "cleanup.policy", "compact"),
        (append_time, "message.timestamp.type", "LogAppendTime"),
    ):
        for name in names:
            if name in state and state[name].configs.get(setting) != value:
                faults.append(f"topic {name} has {setting} {state[name].configs.get(setting)}, must be {value}")
    return faults
