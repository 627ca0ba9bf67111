"""The watchdog: a worker that makes no progress ends itself, so that the supervisor starts another."""

from __future__ import annotations

import faulthandler
import sys
import time
from threading import Event, Thread

from confluent_kafka import KafkaException

from streams.engine.crash import crash
from streams.engine.options import EngineOptions
from streams.engine.partitions import Place
from streams.engine.pump import Pump
from streams.engine.service import EngineService
from streams.kafka.lag import Peek
from streams.kafka.offsets import admin_client, ends
from streams.kafka.settings import KafkaSettings

_GRACE = 3.0
"""Seconds past the time-out after which Kafka has aborted a transaction anyway."""


class Watchdog(EngineService):
    """Checks, on a thread of its own, that chunks come back, that the pump runs, and that waiting records are decided.

    A thread, since a decision that never ends holds the event loop.
    """

    def __init__(self, stage: str, pump: Pump, kafka: KafkaSettings, options: EngineOptions) -> None:
        super().__init__()
        self._stage, self._pump, self._options = stage, pump, options
        self._admin = admin_client(kafka)
        self._peek = Peek(kafka)
        self._done = Event()
        self._thread = Thread(target=self._watch, name="watchdog", daemon=True)
        self._waiting: tuple[int, dict[Place, int], float] = (-1, {}, 0.0)
        """Records committed, the positions at which records waited, and since when both are unchanged."""

    async def on_start(self) -> None:
        """Start the thread."""
        self._thread.start()

    async def on_stop(self) -> None:
        """Stop the thread."""
        self._done.set()

    def _watch(self) -> None:
        """Check the pump every second, and the lag every quarter of its limit."""
        rounds = 0
        while not self._done.wait(1.0):
            rounds += 1
            self.check_pump(time.monotonic())
            if rounds % max(1, int(self._options.stall_deadline / 4)) == 0:
                self.check_lag(time.monotonic())
        self._peek.close()

    def check_pump(self, now: float) -> None:
        """Crash if a chunk or a transaction is overdue, or if the pump has not completed a turn."""
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

    def check_lag(self, now: float) -> None:
        """Crash if a record has waited at an unchanged position for too long while nothing was committed.

        Quiet is no stall: the end of a topic may lie behind the markers of transactions, which are no records.
        """
        waiting = self._positions_with_records()
        if waiting is None:
            # Kafka is away: nothing could be read meanwhile, so the time since the last answer does not count.
            self._waiting = self._pump.committed, {}, now
            return
        committed, before, since = self._waiting
        stuck = {place: at for place, at in waiting.items() if before.get(place) == at}
        if self._pump.committed != committed or not stuck:
            self._waiting = self._pump.committed, waiting, now
        elif now - since > self._options.stall_deadline:
            crash("no-progress", stage=self._stage, places=len(stuck), seconds=round(now - since))

    def _positions_with_records(self) -> dict[Place, int] | None:
        """Input positions of restored partitions at which a committed record waits; None without an answer.

        Uses clients of its own: the consumer belongs to the thread that polls.
        """
        positions = self._pump.partitions.positions
        if not positions:
            return {}
        try:
            last = ends(self._admin, positions, seconds=5.0)
            behind = {(*place, at) for place, at in positions.items() if at < last[place]}
            return {(topic, number): at for topic, number, at in self._peek.with_records(behind)}
        except (KafkaException, TimeoutError):
            return None


def _show_threads() -> None:
    """Write the line of code that each thread is at to stderr: lines only, no values."""
    faulthandler.dump_traceback(sys.__stderr__ or sys.stderr, all_threads=True)
