"""Reading topics outside a stage's input: whole, as they are now, or for as long as they grow. Always `read_committed`.

`tail` is the one loop over a consumer; the functions below it, the restore, the directory, the migration and the
console are built on it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from agents.runtime.contract import Record
from streams.kafka.consumers import reader
from streams.kafka.offsets import Place, TopicMissing, admin_client, ends, places_of
from streams.kafka.settings import KafkaSettings

__all__ = [
    "Batch",
    "TopicMissing",
    "at_places",
    "documents",
    "follow",
    "latest",
    "record_of",
    "snapshot",
    "tail",
]

_BATCH: Final = 2000
_SILENT_SECONDS: Final = 15.0


class Batch(msgspec.Struct, frozen=True):
    """What one call of the consumer brought.

    `ends` holds the partitions whose end was reached, with the offset after the last record or marker there. It is
    reported again whenever a partition has grown and its end is reached again.
    """

    messages: list[Message]
    ends: dict[Place, int]

    @property
    def positions(self) -> dict[Place, int]:
        """The next offset to read, of each partition that the batch is about."""
        found = {
            (message.topic() or "", message.partition() or 0): (message.offset() or 0) + 1 for message in self.messages
        }
        for place, end in self.ends.items():
            found[place] = max(end, found.get(place, 0))
        return found


def tail(
    consumer: Consumer, *, size: int = _BATCH, wait: float = 0.05, silence: float | None = None
) -> Iterator[Batch]:
    """Batches of at most `size` messages from a reader's assigned partitions, without end; empty when none came.

    `wait` (seconds) is how long a batch that is not full waits for more. Raises KafkaException, also when nothing has
    come for `silence` seconds: where the end is not reached yet, a cluster that answers brings something.
    """
    last_heard = time.monotonic()
    while True:
        messages: list[Message] = []
        reached: dict[Place, int] = {}
        for message in consumer.consume(size, wait):
            error = message.error()
            if error is None:
                messages.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                reached[message.topic() or "", message.partition() or 0] = message.offset() or 0
            elif error.fatal() or not error.retriable():
                raise KafkaException(error)
        if messages or reached:
            last_heard = time.monotonic()
        elif silence is not None and time.monotonic() - last_heard > silence:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "the cluster went silent while a topic was read"))
        yield Batch(messages, reached)


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


def snapshot(kafka: KafkaSettings, topics: Sequence[str]) -> Iterator[Record]:
    """Every committed record of the topics up to their ends as they are now; order holds within a partition.

    Raises TopicMissing, or KafkaException when the cluster does not answer.
    """
    consumer = reader(kafka)
    try:
        unread = set(places_of(consumer, [kafka.actual(topic) for topic in topics]))
        consumer.assign([TopicPartition(*place, 0) for place in unread])
        for batch in tail(consumer, silence=_SILENT_SECONDS):
            for message in batch.messages:
                yield _declared(kafka, record_of(message))
            unread -= batch.ends.keys()
            if not unread:
                return
    finally:
        consumer.close()


def at_places(kafka: KafkaSettings, places: Iterable[tuple[str, int, int]]) -> Iterator[Record]:
    """The records at (topic as the cluster calls it, partition, offset), those that still exist; in order of place.

    Raises KafkaException when the cluster does not answer; a topic or partition that is gone has no records.
    """
    by_partition: dict[Place, set[int]] = {}
    for topic, partition, offset in places:
        by_partition.setdefault((topic, partition), set()).add(offset)
    consumer = reader(kafka)
    try:
        known = set(places_of(consumer, sorted({topic for topic, _ in by_partition}), missing_ok=True))
        for place in sorted(by_partition.keys() & known):
            yield from _at_offsets(consumer, place, sorted(by_partition[place]))
    finally:
        consumer.close()


def _at_offsets(consumer: Consumer, place: Place, wanted: list[int]) -> Iterator[Record]:
    position = -1
    while wanted:
        if position < 0 or wanted[0] - position > _BATCH:
            consumer.assign([TopicPartition(*place, wanted[0])])
            position = wanted[0]
        for batch in tail(consumer, size=1, wait=0.2, silence=_SILENT_SECONDS):
            if batch.ends:
                return
            if batch.messages:
                break
        message = batch.messages[0]
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
    """Records as they are committed, without end; None now and then when there are none, so that the caller can stop.

    Raises TopicMissing and KafkaException.
    """
    consumer = reader(kafka)
    try:
        places = places_of(consumer, [kafka.actual(topic) for topic in topics])
        begin = dict.fromkeys(places, 0) if from_start else ends(admin_client(kafka), places)
        consumer.assign([TopicPartition(*place, begin[place]) for place in places])
        for batch in tail(consumer, wait=0.25):
            for message in batch.messages:
                yield _declared(kafka, record_of(message))
            if not batch.messages:
                yield None
    finally:
        consumer.close()


def _declared(kafka: KafkaSettings, record: Record) -> Record:
    if not kafka.topics:
        return record
    return msgspec.structs.replace(record, topic=kafka.declared(record.topic), stored=record.topic)
