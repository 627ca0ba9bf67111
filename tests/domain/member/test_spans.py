"""Spans on which a count holds, against counting each day; chains of spans."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.member.counting import EVER, Counted
from domain.member.spans import Span, chains, clip, count_spans, join, leaving
from domain.member.visits import from_snapshot
from domain.times import DAY, day_start, local_day
from tests.support.member import a_visit, at

FIRST = local_day(at("2025-01-01"))
VISITS = [from_snapshot(a_visit(f"v{i:02}", "2026-01-01")) for i in range(12)]


def entries_of(days: list[int], untils: list[int] | None = None) -> list[Counted]:
    marked = sorted(zip(days, untils or [EVER] * len(days), strict=False))
    return [
        Counted(day_start(FIRST + day) + 10 * 3_600_000, FIRST + day, "ed" if until == EVER else "snf", i, until)
        for i, (day, until) in enumerate(marked)
    ]


def spans_of(entries: list[Counted], number: int, months: int) -> list[Span]:
    return count_spans(entries, [day_start(leaving(e, months)) for e in entries], number, VISITS)


def test_from_the_arrival_that_reaches_the_number_to_the_day_on_which_one_leaves() -> None:
    entries = entries_of([0, 30, 60])
    (span,) = spans_of(entries, 3, 6)
    assert span.start == entries[2].start
    assert span.key == VISITS[2].visit
    assert span.end == at("2025-07-02 00:00")


def test_too_few_are_no_span() -> None:
    assert spans_of(entries_of([0, 30]), 3, 6) == []
    assert spans_of(entries_of([0, 300, 600]), 3, 6) == []


def test_a_visit_that_comes_as_another_leaves_goes_on() -> None:
    # 1 January leaves a six-month window on 2 July, which is day 182.
    entries = entries_of([0, 100, 182])
    entries[2] = Counted(day_start(FIRST + 182), FIRST + 182, "ed", 2, EVER)
    (span,) = spans_of(entries, 2, 6)
    assert span.key == VISITS[1].visit
    # One that comes later that day leaves a gap.
    assert len(spans_of(entries_of([0, 100, 182]), 2, 6)) == 2


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.integers(0, 500), min_size=1, max_size=10),
    st.lists(st.one_of(st.just(EVER), st.integers(20, 200)), min_size=10, max_size=10),
    st.integers(1, 4),
    st.sampled_from([1, 6, 12]),
)
def test_spans_are_what_counting_each_day_finds(days: list[int], rest: list[int], number: int, months: int) -> None:
    untils = [EVER if r == EVER else FIRST + day + r for day, r in zip(days, rest, strict=False)]
    entries = entries_of(days, untils)
    spans = spans_of(entries, number, months)
    for day in range(0, 900, 3):
        moment = day_start(FIRST + day) + 20 * 3_600_000
        inside = sum(e.start <= moment and FIRST + day < leaving(e, months) for e in entries)
        assert (inside >= number) == any(s.start <= moment < s.end for s in spans)
    assert all(earlier.end < later.start for earlier, later in pairwise(spans))


def span(start: int, end: int, key: str = "k") -> Span:
    return Span(start * DAY, end * DAY, key, start * DAY, "ed")


def days(spans: Any) -> list[tuple[int, int, str]]:
    return [(s.start // DAY, s.end // DAY, s.key) for s in spans]


def test_join_makes_one_of_what_overlaps_or_touches_and_keeps_the_first_opener() -> None:
    assert days(join([span(5, 9, "b"), span(1, 5, "a"), span(2, 3, "c"), span(20, 21, "d")])) == [
        (1, 9, "a"),
        (20, 21, "d"),
    ]


def test_clip_keeps_the_opener() -> None:
    (cut,) = clip([span(1, 9, "a"), span(10, 11, "b")], 3 * DAY, 8 * DAY)
    assert (cut.start, cut.end, cut.key, cut.opened) == (3 * DAY, 8 * DAY, "a", DAY)


def test_a_gap_of_more_than_thirty_days_begins_a_new_chain() -> None:
    near, far = chains([span(1, 10, "a"), span(40, 50, "b"), span(81, 90, "c")], 30)
    assert days(near.spans) == [(1, 10, "a"), (40, 50, "b")]
    assert near.opener.key == "a"
    assert far.opener.key == "c"
    assert near.live(45 * DAY)
    assert not near.live(50 * DAY)
    assert near.last_end(49 * DAY) == 10 * DAY
    assert near.last_end(5 * DAY) is None
