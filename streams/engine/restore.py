"""Restore: a partition's rows from its changelog, up to the mark that was its end when the partition was assigned
(docs/engine.md#restore).

The mark is the high watermark, which counts records of transactions still open. Reading committed records until the
position has reached it therefore waits until a predecessor's last transaction is decided (its time-out at the longest);
the first end-of-partition may come too early, before that transaction's marker is in this partition.

A checkpoint on local disk, or a store there, makes it unnecessary to read what came before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from threading import Event

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from agents.runtime.contract import Stage
from agents.runtime.store import MemoryStore, RowStore
from streams.engine import checkpoint
from streams.engine.checkpoint import CheckpointMeta, judge
from streams.engine.failpoints import failpoint
from streams.engine.options import EngineOptions
from streams.kafka.consumers import BULK, reader
from streams.kafka.offsets import admin_client, ends, starts, topic_id
from streams.kafka.read import tail
from streams.kafka.settings import KafkaSettings

_BATCH = 2_000

Restored = Callable[[int, RowStore], None]


class Local(msgspec.Struct, frozen=True):
    """Folders on local disk that a restore may use: `checkpoints` to start from, or `stores` that hold the rows."""

    checkpoints: Path | None = None
    stores: Path | None = None
    cache: int = 0
    """Bytes of each store's rows to keep in memory."""


def local_of(options: EngineOptions, partitions: int) -> Local:
    """The folders named by the options, for a worker with so many partitions."""
    folder = None if options.checkpoint_folder is None else Path(options.checkpoint_folder)
    if options.rows == "disk":
        return Local(stores=folder, cache=options.rows_cache // max(1, partitions))
    return Local(checkpoints=folder)


class Ends(msgspec.Struct, frozen=True):
    """How far a changelog extends: by partition, its first offset and its high watermark.

    The high watermark counts the records of open transactions.
    """

    topic_id: str
    offsets: dict[int, tuple[int, int]]


def ends_of(kafka: KafkaSettings, topic: str, partitions: Iterable[int], seconds: float) -> Ends:
    """Ask the cluster. Raises KafkaException."""
    admin = admin_client(kafka)
    places = [(topic, partition) for partition in partitions]
    first = starts(admin, places, seconds=seconds)
    last = ends(admin, places, committed=False, seconds=seconds)
    found = {place[1]: (first[place], last[place]) for place in places}
    return Ends(topic_id(admin, topic, seconds=seconds), found)


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
    limits = ends_of(kafka, stage.changelog, partitions, seconds)
    waiting: dict[int, RowStore] = {}
    try:
        places = []
        for partition, (_, mark) in limits.offsets.items():
            rows, at = _begin(stage, partition, limits, local)
            if at >= mark:
                rows.finish_restore()
                ready(partition, rows)
            else:
                waiting[partition] = rows
                places.append(TopicPartition(stage.changelog, partition, at or OFFSET_BEGINNING))
        if not waiting:
            return 0
        consumer = reader(kafka, "handoff.restore", BULK)
        try:
            consumer.assign(places)
            return _read_to_marks(stage, consumer, waiting, limits, ready, cancelled)
        finally:
            consumer.close()
    finally:
        for rows in waiting.values():
            rows.close()


def _begin(stage: Stage, partition: int, limits: Ends, local: Local) -> tuple[RowStore, int]:
    """(rows to start from, changelog offset to continue at); an empty store and 0 when nothing on disk can be used."""
    start, end = limits.offsets[partition]
    usable = partial(judge, topic_id=limits.topic_id, partition=partition, schema=stage.schema, start=start, end=end)
    if local.stores is not None:
        # 4 MB to load, which workers with rows in memory do not need.
        from streams.engine.rocksdb_files import open_rocks

        new = CheckpointMeta(limits.topic_id, partition, stage.schema, 0, 0, 0, 0)
        return open_rocks(local.stores, stage.changelog, new, usable, cache=local.cache, oldest=stage.oldest)
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
    limits: Ends,
    ready: Restored,
    cancelled: Event,
) -> int:
    marks = {partition: mark for partition, (_, mark) in limits.offsets.items()}
    schema, oldest = stage.schema, stage.oldest
    read = 0
    for batch in tail(consumer, size=_BATCH):
        failpoint("during-restore")
        read += len(batch.messages)
        for message in batch.messages:
            rows = waiting.get(message.partition() or 0)
            if rows is not None:
                rows.restore(message.key() or b"", message.value(), schema, oldest)
        for (_, partition), position in batch.positions.items():
            rows = waiting.get(partition)
            if rows is None:
                continue
            rows.advance(position)
            if position >= marks[partition]:
                rows.finish_restore()
                del waiting[partition]
                ready(partition, rows)
        if not waiting or cancelled.is_set():
            break
    return read
