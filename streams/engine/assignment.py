"""Rebalances: take partitions, restore their rows, give them back (docs/engine.md#assignment).

Everything here happens on the thread that polls; Kafka's callbacks come from within the poll. Assignment is eager: a
rebalance takes every partition away and assigns anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from threading import Event, Lock, Thread

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from agents.runtime.contract import AHEAD, Stage
from agents.runtime.store import RowStore, Unreadable
from streams import signals
from streams.engine.attempts import Attempts
from streams.engine.crash import crash, refuse
from streams.engine.options import EngineOptions
from streams.engine.partitions import Partitions
from streams.engine.poll import Poller
from streams.engine.restore import Local, local_of, restore
from streams.kafka.offsets import admin_client, starts
from streams.kafka.settings import KafkaSettings

_log = structlog.get_logger("engine")
_SECONDS = 10.0


class Assignment:
    """Kafka's rebalance callbacks, on the partitions of one worker."""

    def __init__(
        self,
        stage: Stage,
        kafka: KafkaSettings,
        options: EngineOptions,
        partitions: Partitions,
        poller: Poller,
        attempts: Attempts,
        drain: Callable[[], None],
    ) -> None:
        """`drain()` returns when no decision and no transaction is under way; it raises TimeoutError past its limit."""
        self._stage, self._kafka, self._options = stage, kafka, options
        self._partitions, self._poller, self._attempts, self._drain = partitions, poller, attempts, drain
        self._restoring: RestoreThread | None = None

    def subscribe(self) -> None:
        """Join the consumer group."""
        self._poller.consumer.subscribe(
            list(self._stage.inputs), on_assign=self.assigned, on_revoke=self.revoked, on_lost=self.lost
        )

    def assigned(self, consumer: Consumer, given: list[TopicPartition]) -> None:
        """Take partitions: read their positions, pause their input, and restore their rows."""
        self._poller.rebalanced()
        began = time.monotonic()
        positions = self._stable_positions(consumer, given) if given else []
        for (topic, partition), mark in self._attempts.assign(positions).items():
            signals.begun_before(self._stage.name, topic, partition, mark.at, mark.attempts)
        positions = self._retained(positions)
        consumer.assign(positions)
        if positions:
            consumer.pause(positions)
        partitions = self._partitions
        partitions.assign(positions, consumer.consumer_group_metadata())
        _log.info("assigned", stage=self._stage.name, partitions=partitions.numbers)
        if not positions:
            return

        def serve(partition: int) -> None:
            rows = restoring.claim(partition)
            if rows is None:
                return
            ahead = rows.clock - int(time.time() * 1000)
            if ahead > AHEAD:
                signals.clock_set_back(self._stage.name, partition, ahead)
                rows.set_back(rows.clock - ahead)
            partitions.ready[partition] = rows
            consumer.resume([place for place in positions if place.partition == partition])
            signals.partition_ready(self._stage.name, partition, len(rows), time.monotonic() - began)

        def restored(partition: int) -> None:
            self._poller.soon(lambda: serve(partition))

        local = local_of(self._options, len(partitions.numbers))
        restoring = RestoreThread(self._stage, self._kafka, partitions.numbers, restored, local, self._restoring)
        self._restoring = restoring
        restoring.start()

    def revoked(self, consumer: Consumer, _taken: list[TopicPartition]) -> None:
        """Give partitions back: finish what is under way, then forget their rows."""
        self._poller.rebalanced()
        if self._restoring is not None:
            self._restoring.cancel()
        try:
            self._drain()
        except TimeoutError:
            crash("drain-deadline", stage=self._stage.name)
        signals.partitions_revoked(self._stage.name, self._partitions.numbers, self._partitions.ready)
        self._partitions.clear()
        consumer.unassign()

    def lost(self, _consumer: Consumer, taken: list[TopicPartition]) -> None:
        """Another member may already have the partitions: nothing may be finished any more."""
        crash("assignment-lost", stage=self._stage.name, partitions=sorted({place.partition for place in taken}))

    def _stable_positions(self, consumer: Consumer, given: list[TopicPartition]) -> list[TopicPartition]:
        """The committed positions. The consumer reads committed: this waits out a transaction that still moves them."""
        limit = self._options.transaction * 2
        deadline = time.monotonic() + limit
        while True:
            try:
                found: list[TopicPartition] = consumer.committed(given, timeout=limit)
                failed = [place.error for place in found if place.error is not None]
            except KafkaException as failure:
                failed = [failure.args[0]]
            if not failed:
                return found
            if not failed[0].retriable() or time.monotonic() > deadline:
                crash("positions-unknown", stage=self._stage.name, code=failed[0].name())

    def _retained(self, positions: list[TopicPartition]) -> list[TopicPartition]:
        """Positions to read from. A position that Kafka no longer retains ends the worker: records would be skipped.

        Without a committed position the input is read from its start. Ticks may be missing: each later one states all
        that an earlier one did.
        """
        known = [(place.topic, place.partition) for place in positions if place.offset >= 0]
        try:
            first = starts(admin_client(self._kafka), known, seconds=_SECONDS) if known else {}
        except (KafkaException, TimeoutError) as error:
            crash("positions-unknown", stage=self._stage.name, error=type(error).__name__)
        for place in positions:
            if place.offset < 0:
                place.offset = OFFSET_BEGINNING
            elif place.offset < first[place.topic, place.partition]:
                if place.topic != self._stage.clock:
                    refuse(
                        "position-not-retained",
                        stage=self._stage.name,
                        topic=place.topic,
                        partition=place.partition,
                        committed=place.offset,
                        retained_from=first[place.topic, place.partition],
                        remedy="records between the two are gone; move the group's position on purpose, then restart",
                    )
                place.offset = first[place.topic, place.partition]
        return positions


class RestoreThread(Thread):
    """A restore on a thread of its own: partitions that are ready are decided meanwhile.

    Rows that are restored belong to it until `claim`ed; `cancel` closes those that were not claimed, so that the next
    restore finds them closed. It begins when `former` (the restore of an earlier assignment) has ended.
    """

    def __init__(
        self,
        stage: Stage,
        kafka: KafkaSettings,
        partitions: Iterable[int],
        ready: Callable[[int], None],
        local: Local,
        former: Thread | None = None,
    ) -> None:
        super().__init__(name="restore", daemon=True)
        self._stage, self._kafka, self._partitions, self._ready = stage, kafka, list(partitions), ready
        self._local, self._former = local, former
        self._cancelled = Event()
        self._lock = Lock()
        self._restored: dict[int, RowStore] = {}

    def cancel(self) -> None:
        """Stop; no partition becomes ready any more. Does not wait."""
        with self._lock:
            self._cancelled.set()
            for rows in self._restored.values():
                rows.close()
            self._restored.clear()

    def claim(self, partition: int) -> RowStore | None:
        """A partition's restored rows, now the caller's to close; None when the restore was cancelled meanwhile."""
        with self._lock:
            return self._restored.pop(partition, None)

    def run(self) -> None:
        """Restore, and end the worker if that cannot be done."""
        if self._former is not None:
            self._former.join()
        self._former = None
        began = time.monotonic()
        if self._cancelled.is_set():
            return
        try:
            read = restore(
                self._stage, self._kafka, self._partitions, self._keep, cancelled=self._cancelled, local=self._local
            )
        except Unreadable as error:
            refuse("restore-unreadable", stage=self._stage.name, why=str(error))
        except Exception as error:
            if not self._cancelled.is_set():
                crash("restore-failed", stage=self._stage.name, error=type(error).__name__)
        else:
            taken = round(time.monotonic() - began, 3)
            _log.info("restored", stage=self._stage.name, partitions=self._partitions, records=read, seconds=taken)

    def _keep(self, partition: int, rows: RowStore) -> None:
        with self._lock:
            if self._cancelled.is_set():
                rows.close()
                return
            self._restored[partition] = rows
        self._ready(partition)
