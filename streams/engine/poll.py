"""Intake: what one poll brings, as records grouped by partition."""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final

import msgspec
from confluent_kafka import Consumer, KafkaError, Message

from agents.runtime.contract import Record
from streams.engine.crash import crash
from streams.engine.failpoints import reach
from streams.engine.options import EngineOptions
from streams.kafka.settings import KafkaSettings

_NO_HEADERS: Final[dict[str, bytes]] = {}
_SHORT: Final = 0.02
_PASSING: Final = (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT)


class Batch(msgspec.Struct, frozen=True):
    """Records of one poll by partition, and the position after them by topic and partition."""

    chunks: dict[int, list[Record]]
    positions: dict[tuple[str, int], int]


def stage_consumer(kafka: KafkaSettings, options: EngineOptions, *, group: str, instance: str) -> Consumer:
    """A consumer that joins `group` as the static member `instance`, and reads what is committed."""
    return Consumer(
        {
            **kafka.librdkafka(),
            "group.id": group,
            "group.instance.id": instance,
            "partition.assignment.strategy": "range",
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "session.timeout.ms": int(options.session * 1000),
            "heartbeat.interval.ms": int(options.session * 250),
            "max.poll.interval.ms": int(max(60.0, options.session * 2) * 1000),
            "fetch.wait.max.ms": 50,
            "fetch.queue.backoff.ms": 10,
            "max.partition.fetch.bytes": 4 * 1024 * 1024,
            "queued.min.messages": 20_000,
            "queued.max.messages.kbytes": 64 * 1024,
            "topic.metadata.refresh.interval.ms": 30_000,
            "error_cb": on_client_error,
        }
    )


def on_client_error(error: KafkaError) -> None:
    """librdkafka's own trouble: passing outages are its to mend, a fatal error (a fenced member) ends the worker."""
    if error.fatal():
        crash("consumer-fatal", code=error.name())


class Intake:
    """Polls in a thread of its own; `poll` blocks.

    Everything that changes the consumer happens on that thread: librdkafka lets a resume from another thread wait until
    the polls pause.
    """

    def __init__(self, consumer: Consumer, options: EngineOptions) -> None:
        self.consumer = consumer
        self.expecting: Callable[[], bool] = lambda: False
        """Whether somebody is about to `soon` something: polls are kept short then."""
        self._options = options
        self._rebalances = 0
        self._soon: SimpleQueue[Callable[[], None]] = SimpleQueue()

    def soon(self, act: Callable[[], None]) -> None:
        """Have `act` run on the polling thread before its next poll. May be called from any thread."""
        self._soon.put(act)

    def rebalanced(self) -> None:
        """Called from a rebalance callback, hence from within `poll`: what that poll gathered before is void."""
        self._rebalances += 1

    def poll(self) -> Batch | None:
        """The next batch; None when nothing came, or when partitions changed hands meanwhile."""
        options, consume = self._options, self.consumer.consume
        while not self._soon.empty():
            self._soon.get()()
        before = self._rebalances
        messages = consume(1, _SHORT if self.expecting() else options.idle)
        if messages and options.max_records > 1:
            messages += consume(options.max_records - 1, options.linger)
        if not messages or self._rebalances != before:
            return None
        reach("after-consume")
        return batch_of(messages)


def batch_of(messages: list[Message]) -> Batch:
    """Messages as records by partition, in the order in which they came."""
    chunks: dict[int, list[Record]] = {}
    positions: dict[tuple[str, int], int] = {}
    last: Any = None
    chunk: list[Record] = []
    for message in messages:
        error = message.error()
        if error is not None:
            _meet(error)
            continue
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        if partition != last:
            last, chunk = partition, chunks.setdefault(partition, [])
        headers = message.headers()
        chunk.append(
            Record(
                topic,
                partition,
                offset,
                message.key(),
                message.value(),
                message.timestamp()[1],
                dict(headers) if headers else _NO_HEADERS,
            )
        )
        positions[topic, partition] = offset + 1
    return Batch(chunks, positions)


def _meet(error: KafkaError) -> None:
    if error.fatal() or not (error.retriable() or error.code() in _PASSING):
        crash("consume-failed", code=error.name())
