"""Ticks: the owner of a partition tells it the time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from confluent_kafka import Producer

from parsers.records.ticks import Tick, write_tick
from streams.kafka.settings import KafkaSettings, producer_config


class Ticker:
    """Produces one tick to each partition it is told of."""

    def __init__(self, kafka: KafkaSettings, topic: str) -> None:
        self._topic = topic
        self._producer = Producer(producer_config(kafka, **{"message.timeout.ms": 30_000}))

    def tick(self, partitions: Iterable[int], at: int) -> None:
        """Tell each partition that it is `at` (ms UTC). Returns before the records are written.

        A tick that cannot be delivered is lost: the next one says more.
        """
        for partition in partitions:
            value = write_tick(Tick(at))
            self._producer.produce(self._topic, key=str(partition), value=value, partition=partition)
        self._producer.poll(0)

    def flush(self, seconds: float) -> None:
        """Wait until what was produced is written, `seconds` at most."""
        self._producer.flush(seconds)


async def tick_owned(ticker: Ticker, owned: Callable[[], Iterable[int]], every: float, now: Callable[[], int]) -> None:
    """Tick the partitions that are owned and restored, every `every` seconds, until cancelled."""
    while True:
        await asyncio.sleep(every)
        ticker.tick(owned(), now())
