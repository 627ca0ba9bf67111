"""Two threads: one reads the lag, one follows the topics. Both outlive an absence of the cluster.

A reader that failed is never used again: after a long absence a client may fail at each try, or wait for ever, while a
new one answers at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from threading import Event, Thread
from typing import Final, Protocol

import structlog
from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from console.config import Topics
from console.lag_history import LagHistory
from console.tallies import Tallies
from domain.times import DAY
from streams.kafka.consumers import STEADY, reader
from streams.kafka.lag import LagReader, LagReading
from streams.kafka.offsets import admin_client, ends
from streams.kafka.read import record_of, tail
from streams.kafka.settings import KafkaSettings

STEP_SECONDS: Final = 2.0
RAW_LOOK_BACK: Final = 7 * DAY
"""Raw messages are the bulk of the records: of these only the last week is counted."""
_BATCH: Final = 500
_SECONDS: Final = 5.0
_RETRY_SECONDS: Final = 0.5
_LONGEST_PAUSE: Final = 8.0
_CHECK_SECONDS: Final = 4.0
_STUCK_CHECKS: Final = 3
"""So many checks without progress, though records wait, and the consumer is replaced."""
_MISSING_SECONDS: Final = 10.0
_log = structlog.get_logger("console")


class ReadsLag(Protocol):
    """Where lag readings come from."""

    def read(self, now: int) -> LagReading: ...

    def close(self) -> None: ...


def clock() -> int:
    """Now, ms UTC."""
    return time.time_ns() // 1_000_000


def named(error: BaseException) -> str:
    """The name of an error: Kafka's own where it has one. Never its text."""
    first = error.args[0] if error.args else None
    return first.name() if isinstance(first, KafkaError) else type(error).__name__


class LagWatch(Thread):
    """Fills `history`, one reading every two seconds, until `stopping` is set."""

    def __init__(self, connect: Callable[[], ReadsLag], history: LagHistory, stopping: Event) -> None:
        super().__init__(name="lag", daemon=True)
        self._connect, self._history, self._stopping = connect, history, stopping

    def run(self) -> None:
        """Read, wait, read. A fault goes to the history and is logged once; the next reading has a new reader."""
        reader: ReadsLag | None = None
        failures = 0
        while not self._stopping.is_set():
            start, pause = time.monotonic(), STEP_SECONDS
            try:
                reader = reader or self._connect()
                self._history.take(reader.read(clock()))
                failures = 0
            except Exception as error:
                # Whatever it is, the page must show it, with the readings there are.
                if self._history.fault != named(error):
                    _log.warning("no lag reading", error=named(error))
                self._history.away(named(error))
                pause = min(_LONGEST_PAUSE, _RETRY_SECONDS * 2**failures)
                failures += 1
                if reader is not None:
                    reader.close()
                    reader = None
            self._stopping.wait(max(0.1, pause - (time.monotonic() - start)))
        if reader is not None:
            reader.close()


class _Stuck(Exception):
    """Records wait, and the consumer brings none."""


class _Progress:
    """Whether a consumer's positions reach the ends of its partitions, or move. For one thread."""

    def __init__(self, admin: AdminClient, parts: Sequence[TopicPartition]) -> None:
        self._admin, self._places = admin, [(part.topic, part.partition) for part in parts]
        self._next_check, self._stuck = 0.0, 0
        self._before: list[int] = []

    def confirmed(self, positions: Mapping[tuple[str, int], int]) -> bool:
        """Whether the cluster confirms it now; asked every few seconds only. Raises _Stuck, and KafkaException."""
        if time.monotonic() < self._next_check:
            return False
        now = [positions[place] for place in self._places]
        last = ends(self._admin, self._places, seconds=_SECONDS)
        behind = any(position < last[place] for place, position in zip(self._places, now, strict=True))
        self._stuck = self._stuck + 1 if behind and now == self._before else 0
        if self._stuck >= _STUCK_CHECKS:
            raise _Stuck
        self._before, self._next_check = now, time.monotonic() + _CHECK_SECONDS
        return not self._stuck


class TopicWatch(Thread):
    """Counts the records of the topics, old and new, until `stopping` is set: committed records only, in no group.

    Positions are kept over faults, so nothing is counted twice. `counted`: the ends were reached once. `confirmed`:
    when (ms UTC) the cluster last confirmed that the counts are complete, or that they grow; None before it did.
    """

    def __init__(self, kafka: KafkaSettings, topics: Topics, tallies: Tallies, stopping: Event) -> None:
        super().__init__(name="topics", daemon=True)
        self._kafka, self._topics, self._tallies, self._stopping = kafka, topics, tallies, stopping
        self._next: dict[tuple[str, int], int] = {}
        self._ends: set[tuple[str, int]] = set()
        self.counted = False
        self.confirmed: int | None = None
        self.missing: tuple[str, ...] = ()

    def run(self) -> None:
        """Follow; after a fault, or periodically while a topic is missing, start again at the last position."""
        while not self._stopping.is_set():
            try:
                self._follow()
            except Exception as error:
                _log.warning("topics not followed", error=named(error))
                self._stopping.wait(STEP_SECONDS)

    def _follow(self) -> None:
        consumer = reader(self._kafka, "handoff.console", STEADY)
        try:
            parts = self._partitions(consumer)
            consumer.assign(parts)
            again = time.monotonic() + _MISSING_SECONDS
            progress = _Progress(admin_client(self._kafka), parts)
            for batch in tail(consumer, size=_BATCH, wait=0.25):
                for message in batch.messages:
                    self._tallies.take(record_of(message))
                self._next.update(batch.positions)
                self._ends.update(batch.ends)
                self.counted = self.counted or {(part.topic, part.partition) for part in parts} <= self._ends
                if progress.confirmed(self._next):
                    self.confirmed = clock()
                if self._stopping.is_set() or (self.missing and time.monotonic() > again):
                    return
        finally:
            consumer.close()

    def _partitions(self, consumer: Consumer) -> list[TopicPartition]:
        known = consumer.list_topics(timeout=_SECONDS).topics
        there = {name: known[name].partitions for name in self._topics.every if name in known}
        self.missing = tuple(name for name in self._topics.every if name not in there)
        new = [(name, number) for name, numbers in there.items() for number in numbers]
        new = [place for place in new if place not in self._next]
        week_ago = clock() - RAW_LOOK_BACK
        raw = [TopicPartition(*place, week_ago) for place in new if place[0] == self._topics.raw]
        for part in consumer.offsets_for_times(raw, timeout=_SECONDS) if raw else ():
            if part.error is not None:
                raise KafkaException(part.error)
            if part.offset == OFFSET_END:  # nothing is as young: go on from the end as it is now
                part.offset = consumer.get_watermark_offsets(part, timeout=_SECONDS)[1]
            self._next[part.topic, part.partition] = part.offset
        for place in new:
            self._next.setdefault(place, 0)
        return [TopicPartition(*place, offset) for place, offset in self._next.items() if place[0] in there]


def lag_reader(kafka: KafkaSettings, groups: Mapping[str, Sequence[str]]) -> Callable[[], ReadsLag]:
    """Connects a LagReader when it is first needed: on the watching thread, not before the server listens."""
    return lambda: LagReader(kafka, groups)
