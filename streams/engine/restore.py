"""Restore: a partition's rows from its changelog, up to the mark that was its end when the partition was assigned.

The mark is the high watermark, which counts records of transactions still open. Reading committed records until the
position has reached it therefore waits until a predecessor's last transaction is decided (its time-out at the longest);
the first end-of-partition may come too early, before that transaction's marker is in this partition.

A checkpoint on local disk, or rows that live there, save reading what came before them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from threading import Event

import msgspec
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec

from agents.runtime.contract import Stage
from agents.runtime.store import MemoryStore, RowStore
from streams.engine import checkpoint
from streams.engine.checkpoint import Standing, judge
from streams.engine.failpoints import reach
from streams.engine.options import EngineOptions
from streams.kafka.settings import KafkaSettings

_BATCH = 2_000

Restored = Callable[[int, RowStore], None]


class Local(msgspec.Struct, frozen=True):
    """What of this machine's disk a restore may use: `checkpoints` to start from, or `shelves` where the rows live."""

    checkpoints: Path | None = None
    shelves: Path | None = None
    cache: int = 0
    """Bytes of each shelf's rows to keep in memory."""


def local_of(options: EngineOptions, partitions: int) -> Local:
    """What the options say of it, for a worker that has so many partitions."""
    folder = None if options.checkpoint_folder is None else Path(options.checkpoint_folder)
    if options.rows == "disk":
        return Local(shelves=folder, cache=options.rows_cache // max(1, partitions))
    return Local(checkpoints=folder)


class Ends(msgspec.Struct, frozen=True):
    """How far a changelog reaches: by partition, its first offset and the mark after its last record, open ones too."""

    topic_id: str
    reach: dict[int, tuple[int, int]]


def ends_of(kafka: KafkaSettings, topic: str, partitions: Iterable[int], seconds: float) -> Ends:
    """Ask the cluster. Raises KafkaException."""
    admin = AdminClient({**kafka.librdkafka(), "log_level": 0})
    places = [TopicPartition(topic, partition) for partition in partitions]
    found = []
    for spec in (OffsetSpec.earliest(), OffsetSpec.latest()):
        answers = admin.list_offsets(
            dict.fromkeys(places, spec), isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=seconds
        )
        found.append({place.partition: int(answer.result(seconds).offset) for place, answer in answers.items()})
    described = admin.describe_topics(TopicCollection([topic]), request_timeout=seconds)[topic].result(seconds)
    starts, marks = found
    return Ends(str(described.topic_id), {partition: (starts[partition], marks[partition]) for partition in marks})


def changelog_reader(kafka: KafkaSettings) -> Consumer:
    """A consumer in no group that reads committed records and tells when it has come to the end."""
    return Consumer(
        {
            **kafka.librdkafka(),
            "group.id": "handoff.restore",
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 50,
            "fetch.queue.backoff.ms": 5,
            "max.partition.fetch.bytes": 8 * 1024 * 1024,
            "fetch.max.bytes": 32 * 1024 * 1024,
            "queued.min.messages": 200_000,
            "queued.max.messages.kbytes": 128 * 1024,
            # Brokers have checked them, and the log is not read over a noisy line.
            "check.crcs": False,
        }
    )


def restore(
    stage: Stage,
    kafka: KafkaSettings,
    partitions: Iterable[int],
    ready: Restored,
    *,
    cancelled: Event,
    local: Local = Local(),
    seconds: float = 30.0,
) -> int:
    """Restore partitions, calling `ready(partition, rows)` for each as soon as it is done. Returns the records read.

    Must be called after the partitions' committed positions were read as stable offsets: no transaction that moves
    them can be open then, so none can add to the changelog behind the mark. Raises Unreadable and KafkaException.
    """
    ends = ends_of(kafka, stage.changelog, partitions, seconds)
    waiting: dict[int, RowStore] = {}
    try:
        places = []
        for partition, (_, mark) in ends.reach.items():
            rows, at = _begin(stage, partition, ends, local)
            if at >= mark:
                rows.finish_restore()
                ready(partition, rows)
            else:
                waiting[partition] = rows
                places.append(TopicPartition(stage.changelog, partition, at or OFFSET_BEGINNING))
        if not waiting:
            return 0
        consumer = changelog_reader(kafka)
        try:
            consumer.assign(places)
            return _read_to_marks(stage, consumer, waiting, ends, ready, cancelled)
        finally:
            consumer.close()
    finally:
        for rows in waiting.values():
            rows.close()


def _begin(stage: Stage, partition: int, ends: Ends, local: Local) -> tuple[RowStore, int]:
    """Rows to start from, and the changelog's offset to go on at; none and 0 when the disk has nothing of use."""
    start, end = ends.reach[partition]
    usable = partial(judge, topic_id=ends.topic_id, partition=partition, schema=stage.schema, start=start, end=end)
    if local.shelves is not None:
        # Not needed by workers whose rows are in memory, and 4 MB to load.
        from streams.engine.shelves import open_shelf

        new = Standing(ends.topic_id, partition, stage.schema, 0, 0, 0, 0)
        return open_shelf(local.shelves, stage.changelog, new, usable, cache=local.cache, oldest=stage.oldest)
    if local.checkpoints is not None:
        path = checkpoint.file_of(local.checkpoints, stage.changelog, partition)
        found = checkpoint.read(path, usable, oldest=stage.oldest)
        if found is not None:
            return found[1], found[0].offset
    return MemoryStore(), 0


def _read_to_marks(
    stage: Stage,
    consumer: Consumer,
    waiting: dict[int, RowStore],
    ends: Ends,
    ready: Restored,
    cancelled: Event,
) -> int:
    marks = {partition: mark for partition, (_, mark) in ends.reach.items()}
    schema, oldest = stage.schema, stage.oldest
    read = 0
    while waiting and not cancelled.is_set():
        messages = consumer.consume(_BATCH, 0.05)
        reach("during-restore")
        read += len(messages)
        for message in messages:
            partition = message.partition()
            rows = waiting.get(partition)
            if rows is None:
                continue
            error = message.error()
            at = message.offset()
            if error is None:
                rows.restore(message.key() or b"", message.value(), schema, oldest)
                at += 1
            elif error.code() != KafkaError._PARTITION_EOF:
                if error.fatal() or not error.retriable():
                    raise KafkaException(error)
                continue
            rows.advance(at)
            if at >= marks[partition]:
                rows.finish_restore()
                del waiting[partition]
                ready(partition, rows)
    return read
