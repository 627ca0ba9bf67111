"""Ticks: the owner of a partition produces the time to it (docs/engine.md#time)."""

from __future__ import annotations

import time
from collections.abc import Iterable

import structlog
from confluent_kafka import KafkaError, Message, Producer
from mode import Service

from domain.times import MINUTE
from parsers.records.ticks import Tick, write_tick
from streams.engine.partitions import Partitions
from streams.engine.service import EngineService
from streams.kafka.settings import KafkaSettings, producer_config

_log = structlog.get_logger("engine")
_EARLIEST = Tick(0)
"""A tick that moves no clock: written to learn the broker's time from its append time."""


class Ticker(EngineService):
    """Produces one tick to each restored partition, every `every` seconds; None: another process does."""

    def __init__(self, kafka: KafkaSettings, topic: str, partitions: Partitions, every: float | None) -> None:
        super().__init__()
        self._topic, self._partitions, self._every = topic, partitions, every
        self._producer = Producer(producer_config(kafka, **{"message.timeout.ms": 30_000}))

    @Service.task  # type: ignore[untyped-decorator]
    async def _run(self) -> None:
        if self._every is None:
            return
        async for _ in self.itertimer(self._every):
            self.tick(list(self._partitions.ready), _now())

    async def on_stop(self) -> None:
        """Give what was produced a second to be written."""
        self._producer.flush(1.0)

    def tick(self, partitions: Iterable[int], at: int) -> None:
        """Produce the time `at` (ms UTC) to each partition. Returns before the records are written.

        A tick that cannot be delivered is lost, which costs nothing: the next one states a later time.
        """
        for partition in partitions:
            self._produce(Tick(at), partition)
        self._producer.poll(0)

    def clock_skew(self, seconds: float) -> int | None:
        """This machine's clock minus the broker's, ms, to within the time one record takes; None without an answer."""
        answers: list[int] = []

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is None:
                answers.append(message.timestamp()[1])

        before = _now()
        self._producer.produce(self._topic, key="0", value=write_tick(_EARLIEST), partition=0, on_delivery=delivered)
        self._producer.flush(seconds)
        after = _now()
        if not answers:
            return None
        # Between sending and the answer the broker's clock showed `answers[0]`.
        return 0 if before - 1000 <= answers[0] <= after + 1000 else (before + after) // 2 - answers[0]

    def _produce(self, tick: Tick, partition: int) -> None:
        self._producer.produce(self._topic, key=str(partition), value=write_tick(tick), partition=partition)


def disagrees(skew: int | None) -> bool:
    """Whether a clock is so far from the broker's that its ticks would end or keep candidates wrongly."""
    return skew is not None and abs(skew) > MINUTE


def _now() -> int:
    return int(time.time() * 1000)
