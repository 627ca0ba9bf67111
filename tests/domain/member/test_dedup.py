"""Visits of two source patients that are one (docs/semantics.md#episodes)."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from domain.member.dedup import join_duplicates
from domain.member.row import fold_visit, new_row
from tests.support.member import a_visit

OTHER = "HIE|9"


def stitched(*visits: Any, minutes: int = 120) -> tuple[list[str], dict[str, str]]:
    row = new_row()
    for visit in visits:
        row = fold_visit(row, visit)
    view, duplicates = join_duplicates(row.visits, minutes)
    names = [visit.visit.partition("|")[2] for visit in view]
    return names, {names[d]: names[s] for d, s in duplicates.items()}


def test_two_feeds_of_one_arrival_are_one_visit() -> None:
    _, duplicates = stitched(a_visit("a", "2026-03-01 10:00"), a_visit("b", "2026-03-01 12:00", patient=OTHER))
    assert duplicates == {"b": "a"}


def test_not_when_they_lie_apart_in_time_place_or_kind() -> None:
    first = a_visit("a", "2026-03-01 10:00")
    for other in (
        a_visit("b", "2026-03-01 12:01", patient=OTHER),
        a_visit("b", "2026-03-01 10:00", patient=OTHER, facility="Elsewhere"),
        a_visit("b", "2026-03-01 10:00", "inpatient", patient=OTHER),
        a_visit("b", "2026-03-01 10:00", patient=OTHER, status="cancelled"),
        a_visit("b", "2026-03-01 10:00", "outpatient", patient=OTHER),
    ):
        assert stitched(first, other)[1] == {}


def test_an_unknown_facility_is_not_the_same_facility() -> None:
    pair = (a_visit("a", "2026-03-01", facility=""), a_visit("b", "2026-03-01", facility="", patient=OTHER))
    assert stitched(*pair)[1] == {}


def test_one_visit_number_under_two_patients_is_one_visit() -> None:
    moved = a_visit("a", "2026-03-04 10:00", patient=OTHER, facility="Elsewhere")
    assert stitched(a_visit("a", "2026-03-01 10:00"), moved)[1] == {"a": "a"}


def test_two_feeds_under_one_record_number_are_one_visit() -> None:
    assert stitched(a_visit("a", "2026-03-01 10:00"), a_visit("b", "2026-03-01 11:00"))[1] == {"b": "a"}


def test_an_admission_told_a_day_late_is_one_visit_if_both_end_together() -> None:
    first = a_visit("a", "2026-03-01 10:00", "inpatient", departed="2026-03-04 11:00")
    late = a_visit("b", "2026-03-02 00:00", "inpatient", departed="2026-03-04 13:00")
    assert stitched(first, late)[1] == {"b": "a"}
    later = a_visit("b", "2026-03-02 00:00", "inpatient", departed="2026-03-04 13:01")
    assert stitched(first, later)[1] == {}


def test_a_numbered_visit_stands_before_a_weak_one_and_learns_from_it() -> None:
    row = new_row()
    row = fold_visit(row, a_visit("w", "2026-03-01 10:00", weak=True, diagnoses=("I10",), disposition_group="TO_NF"))
    row = fold_visit(row, a_visit("n", "2026-03-01 11:00", patient=OTHER, departed=None, diagnoses=("E119",)))
    view, duplicates = join_duplicates(row.visits, 120)
    assert duplicates == {0: 1}
    assert view[1].departed == row.visits[0].departed
    assert view[1].disposition_group == "TO_NF"
    assert view[1].diagnoses == ("E119", "I10")
    assert view[1].fingerprint != row.visits[1].fingerprint


def test_nothing_to_stitch() -> None:
    assert stitched() == ([], {})


@given(st.permutations(range(4)))
def test_the_order_of_arrival_does_not_show(order: list[int]) -> None:
    visits = [
        a_visit("a", "2026-03-01 10:00", weak=True),
        a_visit("b", "2026-03-01 10:10", patient=OTHER),
        a_visit("c", "2026-03-01 11:50", patient="CLINIC|3"),
        a_visit("d", "2026-03-01 12:05", patient="CLINIC|4"),
    ]
    assert stitched(*(visits[i] for i in order)) == (["a", "b", "c", "d"], {"a": "b", "c": "b"})
