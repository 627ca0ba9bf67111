"""The watchdog: a worker that no longer moves ends itself, so that the supervisor starts another."""

from __future__ import annotations

import faulthandler
import sys
import time
from threading import Event, Thread

from confluent_kafka import IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from streams.engine.crash import crash
from streams.engine.options import EngineOptions
from streams.engine.pump import Pump
from streams.kafka.settings import KafkaSettings

_GRACE = 3.0
"""Seconds past the time-out after which Kafka has aborted a transaction anyway."""


class Watchdog(Thread):
    """Looks, from a thread of its own, whether chunks come back, the pump comes round, and the lag is worked off."""

    def __init__(self, stage: str, pump: Pump, kafka: KafkaSettings, options: EngineOptions) -> None:
        super().__init__(name="watchdog", daemon=True)
        self._stage, self._pump, self._options = stage, pump, options
        self._admin = AdminClient({**kafka.librdkafka(), "log_level": 0})
        self._done = Event()
        self._seen = (-1, 0, time.monotonic())

    def stop(self) -> None:
        """Look no more."""
        self._done.set()

    def run(self) -> None:
        """Look every second, and after the lag more rarely."""
        looks = 0
        while not self._done.wait(1.0):
            looks += 1
            self.look_at_pump(time.monotonic())
            if looks % max(1, int(self._options.stall_deadline / 4)) == 0:
                self.look_at_lag(time.monotonic())

    def look_at_pump(self, now: float) -> None:
        """Crash if a chunk has been out too long, a transaction too, or the pump has not come round."""
        handed_out = self._pump.handed_out
        if handed_out is not None and now - handed_out > self._options.chunk_deadline:
            _show_threads()
            crash("chunk-not-returned", stage=self._stage, seconds=round(now - handed_out))
        open_since = self._pump.transactions.open_since
        if open_since is not None and now - open_since > self._options.transaction + _GRACE:
            crash("transaction-overdue", stage=self._stage, seconds=round(now - open_since))
        if now - self._pump.beat > self._options.chunk_deadline + self._options.stall_deadline:
            _show_threads()
            crash("pump-stopped", stage=self._stage, seconds=round(now - self._pump.beat))

    def look_at_lag(self, now: float) -> None:
        """Crash if nothing has been committed for too long while the lag has grown."""
        committed, lag_then, since = self._seen
        lag = self._lag()
        if lag is None:
            return
        if self._pump.committed != committed or lag == 0:
            self._seen = self._pump.committed, lag, now
        elif lag > lag_then and now - since > self._options.stall_deadline:
            crash("no-progress", stage=self._stage, lag=lag, seconds=round(now - since))

    def _lag(self) -> int | None:
        """Records waiting in the partitions that are restored; None when that cannot be told.

        Asks through a client of its own: the consumer belongs to the thread that polls.
        """
        assignment = self._pump.assignment
        if assignment is None:
            return None
        stands = assignment.positions
        if not stands:
            return None
        asked = {TopicPartition(topic, partition): OffsetSpec.latest() for topic, partition in stands}
        try:
            answers = self._admin.list_offsets(asked, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=5)
            ends = {(place.topic, place.partition): int(end.result(5).offset) for place, end in answers.items()}
        except (KafkaException, TimeoutError):
            return None
        return sum(max(0, end - stands[place]) for place, end in ends.items())


def _show_threads() -> None:
    """Say on stderr which line of code each thread stands at: lines only, no values."""
    faulthandler.dump_traceback(sys.__stderr__ or sys.stderr, all_threads=True)
