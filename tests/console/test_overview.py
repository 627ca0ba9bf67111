"""The verdict of a moment: what the operator reads first."""

from __future__ import annotations

import msgspec
import pytest

from console.config import Topics
from console.lag_history import KEPT, LagHistory
from console.lag_status import State, Trend
from console.overview import Progress
from tests.console.overviews import GROUP, NOW, STEP, TOPIC, history, overview, reading
from tests.console.test_tallies import record, tallied

RAW, LETTERS = Topics().raw, Topics().dead_letters


def test_all_is_well() -> None:
    screen = overview().view(NOW)
    assert (screen.state, screen.says) == (State.OK, ())
    assert screen.groups[0].members == 1


def test_a_stopped_group_is_said_first_with_how_late_it_is() -> None:
    kept = history([4000] * 20, [100] * 20, seconds=75.0, members=0)
    screen = overview(kept, tallied(record(LETTERS, headers={"code": "internal-error"}, at=NOW))).view(NOW)
    assert screen.state is State.STOP
    assert screen.says[0] == f"{GROUP}: records wait and no worker reads"
    assert len(screen.says) == 2
    group = screen.groups[0]
    assert (group.lag, group.seconds, group.trend, group.catch_up) == (4000, 75.0, Trend.LEVEL, None)
    assert group.topics[0].partitions[0].state is State.STOP


def test_a_group_that_catches_up_says_when() -> None:
    lags = [4000 - 100 * index for index in range(20)]
    group = overview(history(lags, list(range(20)), seconds=30.0)).view(NOW).groups[0]
    assert (group.state, group.trend) == (State.OK, Trend.FALLING)
    assert group.catch_up == pytest.approx(lags[-1] / 50)


def test_a_worker_that_restarts_within_the_window_is_no_stop() -> None:
    kept = history([4000] * 20, [100] * 20)
    kept.take(reading(NOW + STEP, {GROUP: 0}, [(GROUP, TOPIC, 0, 100, 4000, 20.0)]))
    assert overview(kept).view(NOW + STEP).groups[0].state is State.STALL


def test_kafka_away_is_said_and_what_was_known_stays() -> None:
    kept = history([0] * 20, [500] * 20)
    kept.away("_TIMED_OUT")
    assert overview(kept).view(NOW + 4000).state is State.OK, "one reading that failed is no alarm"
    screen = overview(kept).view(NOW + 30_000)
    assert screen.state is State.STOP
    assert screen.says[0] == "Kafka does not answer (_TIMED_OUT)"
    assert screen.reading_age == 30.0
    assert screen.groups
    kept.take(reading(NOW + 32_000, {GROUP: 1}, [(GROUP, TOPIC, 0, 500, 0, 0.0)]))
    assert overview(kept).view(NOW + 32_000).kafka is None


def test_a_reading_that_got_old_is_no_reading() -> None:
    screen = overview().view(NOW + 20_000)
    assert screen.state is State.WARNING
    assert "20 s old" in screen.says[0]


def test_old_figures_say_their_age_and_readiness_tells_the_truth() -> None:
    confirmed = NOW
    known = msgspec.structs.replace(overview(), progress=lambda: Progress(True, confirmed=confirmed))
    assert known.freshness(NOW)[0]
    assert known.view(NOW).state is State.OK
    later = known.view(NOW + 40_000)
    assert (later.reading_age, later.counts_age) == (40.0, 40.0)
    assert later.groups[0].why == "OK, 40 s ago"
    assert "feeds, letters and candidates were counted 40 s ago" in later.says
    fresh, told = known.freshness(NOW + 40_000)
    assert not fresh
    assert told == {"lag_age": 40.0, "counts_age": 40.0, "kafka": "answers"}
    never = msgspec.structs.replace(overview(LagHistory()), progress=lambda: Progress(False))
    assert never.freshness(NOW) == (False, {"lag_age": None, "counts_age": None, "kafka": "answers"})


def test_nothing_read_yet_is_not_well_nor_ill() -> None:
    screen = overview(LagHistory(), counted=False).view(NOW)
    assert (screen.groups, screen.reading_age, screen.counted) == ((), None, False)


def test_a_silent_sender_is_a_warning() -> None:
    times = [NOW - 10 * 3_600_000 + 60_000 * index for index in range(100)]
    tallies = tallied(*(record(RAW, headers={"sender": "genhosp", "received": str(at)}) for at in times))
    screen = overview(tallies=tallies).view(NOW)
    assert screen.says == ("genhosp is silent",)
    assert screen.feeds[0].silence == pytest.approx(10 * 3600 - 99 * 60)


def test_a_topic_that_is_gone_leaves_the_screen() -> None:
    kept = history([0] * 20, [500] * 20)
    kept.take(reading(NOW + STEP, {GROUP: 1}, [(GROUP, "other.v1", 0, 1, 0, 0.0)]))
    assert [topic.topic for topic in overview(kept).view(NOW + STEP).groups[0].topics] == ["other.v1"]
    assert kept.points(GROUP, TOPIC, "0") == []


def test_history_is_bounded_and_drawn_in_sixty_steps_that_keep_a_peak() -> None:
    lags = [0] * 1000
    lags[-100] = 777
    kept = history(lags, [500] * 1000)
    assert len(kept.points(GROUP)) == KEPT
    drawn = overview(kept).view(NOW).groups[0].history
    assert len(drawn) <= 60
    assert max(drawn) == 777


def test_processes_show_five_fields_and_no_token() -> None:
    entry = {"role": "work", "stage": "refer", "slot": 0, "ready": False, "restarts": 2, "environment": "s3cret"}
    known = overview()
    known = msgspec.structs.replace(known, processes=lambda: [entry])
    screen = known.view(NOW)
    assert screen.says == ("work refer is not ready",)
    assert b"s3cret" not in msgspec.json.encode(screen)
