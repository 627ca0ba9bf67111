"""Counts by class and window."""

from __future__ import annotations

from domain.member.counting import read_ledger
from domain.member.row import fold_visit, new_row
from domain.member.utilization import CLASSES, WINDOWS, count_visits
from domain.times import local_day
from tests.support.member import a_visit, at, the_book


def counts_at(when: str, *visits: object) -> tuple[dict[str, dict[str, int]], int | None, tuple[int, ...]]:
    row = new_row()
    for visit in visits:
        row = fold_visit(row, visit)  # type: ignore[arg-type]
    now = at(when)
    found = count_visits(read_ledger(row.visits, the_book()), now, local_day(now))
    return (
        {w: dict(zip(CLASSES, line, strict=True)) for w, line in zip(WINDOWS, found.counts, strict=True)},
        found.due,
        found.visits,
    )


def test_each_window_holds_both_ends_and_says_when_it_will_change() -> None:
    visit = a_visit("a", "2026-01-31 10:00")
    counts, due, _ = counts_at("2026-03-02", visit)
    assert [counts[w]["ed"] for w in WINDOWS] == [1, 1, 1, 1]
    assert due == at("2026-03-03 00:00")
    counts, due, _ = counts_at("2026-03-03", visit)
    assert [counts[w]["ed"] for w in WINDOWS] == [0, 1, 1, 1]
    assert due == at("2026-05-02 00:00")
    counts, due, _ = counts_at("2026-05-02", visit)
    assert [counts[w]["ed"] for w in WINDOWS] == [0, 0, 1, 1]
    assert due == at("2026-08-01 00:00")
    counts, due, visits = counts_at("2027-02-01", visit)
    assert [counts[w]["ed"] for w in WINDOWS] == [0, 0, 0, 0]
    assert (due, visits) == (None, ())


def test_classes_are_apart_and_what_does_not_count_is_left_out() -> None:
    counts, _, visits = counts_at(
        "2026-03-10",
        a_visit("a", "2026-03-01 08:00"),
        a_visit("b", "2026-03-01 09:00"),
        a_visit("c", "2026-03-02", "inpatient"),
        a_visit("d", "2026-03-04", "observation"),
        a_visit("e", "2026-03-05", "snf", departed=None),
        a_visit("f", "2026-03-06", status="cancelled"),
        a_visit("g", "2026-03-11"),
    )
    assert counts["30d"] == {"ed": 1, "inpatient": 1, "snf": 1, "observation": 1}
    assert visits == (0, 2, 3, 4)


def test_a_nursing_facility_stay_stops_counting_after_ninety_days() -> None:
    stay = a_visit("s", "2026-01-01", "snf", departed=None)
    counts, due, _ = counts_at("2026-04-01", stay)
    assert counts["6mo"]["snf"] == 1
    assert due == at("2026-04-02 00:00")
    assert counts_at("2026-04-02", stay)[0]["6mo"]["snf"] == 0
