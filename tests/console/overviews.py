"""Overviews over readings made up for a test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from console.config import Topics
from console.lag_history import LagHistory
from console.overview import Overview, Progress
from console.tallies import Tallies
from streams.kafka.lag import LagReading, PartitionLag

NOW = 1_795_000_000_000
STEP = 2000
GROUP, TOPIC = "handoff.refer", "member.visits.v1"


def history(
    lags: Sequence[int], committed: Sequence[int | None], seconds: float = 20.0, members: int = 1
) -> LagHistory:
    """One partition's readings, two seconds apart, the last at NOW."""
    kept = LagHistory()
    for index, (lag, position) in enumerate(zip(lags, committed, strict=True)):
        at = NOW - STEP * (len(lags) - 1 - index)
        kept.take(reading(at, {GROUP: members}, [(GROUP, TOPIC, 0, position, lag, seconds if lag else 0.0)]))
    return kept


def reading(
    at: int, members: Mapping[str, int], lags: Sequence[tuple[str, str, int, int | None, int, float]]
) -> LagReading:
    """One reading of `(group, topic, partition, committed, lag, seconds)`."""
    return LagReading(
        at,
        [PartitionLag(g, t, p, position, (position or 0) + lag, lag, s) for g, t, p, position, lag, s in lags],
        members,
    )


def overview(kept: LagHistory | None = None, tallies: Tallies | None = None, counted: bool = True) -> Overview:
    """An overview; without arguments, of a system without findings."""
    kept = kept or history([0] * 20, [500] * 20)
    return Overview(kept, tallies or Tallies(Topics()), lambda: Progress(counted))
