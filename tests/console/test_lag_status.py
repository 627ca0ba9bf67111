"""The rules that name a state, as tables of lag and position over time."""

from __future__ import annotations

import pytest

from console.lag_status import (
    Judgment,
    Limits,
    Point,
    State,
    Trend,
    is_quiet,
    judge_group,
    judge_partition,
    recent,
    seconds_to_catch_up,
    trend,
)
from domain.times import DAY, HOUR, MINUTE

LIMITS = Limits()
STEP = 2000
NOW = 1_795_000_000_000


def points(lags: list[int], positions: list[int | None], seconds: float = 20.0) -> list[Point]:
    """Readings two seconds apart, the last one at NOW."""
    first = NOW - STEP * (len(lags) - 1)
    return [
        Point(first + STEP * index, lag, seconds if lag else 0.0, position)
        for index, (lag, position) in enumerate(zip(lags, positions, strict=True))
    ]


def ramp(start: int, end: int, count: int = 20) -> list[int]:
    """`count` numbers from `start` to `end`."""
    return [start + (end - start) * index // (count - 1) for index in range(count)]


STILL: list[int | None] = [5000] * 20
MOVING: list[int | None] = list(ramp(5000, 9000))
NEVER: list[int | None] = [None] * 20
BACK: list[int | None] = [*ramp(5000, 6000, 15), *ramp(5200, 5300, 5)]


@pytest.mark.parametrize(
    ("lags", "positions", "seconds", "reader", "state"),
    [
        pytest.param([0] * 20, STILL, 0.0, True, State.OK, id="idle: the position rests and nothing waits"),
        pytest.param([0] * 20, STILL, 0.0, False, State.OK, id="idle, and nobody reads: the group says so"),
        pytest.param([50] * 20, STILL, 3.0, True, State.OK, id="a few records for a moment: under the floor"),
        pytest.param([3] * 20, STILL, 900.0, True, State.STALL, id="few records, but old: no floor helps"),
        pytest.param([3000] * 20, STILL, 5.0, True, State.STALL, id="young records, but many: no floor helps"),
        pytest.param([3000] * 20, STILL, 50.0, False, State.STOP, id="the same, and nobody reads"),
        pytest.param([3000] * 20, NEVER, 50.0, False, State.STOP, id="nobody ever read"),
        pytest.param(ramp(3000, 9000), MOVING, 50.0, True, State.WARNING, id="it moves, and the lag grows"),
        pytest.param([3000] * 20, MOVING, 50.0, True, State.WARNING, id="it moves, and the lag stays"),
        pytest.param(ramp(9000, 3000), MOVING, 50.0, True, State.OK, id="it moves, and the lag shrinks"),
        pytest.param(ramp(9000, 3000), MOVING, 3600.0, True, State.WARNING, id="it shrinks, but is an hour late"),
        pytest.param([*[4000] * 10, 0, *[4000] * 9], STILL, 50.0, True, State.OK, id="it was empty within the window"),
        pytest.param([3000] * 20, BACK, 50.0, True, State.REWIND, id="the position moved back"),
        pytest.param([0] * 20, BACK, 0.0, True, State.REWIND, id="it moved back and nothing waits"),
        pytest.param([3000] * 5, STILL[:5], 20.0, False, State.OK, id="eight seconds are too few to judge by"),
        pytest.param([3000] * 5, STILL[:5], 3600.0, True, State.WARNING, id="but an hour late is late at once"),
    ],
)
def test_partition(lags: list[int], positions: list[int | None], seconds: float, reader: bool, state: State) -> None:
    judged = judge_partition(points(lags, positions, seconds), reader, LIMITS)
    assert judged.state is state
    assert bool(judged.why) is (state is not State.OK)


def test_a_rewind_is_forgotten_when_it_leaves_the_window() -> None:
    history = points([0] * 40, [9000, 8000, *[8000] * 38])
    assert judge_partition(history[:10], True, LIMITS).state is State.REWIND
    assert judge_partition(history, True, LIMITS).state is State.OK


def test_no_reading_is_no_alarm() -> None:
    assert judge_partition([], False, LIMITS).state is State.OK


def test_a_group_is_as_bad_as_its_worst_partition() -> None:
    found = [Judgment(), Judgment(State.STALL, "stuck"), Judgment(State.WARNING, "slow")]
    assert judge_group(found, True) == Judgment(State.STALL, "stuck")


def test_a_group_that_nobody_reads_is_a_warning_before_anything_waits() -> None:
    assert judge_group([Judgment()], False).state is State.WARNING
    assert judge_group([Judgment()], True).state is State.OK


@pytest.mark.parametrize(
    ("lags", "expected"),
    [
        (ramp(0, 1000), Trend.RISING),
        (ramp(1000, 0), Trend.FALLING),
        ([1000] * 9, Trend.LEVEL),
        (ramp(10_000, 10_300), Trend.LEVEL),
        ([2, 9, 4, 7, 3, 8], Trend.LEVEL),
        ([5], Trend.LEVEL),
        ([], Trend.LEVEL),
    ],
)
def test_trend(lags: list[int], expected: Trend) -> None:
    assert trend(points(lags, [None] * len(lags))) is expected


def test_time_to_catch_up_is_the_lag_at_the_pace_of_the_window() -> None:
    shrinking = points([1000, 900, 800, 700, 600, 500], [None] * 6)
    assert seconds_to_catch_up(shrinking) == pytest.approx(10.0)
    assert seconds_to_catch_up(points([500, 600, 700], [None] * 3)) is None
    assert seconds_to_catch_up(points([500, 100, 0], [None] * 3)) == 0.0
    assert seconds_to_catch_up([]) == 0.0


def test_recent_spans_the_window_and_no_more() -> None:
    history = points([0] * 100, [None] * 100)
    window = recent(history, LIMITS.window)
    assert window[-1].at - window[0].at == LIMITS.window
    assert len(window) == 16


@pytest.mark.parametrize(
    ("gap", "messages", "silence", "quiet"),
    [
        (MINUTE, 500, 25 * MINUTE, False),
        (MINUTE, 500, 31 * MINUTE, True),
        (HOUR, 100, 10 * HOUR, False),
        (HOUR, 100, 21 * HOUR, True),
        (0, 1, 5 * DAY, False),
    ],
    ids=["busy, within what all may", "busy and silent", "slow, within its habit", "slow and silent", "only one ever"],
)
def test_silence_is_judged_by_the_senders_habit(gap: int, messages: int, silence: int, quiet: bool) -> None:
    first = NOW - silence - gap * (messages - 1)
    assert is_quiet(first, NOW - silence, messages, NOW, LIMITS) is quiet
