"""Restore: a partition's rows from its changelog, up to the mark that was its end when the partition was assigned.

The mark is the high watermark, which counts records of transactions still open. Reading committed records until the
position has reached it therefore waits until a predecessor's last transaction is decided (its time-out at the longest);
the first end-of-partition may come too early, before that transaction's marker is in this partition.

A checkpoint on local disk, where there is a good one, saves reading what came before it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from threading import Event, Thread

import msgspec
import structlog
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

from agents.rows import PartitionRows, Unreadable
from agents.stage import Stage
from streams.clients import KafkaSettings
from streams.engine import checkpoint, metrics
from streams.engine.checkpoint import judge
from streams.engine.crash import crash, refuse
from streams.engine.killpoints import reach

_log = structlog.get_logger("engine")
_BATCH = 2_000

Restored = Callable[[int, PartitionRows], None]


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
    checkpoints: Path | None = None,
    seconds: float = 30.0,
) -> int:
    """Restore partitions, calling `ready(partition, rows)` for each as soon as it is done. Returns the records read.

    Must be called after the partitions' committed positions were read as stable offsets: no transaction that moves
    them can be open then, so none can add to the changelog behind the mark. Raises Unreadable and KafkaException.
    """
    ends = ends_of(kafka, stage.changelog, partitions, seconds)
    waiting: dict[int, PartitionRows] = {}
    places = []
    for partition, (_, mark) in ends.reach.items():
        rows, at = _from_checkpoint(stage, partition, ends, checkpoints)
        if at >= mark:
            rows.build_heap()
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


def _from_checkpoint(stage: Stage, partition: int, ends: Ends, folder: Path | None) -> tuple[PartitionRows, int]:
    """Rows to start from, and the changelog's offset to go on at; none and 0 without a checkpoint of use."""
    if folder is None:
        return PartitionRows(), 0
    start, end = ends.reach[partition]
    usable = partial(judge, topic_id=ends.topic_id, partition=partition, schema=stage.schema, start=start, end=end)
    found = checkpoint.read(checkpoint.file_of(folder, stage.name, partition), usable)
    return (PartitionRows(), 0) if found is None else (found[1], found[0].offset)


def _read_to_marks(
    stage: Stage,
    consumer: Consumer,
    waiting: dict[int, PartitionRows],
    ends: Ends,
    ready: Restored,
    cancelled: Event,
) -> int:
    marks = {partition: mark for partition, (_, mark) in ends.reach.items()}
    schema = stage.schema
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
                rows.restore(message.key() or b"", message.value(), schema)
                at += 1
            elif error.code() != KafkaError._PARTITION_EOF:
                if error.fatal() or not error.retriable():
                    raise KafkaException(error)
                continue
            if at >= marks[partition]:
                rows.build_heap()
                del waiting[partition]
                ready(partition, rows)
    return read


class RestoreThread(Thread):
    """A restore that serving partitions need not wait for."""

    def __init__(
        self,
        stage: Stage,
        kafka: KafkaSettings,
        partitions: Iterable[int],
        ready: Restored,
        checkpoints: Path | None,
    ) -> None:
        super().__init__(name="restore", daemon=True)
        self._stage, self._kafka, self._partitions, self._ready = stage, kafka, list(partitions), ready
        self._checkpoints = checkpoints
        self._cancelled = Event()

    def cancel(self) -> None:
        """Stop; nothing becomes ready any more. Does not wait."""
        self._cancelled.set()

    def run(self) -> None:
        """Restore, and end the worker if that cannot be done."""
        began = time.monotonic()
        try:
            read = restore(
                self._stage,
                self._kafka,
                self._partitions,
                self._tell,
                cancelled=self._cancelled,
                checkpoints=self._checkpoints,
            )
        except Unreadable as error:
            refuse("restore-unreadable", stage=self._stage.name, why=str(error))
        except Exception as error:
            if not self._cancelled.is_set():
                crash("restore-failed", stage=self._stage.name, error=type(error).__name__)
        else:
            taken = round(time.monotonic() - began, 3)
            _log.info("restored", stage=self._stage.name, partitions=self._partitions, records=read, seconds=taken)

    def _tell(self, partition: int, rows: PartitionRows) -> None:
        if not self._cancelled.is_set():
            self._ready(partition, rows)


def observe(began: float) -> None:
    """Record how long a partition took, from its assignment (monotonic seconds) on."""
    metrics.RESTORES.observe(time.monotonic() - began)
