"""Writing to Kafka from outside the stages: one record with its confirmation, or many records all at once.

`ConfirmedProducer` is librdkafka's plain producer with one polling thread: the loop is woken once for all
confirmations that a poll brings, which is what makes one-message-at-a-time protocols fast.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Any, Final
from uuid import uuid4

import structlog
from confluent_kafka import KafkaError, KafkaException, Producer

from agents.runtime.contract import Emit
from streams.kafka.settings import KafkaSettings, producer_config

_log = structlog.get_logger("produce")
_POLL_SECONDS: Final = 0.2
_LOAD_SECONDS: Final = 300
_WRITE_SECONDS: Final = 15.0
_FULL_SECONDS: Final = 0.05
TOO_LARGE: Final = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE})


class NotConfirmed(Exception):
    """Kafka did not confirm a record. It may be written all the same: a time-out does not tell.

    `why` is librdkafka's name for the error; `too_large`: the record will never be taken as it is.
    """

    def __init__(self, why: str, too_large: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.too_large = too_large


def _not_confirmed(error: KafkaError) -> NotConfirmed:
    return NotConfirmed(error.name(), error.code() in TOO_LARGE)


class ConfirmedProducer:
    """Idempotent, `acks=all`: a record counts as written when every in-sync replica has it.

    librdkafka drops a record from its queue that is not confirmed within `seconds`. Create the producer inside the loop
    that awaits its confirmations. `fatal` becomes true when it can never work again (the process should end and be
    started again); `on_fatal` is then called, in the loop.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        *,
        seconds: float = 10.0,
        max_bytes: int = 2 * 1024 * 1024,
        on_fatal: Callable[[], None] | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_fatal = on_fatal
        self.seconds = seconds
        self.fatal = False
        milliseconds = int(seconds * 1000)
        self._producer = Producer(
            producer_config(
                kafka,
                error_cb=self._failed,
                **{
                    "linger.ms": 0,  # the one in flight is waited for; batches form by themselves behind it
                    "compression.type": "none",
                    "socket.nagle.disable": True,
                    "message.timeout.ms": milliseconds,
                    "request.timeout.ms": milliseconds,
                    "socket.timeout.ms": max(1000, milliseconds),
                    "reconnect.backoff.ms": 100,
                    "reconnect.backoff.max.ms": 1000,
                    "message.max.bytes": max_bytes,
                    "log_level": 0,
                },
            )
        )
        self._answered: list[tuple[asyncio.Future[None], KafkaError | None]] = []
        self._stopping = False
        self._thread = threading.Thread(target=self._poll, name="kafka-producer", daemon=True)
        self._thread.start()

    def send(
        self, topic: str, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]
    ) -> asyncio.Future[None]:
        """Put a record into the queue. The future is done when Kafka has confirmed it, or fails with NotConfirmed."""
        future: asyncio.Future[None] = self._loop.create_future()
        try:
            self._producer.produce(
                topic, value=value, key=key, headers=headers, on_delivery=partial(self._delivered, future)
            )
        except BufferError:
            future.set_exception(NotConfirmed("QUEUE_FULL"))
        except KafkaException as error:
            future.set_exception(_not_confirmed(error.args[0]))
        return future

    async def missing(self, topics: Iterable[str], seconds: float = 3.0) -> list[str] | None:
        """Which of the topics the cluster does not have; None when it does not answer within `seconds`."""

        def ask() -> list[str] | None:
            try:
                known = self._producer.list_topics(timeout=seconds).topics
            except KafkaException:
                return None
            return [topic for topic in topics if topic not in known or known[topic].error is not None]

        return await asyncio.to_thread(ask)

    async def close(self, seconds: float = 5.0) -> int:
        """Wait at most `seconds` for records under way; returns the number that were not confirmed."""
        left = await asyncio.to_thread(self._producer.flush, seconds)
        self._stopping = True
        await asyncio.to_thread(self._thread.join, 5.0)
        self._resolve(self._take())
        return int(left)

    def _delivered(self, future: asyncio.Future[None], error: KafkaError | None, _: Any) -> None:
        """Runs in the thread that polls (or flushes)."""
        self._answered.append((future, error))

    def _poll(self) -> None:
        while not self._stopping:
            self._producer.poll(_POLL_SECONDS)
            if self._answered:
                try:
                    self._loop.call_soon_threadsafe(self._resolve, self._take())
                except RuntimeError:
                    return  # the loop is closed: no confirmation is awaited any more

    def _take(self) -> list[tuple[asyncio.Future[None], KafkaError | None]]:
        answered, self._answered = self._answered, []
        return answered

    @staticmethod
    def _resolve(answered: list[tuple[asyncio.Future[None], KafkaError | None]]) -> None:
        for future, error in answered:
            if future.done():
                continue
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(_not_confirmed(error))

    def _failed(self, error: KafkaError) -> None:
        """librdkafka's own errors, in the polling thread. All but fatal ones heal by themselves."""
        with suppress(OSError, ValueError):  # a log that cannot be written is no reason to stop confirming
            _log.warning("kafka", error=error.name(), fatal=error.fatal())
        if error.fatal() and not self.fatal:
            self.fatal = True
            if self._on_fatal is not None:
                self._loop.call_soon_threadsafe(self._on_fatal)


def produce_together(kafka: KafkaSettings, emits: Iterable[Emit], progress: Callable[[int], None] | None = None) -> int:
    """Writes all records in one transaction: readers see all of them or none. Gives their number.

    `progress` is called with the number handed over so far. Raises NotConfirmed; nothing counts as written then.
    """
    config = producer_config(kafka, **{"linger.ms": 20, "log_level": 0, "message.max.bytes": 2 * 1024 * 1024})
    config["transactional.id"] = f"handoff.load.{uuid4().hex}"
    config["transaction.timeout.ms"] = _LOAD_SECONDS * 1000
    producer = Producer(config)
    count = 0
    try:
        producer.init_transactions(30)
        producer.begin_transaction()
        for emit in emits:
            partition = -1 if emit.partition is None else emit.partition
            headers = list(emit.headers)
            produce_blocking(producer, kafka.actual(emit.topic), emit.value, emit.key, partition, headers=headers)
            count += 1
            if progress is not None and count % 1000 == 0:
                progress(count)
        producer.commit_transaction(_LOAD_SECONDS)
    except KafkaException as error:
        _abort(producer)
        raise _not_confirmed(error.args[0]) from error
    except BaseException:
        _abort(producer)
        raise
    if progress is not None:
        progress(count)
    return count


class TransactionalWriter:
    """Writes batches, each in a transaction, under one transactional ID: a later writer of that ID fences this one, and
    what this one had begun is aborted. Topics are named as the cluster calls them.
    """

    def __init__(self, kafka: KafkaSettings, name: str) -> None:
        """Fences earlier writers of the transactional ID `name`. Raises KafkaException."""
        milliseconds = int(_WRITE_SECONDS * 1000)
        limits = {"transaction.timeout.ms": milliseconds, "message.timeout.ms": milliseconds, "log_level": 0}
        self._producer = Producer(producer_config(kafka, **{"transactional.id": name, **limits}))
        self._producer.init_transactions(_WRITE_SECONDS)

    def write(self, emits: Iterable[Emit]) -> None:
        """Write all records or none. Raises KafkaException; the writer is of no use then, and what it wrote may have
        been committed if the answer to the commit was lost.
        """
        try:
            self._producer.begin_transaction()
            for emit in emits:
                produce_blocking(self._producer, emit.topic, emit.value, emit.key, headers=list(emit.headers))
            self._producer.commit_transaction(_WRITE_SECONDS)
        except KafkaException:
            _abort(self._producer)
            raise


def produce_blocking(
    producer: Producer, topic: str, value: bytes | None, key: bytes | None, partition: int = -1, **more: Any
) -> None:
    """Put a record into the producer's queue, as soon as there is room. `more`: headers, timestamp, on_delivery.

    The queue empties as records are written or given up after `message.timeout.ms`, which bounds the wait. Raises
    KafkaException.
    """
    while True:
        try:
            producer.produce(topic, value, key, partition, **more)
            return
        except BufferError:
            producer.poll(_FULL_SECONDS)


def _abort(producer: Producer) -> None:
    try:
        producer.abort_transaction(10)
    except KafkaException as error:
        _log.warning("transaction not aborted", error=error.args[0].name())
