"""The poller: what one poll brings, as records grouped by partition, bounded in count and in bytes."""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final

import msgspec
from confluent_kafka import Consumer, KafkaError, Message

from agents.runtime.contract import Record
from streams.engine.crash import crash
from streams.engine.failpoints import failpoint
from streams.engine.options import EngineOptions
from streams.engine.partitions import Partitions
from streams.kafka.consumers import member
from streams.kafka.settings import KafkaSettings

_NO_HEADERS: Final[dict[str, bytes]] = {}
_SHORT: Final = 0.02
_PASSING: Final = (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT)


class Batch(msgspec.Struct, frozen=True):
    """Records of one poll by partition, and the position after them by topic and partition.

    Where a partition's end was reached, its position lies behind the transaction markers there. A batch may hold such
    positions and no record.
    """

    chunks: dict[int, list[Record]]
    positions: dict[tuple[str, int], int]


def stage_consumer(kafka: KafkaSettings, options: EngineOptions, *, group: str, instance: str) -> Consumer:
    """The consumer of a stage: static member `instance` of `group`."""
    return member(kafka, group=group, instance=instance, session=options.session, on_error=on_client_error)


def on_client_error(error: KafkaError) -> None:
    """Handle librdkafka client errors: it retries passing outages itself; a fatal error (fenced) ends the worker."""
    if error.fatal():
        crash("consumer-fatal", code=error.name())


class Poller:
    """Polls on a thread of its own; `poll` blocks.

    Everything that changes the consumer happens on that thread: librdkafka lets a resume from another thread wait until
    the polls pause.
    """

    def __init__(self, consumer: Consumer, options: EngineOptions, partitions: Partitions) -> None:
        self.consumer = consumer
        self._options, self._partitions = options, partitions
        self._rebalances = 0
        self._soon: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._left: list[Message] = []
        """Messages that were consumed and did not fit into the last batch."""

    def soon(self, act: Callable[[], None]) -> None:
        """Run `act` on the polling thread before its next poll. May be called from any thread."""
        self._soon.put(act)

    def rebalanced(self) -> None:
        """Drop what was polled before a rebalance. Called from its callback, hence from within `poll`."""
        self._rebalances += 1
        self._left.clear()

    def poll(self) -> Batch | None:
        """The next batch; None when nothing came, or when partitions changed hands meanwhile."""
        options, consume = self._options, self.consumer.consume
        while not self._soon.empty():
            self._soon.get()()
        before = self._rebalances
        messages, self._left = self._left, []
        if not messages:
            # While partitions are being restored polls are short: `soon` is about to be called.
            messages = consume(1, _SHORT if self._partitions.restoring else options.idle)
            if messages and options.max_records > 1:
                messages += consume(options.max_records - 1, options.linger)
        if not messages or self._rebalances != before:
            return None
        batch, taken = batch_of(messages, options.max_bytes, options.max_records)
        self._left = messages[taken:]
        if batch.chunks:
            failpoint("after-consume")
        return batch if batch.positions else None


def batch_of(messages: list[Message], max_bytes: int, max_records: int) -> tuple[Batch, int]:
    """(messages as records by partition in their order, how many of them).

    The batch ends with the message that brings it to `max_bytes` of values or `max_records`.
    """
    chunks: dict[int, list[Record]] = {}
    positions: dict[tuple[str, int], int] = {}
    last: Any = None
    chunk: list[Record] = []
    size = taken = 0
    for message in messages:
        taken += 1
        error = message.error()
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF:
                positions[message.topic(), message.partition()] = message.offset()
            else:
                _check(error)
            continue
        topic, partition, offset, value = message.topic(), message.partition(), message.offset(), message.value()
        if partition != last:
            last, chunk = partition, chunks.setdefault(partition, [])
        headers = message.headers()
        chunk.append(
            Record(
                topic,
                partition,
                offset,
                message.key(),
                value,
                message.timestamp()[1],
                dict(headers) if headers else _NO_HEADERS,
            )
        )
        positions[topic, partition] = offset + 1
        if value is not None:
            size += len(value)
            if size >= max_bytes:
                break
        if taken >= max_records:
            break
    return Batch(chunks, positions), taken


def _check(error: KafkaError) -> None:
    """End the worker unless the error passes by itself."""
    if error.code() == KafkaError._AUTO_OFFSET_RESET:
        # The log lost the position while this worker ran. The next start compares the committed position with the log,
        # and refuses with the place, or continues where nothing is missing (ticks).
        crash("position-lost")
    if error.fatal() or not (error.retriable() or error.code() in _PASSING):
        crash("consume-failed", code=error.name())
