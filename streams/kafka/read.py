"""Reading topics from outside the workers: whole, as they stand now, or on and on. Always `read_committed`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from agents.runtime.contract import Record
from streams.kafka.settings import KafkaSettings

_BATCH = 2000
_SILENT_SECONDS = 15.0


class TopicMissing(Exception):
    """The cluster does not have this topic."""


def reader(kafka: KafkaSettings, group: str = "handoff-reading") -> Consumer:
    """Reads committed records of partitions that are assigned by hand, and tells when it has come to the end.

    Joins nothing, and commits nothing by itself; positions that are asked for are those of `group`.
    """
    return Consumer(
        {
            **kafka.librdkafka(),
            "group.id": group,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 50,
        }
    )


def record_of(message: Message) -> Record:
    """A consumed message as a Record."""
    headers = message.headers() or []
    return Record(
        topic=message.topic() or "",
        partition=message.partition() or 0,
        offset=message.offset() or 0,
        key=message.key(),
        value=message.value(),
        timestamp=message.timestamp()[1],
        headers={name: value for name, value in headers if isinstance(value, bytes)},
    )


def _declared(kafka: KafkaSettings, record: Record) -> Record:
    if not kafka.topics:
        return record
    return msgspec.structs.replace(record, topic=kafka.declared(record.topic), stored=record.topic)


def partitions_of(consumer: Consumer, topics: Sequence[str]) -> list[TopicPartition]:
    """Every partition of the topics. Raises TopicMissing."""
    known = consumer.list_topics(timeout=10).topics
    missing = [topic for topic in topics if topic not in known or known[topic].error is not None]
    if missing:
        raise TopicMissing(", ".join(missing))
    return [TopicPartition(topic, number, 0) for topic in topics for number in known[topic].partitions]


def snapshot(kafka: KafkaSettings, topics: Sequence[str]) -> Iterator[Record]:
    """Every committed record of the topics up to their ends as they are now; order holds within a partition.

    Raises TopicMissing, or KafkaException when the cluster does not answer.
    """
    consumer = reader(kafka)
    try:
        waiting = partitions_of(consumer, [kafka.actual(topic) for topic in topics])
        consumer.assign(waiting)
        open_partitions = {(part.topic, part.partition) for part in waiting}
        heard = time.monotonic()
        while open_partitions:
            # `consume` waits for a full batch: the time-out bounds how long the last few records are held back.
            messages = consumer.consume(_BATCH, timeout=0.05)
            if messages:
                heard = time.monotonic()
            elif time.monotonic() - heard > _SILENT_SECONDS:
                raise KafkaException(
                    KafkaError(KafkaError._TIMED_OUT, "the cluster went silent while a topic was read")
                )
            for message in messages:
                error = message.error()
                if error is None:
                    yield _declared(kafka, record_of(message))
                elif error.code() == KafkaError._PARTITION_EOF:
                    open_partitions.discard((message.topic() or "", message.partition() or 0))
                else:
                    raise KafkaException(error)
    finally:
        consumer.close()


def at_places(kafka: KafkaSettings, places: Iterable[tuple[str, int, int]]) -> Iterator[Record]:
    """The records at (topic as the cluster calls it, partition, offset), those that still exist; in order of place.

    Raises KafkaException when the cluster does not answer; a topic or partition that is gone has no records.
    """
    consumer = reader(kafka)
    try:
        known = consumer.list_topics(timeout=10).topics
        by_partition: dict[tuple[str, int], set[int]] = {}
        for topic, partition, offset in places:
            if topic in known and partition in known[topic].partitions:
                by_partition.setdefault((topic, partition), set()).add(offset)
        for (topic, partition), wanted in sorted(by_partition.items()):
            yield from _at_offsets(consumer, topic, partition, sorted(wanted))
    finally:
        consumer.close()


def _at_offsets(consumer: Consumer, topic: str, partition: int, wanted: list[int]) -> Iterator[Record]:
    position = -1
    heard = time.monotonic()
    while wanted:
        if position < 0 or wanted[0] - position > _BATCH:
            consumer.assign([TopicPartition(topic, partition, wanted[0])])
            position = wanted[0]
        message = consumer.poll(0.2)
        if message is None:
            if time.monotonic() - heard > _SILENT_SECONDS:
                raise KafkaException(
                    KafkaError(KafkaError._TIMED_OUT, "the cluster went silent while a topic was read")
                )
            continue
        heard = time.monotonic()
        error = message.error()
        if error is not None and error.code() == KafkaError._PARTITION_EOF:
            return
        if error is not None:
            raise KafkaException(error)
        position = (message.offset() or 0) + 1
        if message.offset() == wanted[0]:
            yield record_of(message)
        while wanted and wanted[0] < position:
            wanted.pop(0)


def latest(kafka: KafkaSettings, topic: str) -> dict[bytes, Record]:
    """The last record of each key, tombstoned keys left out: a compacted topic as a table."""
    table: dict[bytes, Record] = {}
    for record in snapshot(kafka, [topic]):
        key = record.key or b""
        if record.value is None:
            table.pop(key, None)
        else:
            table[key] = record
    return table


def documents(kafka: KafkaSettings, topic: str) -> dict[str, dict[str, Any]]:
    """The current JSON documents of a compacted topic by key. Raises TopicMissing and KafkaException."""
    return {key.decode(): json.loads(record.value or b"{}") for key, record in latest(kafka, topic).items()}


def follow(kafka: KafkaSettings, topics: Sequence[str], *, from_start: bool = True) -> Iterator[Record | None]:
    """Records as they are committed, for ever; None now and then when there are none, so that the caller can stop."""
    consumer = reader(kafka)
    try:
        parts = partitions_of(consumer, [kafka.actual(topic) for topic in topics])
        if not from_start:
            for part in parts:
                part.offset = consumer.get_watermark_offsets(part, timeout=10)[1]
        consumer.assign(parts)
        while True:
            messages = consumer.consume(_BATCH, timeout=0.25)
            for message in messages:
                error = message.error()
                if error is None:
                    yield _declared(kafka, record_of(message))
                elif error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(error)
            if not messages:
                yield None
    finally:
        consumer.close()
