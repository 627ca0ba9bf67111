"""How far behind the workers are: per group, topic and partition, in records and in seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from streams.clients import KafkaSettings

_SECONDS: Final = 10.0


class PartitionLag(msgspec.Struct, frozen=True):
    """`committed` is None when the group never committed there; `lag` counts from the start then.

    `seconds` is the age of the oldest record that is not committed yet (0 when there is none).
    """

    group: str
    topic: str
    partition: int
    committed: int | None
    end: int
    lag: int
    seconds: float


def groups_of(app: str = "handoff") -> dict[str, tuple[str, ...]]:
    """Consumer group -> the topics it reads."""
    return {
        f"{app}.reconcile": ("adt.raw.v1", "custody.raw.v1", "identity.links.v1"),
        f"{app}.refer": ("member.visits.v1", "members.roster.v1", "ecm.dispositions.v1", "clock.ticks.v1"),
    }


def measure(kafka: KafkaSettings, groups: Mapping[str, Sequence[str]], now: int) -> list[PartitionLag]:
    """The lag of each group on each partition of its topics; `now` is ms UTC.

    End offsets are those of `read_committed`, so an open transaction does not count as lag. Raises KafkaException.
    """
    admin = AdminClient(kafka.librdkafka())
    known = admin.list_topics(timeout=_SECONDS).topics
    consumer = Consumer(
        {
            **kafka.librdkafka(),
            "group.id": "handoff-lag",  # never joined: partitions are assigned by hand
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": 10,
        }
    )
    try:
        found: list[PartitionLag] = []
        for group, topics in groups.items():
            parts = [TopicPartition(t, p) for t in topics if t in known for p in known[t].partitions]
            if parts:
                found += _of_group(admin, consumer, group, parts, now)
        return sorted(found, key=lambda lag: (lag.group, lag.topic, lag.partition))
    finally:
        consumer.close()


def _of_group(
    admin: AdminClient, consumer: Consumer, group: str, parts: list[TopicPartition], now: int
) -> list[PartitionLag]:
    answer = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group, parts)], request_timeout=_SECONDS)
    committed: dict[tuple[str, int], int] = {}
    for part in answer[group].result().topic_partitions or []:
        if part.error is None and part.offset >= 0:
            committed[part.topic, part.partition] = part.offset
    ends = {part: future.result().offset for part, future in _ends(admin, parts).items()}
    starts = {part: future.result().offset for part, future in _ends(admin, parts, OffsetSpec.earliest()).items()}
    lags = []
    for part in parts:
        key = (part.topic, part.partition)
        at, end, start = committed.get(key), ends[part], starts[part]
        behind = max(0, end - max(start, at if at is not None else start))
        seconds = 0.0
        if behind:
            first = max(start, at if at is not None else start)
            seconds = _age(consumer, part.topic, part.partition, first, now)
            if seconds < 0:  # only transaction markers lie between: nothing waits
                behind, seconds = 0, 0.0
        lags.append(PartitionLag(group, part.topic, part.partition, at, end, behind, round(seconds, 3)))
    return lags


def _ends(admin: AdminClient, parts: Sequence[TopicPartition], spec: Any = None) -> Any:
    spec = spec if spec is not None else OffsetSpec.latest()
    return admin.list_offsets(dict.fromkeys(parts, spec), request_timeout=_SECONDS)


def _age(consumer: Consumer, topic: str, partition: int, offset: int, now: int) -> float:
    """Seconds since the record at `offset` (or the next one there is) was appended; -1 when there is none."""
    consumer.assign([TopicPartition(topic, partition, offset)])
    message = consumer.poll(2.0)
    consumer.unassign()
    if message is None:
        return -1.0
    error = message.error()
    if error is not None:
        return -1.0 if error.code() == KafkaError._PARTITION_EOF else 0.0
    appended: int = message.timestamp()[1]
    return max(0.0, (now - appended) / 1000)
