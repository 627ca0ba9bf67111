"""Status of a consumer group, by pure rules over its last lag readings: named states, trend, time to catch up.

The five states are Burrow's, without thresholds on lag as such: what counts is whether the position moves and whether
the lag shrinks. Two things are added: a floor, so that a few records that have waited for a moment raise no alarm; and
lateness, since a worker that gains on an hour of lag is still an hour late.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from itertools import pairwise
from typing import Final

import msgspec

from domain.times import DAY, MINUTE


class State(StrEnum):
    """From best to worst. STOP: records wait, the group has no member. STALL: a member reads, its position is fixed."""

    OK = "OK"
    WARNING = "WARNING"
    REWIND = "REWIND"
    STALL = "STALL"
    STOP = "STOP"


_WORST: Final = tuple(State)


class Trend(StrEnum):
    """Whether the lag grows."""

    RISING = "rising"
    LEVEL = "level"
    FALLING = "falling"


class Point(msgspec.Struct, frozen=True, gc=False):
    """One reading: `at` is ms UTC; `committed` is None where the group never committed; `seconds` is the age of the
    oldest record that waits."""

    at: int
    lag: int
    seconds: float
    committed: int | None = None


class Limits(msgspec.Struct, frozen=True):
    """Limits of the rules. A lag is under the floor when it is small both in records and in seconds."""

    window: int = MINUTE // 2
    """Milliseconds of readings that a judgement needs."""
    floor_records: int = 100
    floor_seconds: float = 10.0
    late_seconds: float = 60.0
    """From here on a group is late, though it may be catching up."""
    quiet: int = 30 * MINUTE
    """Milliseconds of silence that every sender is allowed."""
    quiet_gaps: float = 20.0
    """A sender is quiet too long after this many of its usual gaps."""


class Judgment(msgspec.Struct, frozen=True):
    """A state and, in a few words, why."""

    state: State = State.OK
    why: str = ""


def recent(points: Sequence[Point], window: int) -> list[Point]:
    """The readings of the last `window` milliseconds, with the one just before so that they span it."""
    if not points:
        return []
    since = points[-1].at - window
    first = next((index for index, point in enumerate(points) if point.at > since), len(points))
    return list(points[max(0, first - 1) :])


def trend(points: Sequence[Point]) -> Trend:
    """The last third of the readings against the first. A change below a twentieth, or ten records, is level."""
    if len(points) < 3:
        return Trend.LEVEL
    third = len(points) // 3
    before = sum(point.lag for point in points[:third]) / third
    after = sum(point.lag for point in points[-third:]) / third
    if abs(after - before) <= max(10.0, 0.05 * before):
        return Trend.LEVEL
    return Trend.RISING if after > before else Trend.FALLING


def seconds_to_catch_up(points: Sequence[Point]) -> float | None:
    """Seconds until nothing waits at the pace of these readings; 0 when nothing does, None when it is not shrinking."""
    if not points or points[-1].lag == 0:
        return 0.0
    gained, took = points[0].lag - points[-1].lag, points[-1].at - points[0].at
    if gained <= 0 or took <= 0 or trend(points) is not Trend.FALLING:
        return None
    return points[-1].lag * took / gained / 1000


def judge_partition(history: Sequence[Point], reader: bool, limits: Limits) -> Judgment:
    """One partition of a group. `reader`: whether the group has had a member within the window."""
    points = recent(history, limits.window)
    if not points:
        return Judgment()
    if _went_back(points):
        return Judgment(State.REWIND, "the position moved back: records are read again")
    if any(_under_floor(point, limits) for point in points):
        return Judgment()
    last = points[-1]
    covered = last.at - points[0].at >= limits.window
    if covered and all(point.committed == last.committed for point in points):
        if reader:
            return Judgment(State.STALL, "a worker reads but its position does not move")
        return Judgment(State.STOP, "records wait and no worker reads")
    where = trend(points)
    if covered and where is not Trend.FALLING:
        return Judgment(State.WARNING, "not catching up")
    if last.seconds >= limits.late_seconds:
        return Judgment(State.WARNING, "late, catching up" if where is Trend.FALLING else "late")
    return Judgment()


def judge_group(partitions: Iterable[Judgment], reader: bool) -> Judgment:
    """The worst of a group's partitions; a group that nobody reads is a warning even while nothing waits."""
    worst = max(partitions, key=lambda found: _WORST.index(found.state), default=Judgment())
    if worst.state is State.OK and not reader:
        return Judgment(State.WARNING, "no worker is there; nothing waits yet")
    return worst


def worst_of(states: Iterable[State]) -> State:
    """The worst of some states, OK when there are none."""
    return max(states, key=_WORST.index, default=State.OK)


def is_quiet(first: int, last: int, messages: int, now: int, limits: Limits) -> bool:
    """Whether a sender has been silent for far longer than usual.

    `first` and `last` message (ms UTC) and the number of messages between give its usual gap; a sender of one message
    a day is given its days, one of a message a second gets the half hour that all get.
    """
    usual = (last - first) / (messages - 1) if messages > 1 else DAY
    return now - last > max(limits.quiet, limits.quiet_gaps * usual)


def _went_back(points: Sequence[Point]) -> bool:
    known = [point.committed for point in points if point.committed is not None]
    return any(after < before for before, after in pairwise(known))


def _under_floor(point: Point, limits: Limits) -> bool:
    return point.lag <= limits.floor_records and point.seconds < limits.floor_seconds
