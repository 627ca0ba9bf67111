"""Which partitions this worker has, and their rows: assign, restore, revoke.

Everything here happens on the thread that polls, callbacks from within the poll. Assignment is eager: a rebalance
takes every partition away and gives anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaException, TopicPartition

from agents.runtime.contract import Stage
from agents.runtime.store import RowStore
from streams.engine.crash import crash
from streams.engine.metrics import ROWS
from streams.engine.options import EngineOptions
from streams.engine.poll import Intake
from streams.engine.restore import local_of
from streams.engine.restoring import RestoreThread, observe
from streams.kafka.settings import KafkaSettings

_log = structlog.get_logger("engine")


class Assignment:
    """The partitions of one worker. `ready` holds the rows of those that may be decided on."""

    def __init__(
        self, stage: Stage, kafka: KafkaSettings, options: EngineOptions, intake: Intake, drain: Callable[[], None]
    ) -> None:
        """`drain()` returns when no decision and no transaction is under way; it raises if that takes too long."""
        self.ready: dict[int, RowStore] = {}
        self.moved: dict[tuple[str, int], int] = {}
        """Where this worker has moved the input since the assignment, by topic and partition."""
        self.metadata: Any = None
        """The consumer's group metadata as of this assignment: what fences a transaction decided under an older one."""
        self._stage, self._kafka, self._options, self._intake, self._drain = stage, kafka, options, intake, drain
        self._given: list[TopicPartition] | None = None
        self._restoring: RestoreThread | None = None
        intake.expecting = lambda: self._given is not None and not self.complete

    @property
    def partitions(self) -> list[int]:
        """Numbers of the partitions assigned, restored or not."""
        return sorted({place.partition for place in self._given or ()})

    @property
    def positions(self) -> dict[tuple[str, int], int]:
        """Where the input of the restored partitions stands, by topic and partition."""
        starts = {
            (place.topic, place.partition): max(0, place.offset)
            for place in self._given or ()
            if place.partition in self.ready
        }
        return {**starts, **self.moved}

    @property
    def complete(self) -> bool:
        """Whether the group has given this worker its share (which may be none) and all of it is restored."""
        return self._given is not None and len(self.ready) == len(self.partitions)

    def assigned(self, consumer: Consumer, given: list[TopicPartition]) -> None:
        """Take partitions: read their positions, hold their input back, and restore their rows."""
        self._intake.rebalanced()
        began = time.monotonic()
        positions = self._stable_positions(consumer, given) if given else []
        consumer.assign(positions)
        if positions:
            consumer.pause(positions)
        self.metadata = consumer.consumer_group_metadata()
        self._given = positions
        _log.info("assigned", stage=self._stage.name, partitions=self.partitions)

        def serve(partition: int) -> None:
            rows = restoring.claim(partition)
            if rows is None:
                return
            self.ready[partition] = rows
            consumer.resume([place for place in positions if place.partition == partition])
            observe(began)
            ROWS.labels(self._stage.name, str(partition)).set(len(rows))
            _log.info("ready", stage=self._stage.name, partition=partition, rows=len(rows))

        def restored(partition: int) -> None:
            self._intake.soon(lambda: serve(partition))

        if positions:
            local = local_of(self._options, len(self.partitions))
            restoring = RestoreThread(self._stage, self._kafka, self.partitions, restored, local, self._restoring)
            self._restoring = restoring
            restoring.start()

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

    def revoked(self, consumer: Consumer, _taken: list[TopicPartition]) -> None:
        """Give partitions back: finish what is under way, then forget their rows."""
        self._intake.rebalanced()
        if self._restoring is not None:
            self._restoring.cancel()
        try:
            self._drain()
        except TimeoutError:
            crash("drain-deadline", stage=self._stage.name)
        _log.info("revoked", stage=self._stage.name, partitions=self.partitions)
        for partition, rows in self.ready.items():
            rows.close()
            ROWS.remove(self._stage.name, str(partition))
        self._given = None
        self.ready.clear()
        self.moved.clear()
        self.metadata = None
        consumer.unassign()

    def lost(self, _consumer: Consumer, taken: list[TopicPartition]) -> None:
        """Somebody else may already have the partitions: nothing may be finished any more."""
        crash("assignment-lost", stage=self._stage.name, partitions=sorted({place.partition for place in taken}))
