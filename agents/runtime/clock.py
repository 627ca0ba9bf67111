"""The time of one partition, as its records and ticks give it (docs/engine.md#chunks)."""

from __future__ import annotations

from agents.runtime.contract import AHEAD, Record, stamp_of


class Clock:
    """The partition's time (ms UTC): the largest `received` stamp or tick decided so far. It never runs backwards."""

    def __init__(self, now: int) -> None:
        self.now = now
        self.ticked = -1
        """The time of the last tick of this chunk, or -1."""
        self.clamped = 0
        """Stamps and ticks that lay too far ahead of their append time."""

    def stamp(self, record: Record) -> bool:
        """Advance to the record's stamp. Returns whether that changed the time."""
        at = self._clamp(stamp_of(record), record)
        if at <= self.now:
            return False
        self.now = at
        return True

    def tick(self, at: int, record: Record) -> None:
        """Advance to a tick at `at` (ms UTC)."""
        self.now = self.ticked = max(self.now, self._clamp(at, record))

    def _clamp(self, at: int, record: Record) -> int:
        # The broker's append time bounds both: a sender or a worker whose clock runs a year ahead would otherwise end
        # every candidate of the partition, for good.
        if at > self.now and at > record.timestamp + AHEAD:
            self.clamped += 1
            return record.timestamp
        return at
