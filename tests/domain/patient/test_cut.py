"""A bucket is cut into the visits that there were, whatever the order in which its messages came."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.patient.cut import cut
from domain.patient.events import AdtEvent, When
from domain.patient.statements import Statement, statement_of, union_of
from domain.snapshots import Source
from tests.support.events import at, event


def statements(*events: AdtEvent) -> tuple[Statement, ...]:
    return union_of(
        *((statement_of(e, e.visit, Source(e.sender, e.control_id, ""), e.recorded),) for e in events if e.visit)
    )


def shape(*events: AdtEvent, numbered: bool = False) -> list[tuple[str, list[str]]]:
    return [(key, [s.trigger for s in part]) for key, part in cut("B", statements(*events), numbered=numbered)]


def came(day: str, time: str = "22:30", cls: str = "emergency") -> AdtEvent:
    return event("A04", f"{day} {time}", occurred=f"{day} {time}", cls=cls)


def left(day: str, time: str = "02:15", cls: str = "emergency", **more: object) -> AdtEvent:
    return event("A03", f"{day} {time}", departed=f"{day} {time}", cls=cls, **more)  # type: ignore[arg-type]


def test_attendances_over_midnight_without_numbers_are_as_many_visits_as_there_were() -> None:
    assert shape(came("2026-02-10"), left("2026-02-11"), came("2026-03-10"), left("2026-03-11")) == [
        ("B", ["A04", "A03"]),
        ("B~2026-03-10", ["A04", "A03"]),
    ]


def test_two_attendances_of_one_day_are_two_visits() -> None:
    found = shape(
        came("2026-02-10", "08:00"),
        left("2026-02-10", "10:00"),
        came("2026-02-10", "18:00"),
        left("2026-02-10", "20:00"),
    )
    assert found == [("B", ["A04", "A03"]), ("B~2026-02-10", ["A04", "A03"])]


def test_an_ed_visit_without_departure_ends_after_48_hours_of_silence_and_a_stay_does_not() -> None:
    assert len(shape(came("2026-02-10"), came("2026-02-12", "22:00"))) == 1
    assert len(shape(came("2026-02-10"), came("2026-02-12", "23:00"))) == 2
    assert len(shape(came("2026-02-10", cls="inpatient"), came("2026-03-12", cls="inpatient"))) == 1


def test_a_number_used_again_more_than_24_hours_after_a_departure_is_another_visit() -> None:
    again = came("2026-02-12", "02:14"), left("2026-02-12", "04:00")
    assert len(shape(came("2026-02-10"), left("2026-02-11"), *again, numbered=True)) == 1
    again = came("2026-02-12", "02:16"), left("2026-02-12", "04:00")
    assert len(shape(came("2026-02-10"), left("2026-02-11"), *again, numbered=True)) == 2


def test_a_mistyped_departure_sent_again_right_does_not_cut_a_number_in_two() -> None:
    mistyped = event("A03", "2026-02-11 02:15", departed="2025-02-11 02:15", cls="emergency")
    right = event("A03", "2026-02-11 02:45", departed="2026-02-11 02:15", cls="emergency")
    assert len(shape(came("2026-02-10"), mistyped, right, numbered=True)) == 1


def test_a_cancelled_departure_cuts_nothing() -> None:
    back = event("A13", "2026-02-11 03:00", occurred="2026-02-11 02:15", cls="emergency")
    assert len(shape(came("2026-02-10"), left("2026-02-11"), back, came("2026-02-11", "09:00"))) == 1
    nameless = event("A13", "2026-02-11 03:00", cls="emergency")
    assert len(shape(came("2026-02-10"), left("2026-02-11"), nameless, came("2026-02-11", "09:00"))) == 1


def test_a_cancel_without_a_time_takes_back_the_last_visit_of_a_bucket_only() -> None:
    nameless = event("A11", "2026-03-10 23:00", cls="emergency")
    assert shape(came("2026-02-10"), left("2026-02-11"), came("2026-03-10"), nameless) == [
        ("B", ["A04", "A03"]),
        ("B~2026-03-10", ["A04", "A11"]),
    ]


def test_an_update_goes_to_the_visit_in_whose_time_it_lies_or_that_its_admission_time_names() -> None:
    during = event("A08", "2026-02-11 01:00", cls="emergency", diagnoses=("I10",))
    late = event("A08", "2026-03-11 01:00", admitted="2026-02-10 22:30", cls="emergency", diagnoses=("J45",))
    assert shape(came("2026-02-10"), left("2026-02-11"), came("2026-03-10"), during, late) == [
        ("B", ["A04", "A08", "A03", "A08"]),
        ("B~2026-03-10", ["A04"]),
    ]


def test_a_departure_long_after_another_is_of_a_visit_whose_arrival_is_not_known() -> None:
    assert len(shape(came("2026-02-10"), left("2026-02-11"), left("2026-02-12"))) == 1
    assert len(shape(came("2026-02-10"), left("2026-02-11"), left("2026-03-12"))) == 2


def test_a_day_without_a_time_holds_the_whole_day() -> None:
    arrival = event("A04", "2026-02-10 23:50", cls="emergency")
    arrival = AdtEvent(
        **{f: getattr(arrival, f) for f in arrival.__struct_fields__}
        | {"occurred": When(at("2026-02-10 00:00"), True, "EVN-6")}
    )
    departure = event("A03", "2026-02-10 23:55", cls="emergency")
    departure = AdtEvent(
        **{f: getattr(departure, f) for f in departure.__struct_fields__}
        | {"occurred": When(at("2026-02-10 00:00"), True, "EVN-6")}
    )
    assert shape(arrival, departure) == [("B", ["A04", "A03"])]


_moments = st.integers(0, 400).map(lambda hours: 3 * hours)


@st.composite
def lives(draw: st.DrawFn) -> list[AdtEvent]:
    made = []
    for number in range(draw(st.integers(1, 9))):
        trigger = draw(st.sampled_from(["A04", "A01", "A03", "A08", "A11", "A13", "A23", "A05", "A06", "A02"]))
        hours = draw(_moments)
        day, hour = 1 + hours // 24 % 27, hours % 24
        text = f"2026-0{1 + hours // 648}-{day:02d} {hour:02d}:00"
        named = draw(st.booleans())
        made.append(
            event(
                trigger,
                text,
                occurred=text if named else None,
                cls=draw(st.sampled_from([None, "emergency", "inpatient"])),
                admitted=text if draw(st.booleans()) else None,
                control=f"C{number}",
            )
        )
    return made


@settings(max_examples=300, deadline=None)
@given(lives(), st.booleans(), st.randoms(use_true_random=False))
def test_every_statement_is_in_one_visit_and_the_order_of_arrival_does_not_show(
    events: list[AdtEvent], numbered: bool, chance: random.Random
) -> None:
    found = cut("B", statements(*events), numbered=numbered)
    shuffled = list(events)
    chance.shuffle(shuffled)
    assert cut("B", statements(*shuffled), numbered=numbered) == found
    placed = [s.source.control_id for _, part in found for s in part]
    assert sorted(placed) == sorted(e.control_id for e in events)
    assert len({key for key, _ in found}) == len(found)
