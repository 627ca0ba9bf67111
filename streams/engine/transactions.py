"""One transaction: changed rows, emits and input positions, all or nothing (docs/engine.md#transactions)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicPartition

from agents.runtime.contract import Stage
from agents.runtime.store import CLOCK_KEY, ChunkResult, clock_envelope
from streams.engine.crash import crash
from streams.engine.failpoints import failpoint
from streams.engine.options import EngineOptions
from streams.engine.poll import on_client_error
from streams.engine.sensors import Sensors
from streams.kafka.produce import produce_blocking
from streams.kafka.settings import KafkaSettings, producer_config


class Outcome(msgspec.Struct, frozen=True):
    """Results of one batch by partition, and the input positions after it."""

    results: dict[int, ChunkResult]
    positions: dict[tuple[str, int], int]
    metadata: Any
    oldest: dict[int, int]
    """Append time (ms UTC) of each chunk's oldest record."""
    notes: Mapping[tuple[str, int], str] = {}
    """What the metadata of positions say; none otherwise (`streams.engine.attempts`)."""


def stage_producer(kafka: KafkaSettings, options: EngineOptions, instance: str) -> Producer:
    """The transactional producer of a slot. A later one under the same `instance` fences the earlier one."""
    limit = int(options.transaction * 1000)
    return Producer(
        producer_config(
            kafka,
            **{
                "transactional.id": instance,
                "transaction.timeout.ms": limit,
                "message.timeout.ms": limit,
                "batch.size": 1_000_000,
                "queue.buffering.max.messages": 500_000,
                "queue.buffering.max.kbytes": 1_048_576,
                # A store on disk needs the changelog position after each transaction; that costs a report a record.
                "delivery.report.only.error": options.rows == "memory",
                "error_cb": on_client_error,
            },
        )
    )


class Transactions:
    """Writes transactions, one at a time, from one thread. Any failure that is not retriable ends the process."""

    def __init__(self, stage: Stage, producer: Producer, options: EngineOptions, sensors: Sensors) -> None:
        self._stage, self._producer, self._options, self._sensors = stage, producer, options, sensors
        self._on_delivery = None if options.rows == "memory" else self._note_position
        self._changelog_positions: dict[int, int] = {}
        self.open_since: float | None = None
        """When the transaction under way began (monotonic seconds), or None. For the watchdog: librdkafka does not keep
        the time limit of every call when a broker goes away within it."""

    def begin_service(self) -> None:
        """Fence the slot's predecessor and have its open transaction aborted. Must come before the group is joined."""
        self._retry("init", lambda: self._producer.init_transactions(10.0), self._options.start)

    def write(self, outcome: Outcome) -> dict[int, int]:
        """Write and commit; returns when all of it is committed: the changelog's position after it, by partition.

        Without rows on disk the positions are not needed, and the result is empty.
        """
        self._changelog_positions = {}
        self.open_since = time.monotonic()
        state = self._sensors.on_commit_initiated(None)
        limit = self._options.transaction
        producer = self._producer
        self._retry("begin", producer.begin_transaction, limit)
        failpoint("after-begin")
        try:
            self._produce(outcome)
        except KafkaException as error:
            crash("produce-failed", stage=self._stage.name, code=error.args[0].name())
        failpoint("after-produce", producer.flush)
        offsets = [TopicPartition(*place, at, outcome.notes.get(place, "")) for place, at in outcome.positions.items()]
        self._retry("offsets", lambda: producer.send_offsets_to_transaction(offsets, outcome.metadata, limit), limit)
        failpoint("after-offsets", producer.flush)
        self._retry("commit", lambda: producer.commit_transaction(limit), limit)
        self.open_since = None
        failpoint("after-commit")
        self._sensors.on_commit_completed(None, state)
        return self._changelog_positions

    def _note_position(self, error: KafkaError | None, message: Message) -> None:
        """Delivery report of a partition's last changelog record: the transaction's marker comes after it."""
        if error is None:
            self._changelog_positions[int(message.partition() or 0)] = int(message.offset() or 0) + 1

    def _produce(self, outcome: Outcome) -> None:
        producer, changelog = self._producer, self._stage.changelog
        for partition, result in outcome.results.items():
            for key, row in result.changed.items():
                produce_blocking(producer, changelog, row, key.encode(), partition)
            clock = clock_envelope(result.clock)
            if self._on_delivery is None:
                produce_blocking(producer, changelog, clock, CLOCK_KEY, partition)
            else:
                produce_blocking(producer, changelog, clock, CLOCK_KEY, partition, on_delivery=self._on_delivery)
            for emit in result.emits:
                at = -1 if emit.partition is None else emit.partition
                if emit.headers:
                    produce_blocking(producer, emit.topic, emit.value, emit.key, at, headers=list(emit.headers))
                else:
                    produce_blocking(producer, emit.topic, emit.value, emit.key, at)

    def _retry(self, step: str, call: Callable[[], object], seconds: float) -> None:
        """Call, and call again while librdkafka marks the failure as retriable, for `seconds` at most."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                call()
                return
            except KafkaException as failure:
                error = failure.args[0]
                if error.txn_requires_abort():
                    self._abort()
                if error.fatal() or error.txn_requires_abort() or not error.retriable():
                    crash("transaction-failed", stage=self._stage.name, step=step, code=error.name())
                if time.monotonic() > deadline:
                    crash("transaction-overdue", stage=self._stage.name, step=step, code=error.name())

    def _abort(self) -> None:
        """Abort before the process ends, if that is possible at once: readers wait behind an open transaction."""
        with suppress(KafkaException):
            self._producer.abort_transaction(2.0)
