"""How far behind the workers are: per group, topic and partition, in records and in seconds."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from confluent_kafka import Consumer, IsolationLevel, KafkaError, TopicPartition
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
                found += _of_group(kafka, admin, consumer, group, parts, now)
        return sorted(found, key=lambda lag: (lag.group, lag.topic, lag.partition))
    finally:
        consumer.close()


def _committed(kafka: KafkaSettings, group: str, parts: list[TopicPartition]) -> dict[tuple[str, int], int]:
    """What the group committed. Asked through a consumer that joins nothing: the admin client's call can crash the
    process while a coordinator moves (librdkafka issue 5040)."""
    asking = Consumer({**kafka.librdkafka(), "group.id": group, "enable.auto.commit": False})
    try:
        found = asking.committed(parts, timeout=_SECONDS)
    finally:
        asking.close()
    return {(part.topic, part.partition): part.offset for part in found if part.error is None and part.offset >= 0}


def _of_group(
    kafka: KafkaSettings, admin: AdminClient, consumer: Consumer, group: str, parts: list[TopicPartition], now: int
) -> list[PartitionLag]:
    committed = _committed(kafka, group, parts)
    ends = {part: future.result().offset for part, future in _ends(admin, parts).items()}
    starts = {part: future.result().offset for part, future in _ends(admin, parts, OffsetSpec.earliest()).items()}
    first = {part: max(starts[part], committed.get((part.topic, part.partition), 0)) for part in parts}
    behind = {part: ends[part] - first[part] for part in parts}
    ages = _ages(consumer, {part: first[part] for part in parts if behind[part] > 0}, now)
    lags = []
    for part in parts:
        at = committed.get((part.topic, part.partition))
        # Behind a committed position there may be nothing but the markers of transactions: then nothing waits.
        age = ages.get((part.topic, part.partition))
        waiting = behind[part] if age is not None else 0
        lags.append(PartitionLag(group, part.topic, part.partition, at, ends[part], waiting, round(age or 0.0, 3)))
    return lags


def _ends(admin: AdminClient, parts: Sequence[TopicPartition], spec: Any = None) -> Any:
    spec = spec if spec is not None else OffsetSpec.latest()
    return admin.list_offsets(
        dict.fromkeys(parts, spec), isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=_SECONDS
    )


def _ages(consumer: Consumer, first: Mapping[TopicPartition, int], now: int) -> dict[tuple[str, int], float]:
    """Seconds since the oldest record at or after each offset was appended; no entry where there is no record."""
    if not first:
        return {}
    consumer.assign([TopicPartition(part.topic, part.partition, offset) for part, offset in first.items()])
    waiting = {(part.topic, part.partition) for part in first}
    ages: dict[tuple[str, int], float] = {}
    deadline = time.monotonic() + _SECONDS
    while waiting and time.monotonic() < deadline:
        for message in consumer.consume(len(waiting), timeout=0.05):
            place = (message.topic() or "", message.partition() or 0)
            if place not in waiting:
                continue
            waiting.discard(place)
            if message.error() is None:
                ages[place] = max(0.0, (now - message.timestamp()[1]) / 1000)
            elif message.error().code() != KafkaError._PARTITION_EOF:
                ages[place] = 0.0
    consumer.unassign()
    # One that gave no answer in time counts as waiting: an unknown is not "caught up".
    return {**ages, **dict.fromkeys(waiting, 0.0)}
