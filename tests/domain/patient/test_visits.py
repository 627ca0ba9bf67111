"""A visit is a function of the set of messages about it: order, repeats and cancels in any order do not show."""

from __future__ import annotations

from functools import reduce
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.patient.events import DELETED, AdtEvent
from domain.patient.statements import Statement, add, statement_of
from domain.patient.visits import Visit, read_visit
from domain.snapshots import Source
from tests.support.events import at, event


def statement(e: AdtEvent, n: int = 0) -> Statement:
    assert e.visit is not None
    return statement_of(e, e.visit, Source(e.sender, e.control_id, f"adt.raw.v1/0/{n}"), e.recorded)


def fold(events: list[AdtEvent] | tuple[AdtEvent, ...]) -> tuple[Statement, ...]:
    return reduce(add, [statement(e) for e in events], ())


def visit(*events: AdtEvent) -> Visit | None:
    return read_visit(fold(events))


ARRIVAL = event("A04", "2026-03-01 10:02", occurred="2026-03-01 10:00", cls="emergency", facility="GEN")
ADMISSION = event("A01", "2026-03-01 15:05", occurred="2026-03-01 15:00", cls="inpatient")
UPDATE = event("A08", "2026-03-02 09:00", cls="inpatient", diagnoses=("I10",), admission_type="1")
TRANSFER = event("A02", "2026-03-02 12:00", cls="inpatient", facility="GEN")
DISCHARGE = event("A03", "2026-03-04 11:30", departed="2026-03-04 11:00", cls="inpatient", disposition="03")
STORY = [ARRIVAL, ADMISSION, UPDATE, TRANSFER, DISCHARGE]


def test_an_ed_attendance_that_became_an_admission_is_one_visit_with_both_times() -> None:
    stay = visit(*STORY)
    assert stay is not None
    assert (stay.status, stay.patient_class) == ("closed", "inpatient")
    assert stay.arrived == at("2026-03-01 10:00")
    assert stay.admitted == at("2026-03-01 15:00")
    assert stay.departed == at("2026-03-04 11:00")
    assert (stay.disposition, stay.disposition_group) == ("03", "TO_NF")
    assert stay.diagnoses == ("I10",)
    assert "became_inpatient" in stay.flags
    assert stay.how == {"arrived": "A04 EVN-6", "admitted": "A01 EVN-6", "departed": "A03 PV1-45"}


WRONG_TIME = event("A03", "2026-03-04 11:30", occurred="2026-03-04 01:00", cls="inpatient", disposition="01")
RIGHT_TIME = event("A03", "2026-03-04 11:40", occurred="2026-03-04 11:00", cls="inpatient", disposition="01")


@pytest.mark.parametrize("named", ["2026-03-04 11:00", None])
def test_a_departure_sent_again_and_taken_back_does_not_bring_the_first_one_back(named: str | None) -> None:
    back = event("A13", "2026-03-04 13:00", occurred=named)
    for order in permutations([ARRIVAL, WRONG_TIME, RIGHT_TIME, back]):
        reopened = visit(*order)
        assert reopened is not None
        assert (reopened.status, reopened.departed) == ("open", None)


def test_an_admission_sent_again_with_another_time_is_corrected() -> None:
    wrong = event("A06", "2026-03-01 15:05", occurred="2026-03-01 12:00", cls="inpatient")
    right = event("A06", "2026-03-01 15:20", occurred="2026-03-01 15:00", cls="inpatient")
    for order in permutations([ARRIVAL, wrong, right]):
        stay = visit(*order)
        assert stay is not None
        assert stay.admitted == at("2026-03-01 15:00")


def test_a_cancel_of_the_admission_alone_leaves_the_arrival_its_time() -> None:
    came = event("A04", "2026-03-01 10:02", admitted="2026-03-01 10:00", cls="emergency")
    admitted = event("A01", "2026-03-01 15:05", admitted="2026-03-01 15:00", cls="inpatient")
    still = event("A11", "2026-03-01 16:00", admitted="2026-03-01 10:00", cls="emergency")
    for order in permutations([came, admitted, still]):
        stay = visit(*order)
        assert stay is not None
        assert (stay.patient_class, stay.arrived) == ("emergency", at("2026-03-01 10:00"))


def test_every_order_of_the_story_gives_the_same_statements() -> None:
    expected = fold(STORY)
    for order in permutations(STORY):
        assert fold(order) == expected


TORN = [
    ARRIVAL,
    ADMISSION,
    event("A11", "2026-03-01 16:00", occurred="2026-03-01 15:00", cls="emergency"),
    event("A03", "2026-03-01 20:00", occurred="2026-03-01 19:50", cls="emergency", disposition="01", control="one"),
    event("A13", "2026-03-01 20:30", occurred="2026-03-01 19:50"),
    event("A08", "2026-03-01 20:31", cls="emergency", disposition="07", control="two"),
    event("A03", "2026-03-01 23:00", occurred="2026-03-01 22:55", cls="emergency", control="three"),
]


def test_cancels_take_back_just_what_they_name_in_every_order() -> None:
    expected = visit(*TORN)
    assert expected is not None
    assert (expected.patient_class, expected.admitted) == ("emergency", None)
    assert expected.departed == at("2026-03-01 22:55")
    assert expected.disposition == "07"
    for order in permutations(TORN):
        assert visit(*order) == expected


EVENTS = st.builds(
    lambda trigger, minute, recorded, cls, disposition, control, empty, creates: event(
        trigger,
        f"2026-03-01 1{recorded}:00",
        occurred=None if empty else f"2026-03-01 10:0{minute}",
        cls=cls,
        disposition=disposition,
        control=control,
        admitted=None if minute % 2 else f"2026-03-01 09:0{minute}",
        departed=f"2026-03-01 16:0{minute}" if creates and empty else None,
        creates=creates and trigger == "A08",
    ),
    st.sampled_from(["A01", "A04", "A02", "A03", "A05", "A06", "A07", "A08", "A08", "A11", "A12", "A13", "A23", "A38"]),
    st.integers(0, 3),
    st.integers(0, 4),
    st.sampled_from(["emergency", "inpatient", "observation", None]),
    st.sampled_from(["01", "03", DELETED, None]),
    st.sampled_from(["1", "2", "10"]),
    st.booleans(),
    st.booleans(),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(EVENTS, max_size=7), st.data())
def test_law_1_any_order_with_any_repeats_gives_the_same_visit(events: list[AdtEvent], data: st.DataObject) -> None:
    repeated = events + data.draw(st.lists(st.sampled_from(events), max_size=3)) if events else events
    shuffled = data.draw(st.permutations(repeated))
    assert fold(shuffled) == fold(events)
    assert visit(*shuffled) == visit(*events)


@settings(max_examples=200, deadline=None)
@given(st.lists(EVENTS, max_size=6))
def test_a_repeat_gives_back_the_same_object(events: list[AdtEvent]) -> None:
    once = fold(events)
    for e in events:
        assert add(once, statement(e, n=7)) is once


@pytest.mark.parametrize(
    ("said", "cancel"),
    [
        (event("A04", "2026-03-01 10:00", occurred="2026-03-01 10:00", cls="emergency"), "A11"),
        (event("A01", "2026-03-01 10:00", occurred="2026-03-01 10:00", cls="inpatient"), "A11"),
        (event("A01", "2026-03-01 10:00", occurred="2026-03-01 10:00", cls="inpatient"), "A23"),
        (event("A05", "2026-03-01 10:00", cls="inpatient"), "A38"),
    ],
)
def test_law_2_a_message_and_its_cancel_in_either_order_leave_a_cancelled_visit(said: AdtEvent, cancel: str) -> None:
    taken_back = event(cancel, "2026-03-01 11:00", occurred="2026-03-01 10:00")
    for order in ([said, taken_back], [taken_back, said]):
        result = visit(*order)
        assert result is not None
        assert result.status == "cancelled"


def test_a_cancelled_departure_opens_the_visit_again_and_alone_leaves_none() -> None:
    back = event("A13", "2026-03-04 13:00", occurred="2026-03-04 11:00")
    reopened = visit(*STORY, event("A13", "2026-03-04 13:00", occurred="2026-03-04 11:00"))
    assert reopened is not None
    assert (reopened.status, reopened.departed, reopened.disposition) == ("open", None, "")
    # DISCHARGE has its time from PV1-45, and the cancel names that minute.
    assert visit(DISCHARGE, back) is None


def test_a_cancel_that_names_nothing_known_holds_for_what_is_not_later() -> None:
    early = event("A01", "2026-03-01 10:00", occurred="2026-03-01 10:00", cls="inpatient")
    vague = event("A11", "2026-03-01 11:00", occurred="2026-02-27 08:00")
    again = event("A01", "2026-03-01 12:00", occurred="2026-03-01 11:55", cls="inpatient", control="again")
    result = visit(early, vague, again)
    assert result is not None
    assert (result.status, result.arrived) == ("open", at("2026-03-01 11:55"))


def test_an_equal_stamp_lets_the_cancel_win() -> None:
    arrived = event("A01", "2026-03-01 10:00", occurred="2026-03-01 10:00", cls="inpatient", control="5")
    cancel = event("A11", "2026-03-01 10:00", occurred="2026-03-01 10:00", control="5")
    result = visit(arrived, cancel)
    assert result is not None
    assert result.status == "cancelled"


def test_first_sight_at_departure_is_inferred_and_counts() -> None:
    result = visit(
        event("A03", "2026-03-04 12:00", departed="2026-03-04 11:00", admitted="2026-03-01 09:00", cls="inpatient")
    )
    assert result is not None
    assert (result.status, result.arrived, result.admitted) == (
        "closed",
        at("2026-03-01 09:00"),
        at("2026-03-01 09:00"),
    )
    assert "inferred" in result.flags


def test_an_inferred_visit_whose_arrival_was_taken_back_later_is_cancelled() -> None:
    late = event("A11", "2026-03-05 12:00", occurred="2026-03-01 09:00")
    result = visit(event("A02", "2026-03-04 12:00", cls="inpatient"), late)
    assert result is not None
    assert result.status == "cancelled"


def test_an_update_alone_is_hearsay_only_with_a_number_a_time_and_a_class() -> None:
    full = event("A08", "2026-03-01 10:00", admitted="2026-03-01 09:00", cls="emergency")
    hearsay = visit(full)
    assert hearsay is not None
    assert (hearsay.status, hearsay.arrived) == ("hearsay", at("2026-03-01 09:00"))
    assert read_visit(fold([full]), numbered=False) is None
    assert visit(event("A08", "2026-03-01 10:00", cls="emergency")) is None
    assert visit(event("A08", "2026-03-01 10:00", admitted="2026-03-01 09:00", cls="outpatient")) is None
    confirmed = visit(full, event("A03", "2026-03-01 12:00", departed="2026-03-01 11:30", cls="emergency"))
    assert confirmed is not None
    assert confirmed.status == "closed"


def test_an_update_moves_an_arrival_by_at_most_two_days() -> None:
    moved = visit(ARRIVAL, event("A08", "2026-03-02 10:00", admitted="2026-02-28 11:00", cls="emergency"))
    assert moved is not None
    assert (moved.arrived, moved.overruled) == (at("2026-02-28 11:00"), ())
    kept = visit(ARRIVAL, event("A08", "2026-03-02 10:00", admitted="2025-11-01 11:00", cls="emergency"))
    assert kept is not None
    assert (kept.arrived, kept.overruled) == (at("2026-03-01 10:00"), ("PV1-44",))
    older = visit(ARRIVAL, event("A08", "2026-03-01 10:01", admitted="2026-02-28 11:00", cls="emergency"))
    assert older is not None
    assert older.arrived == at("2026-03-01 10:00")


def test_an_update_that_repeats_the_admission_time_leaves_the_arrival_alone() -> None:
    stay = visit(ARRIVAL, ADMISSION, event("A08", "2026-03-02 10:00", admitted="2026-03-01 15:10", cls="inpatient"))
    assert stay is not None
    assert (stay.arrived, stay.admitted) == (at("2026-03-01 10:00"), at("2026-03-01 15:00"))


def test_an_update_moves_a_departure_but_makes_none() -> None:
    assert visit(ARRIVAL, event("A08", "2026-03-02 10:00", departed="2026-03-01 11:00")).departed is None  # type: ignore[union-attr]
    left = event("A03", "2026-03-01 20:00", occurred="2026-03-01 19:50", cls="emergency")
    moved = visit(ARRIVAL, left, event("A08", "2026-03-02 10:00", departed="2026-03-01 18:00"))
    assert moved is not None
    assert (moved.departed, moved.how["departed"]) == (at("2026-03-01 18:00"), "A08 PV1-45")
    kept = visit(ARRIVAL, left, event("A08", "2026-03-02 10:00", departed="2026-06-01 18:00"))
    assert kept is not None
    assert (kept.departed, kept.overruled) == (at("2026-03-01 19:50"), ("PV1-45",))


def test_an_outpatient_again_is_no_longer_a_stay() -> None:
    result = visit(
        event("A06", "2026-03-01 10:00", occurred="2026-03-01 10:00", cls="inpatient"),
        event("A07", "2026-03-01 12:00", occurred="2026-03-01 12:00", cls="outpatient"),
    )
    assert result is not None
    assert (result.patient_class, result.admitted) == ("outpatient", None)


def test_a_deleted_visit_can_be_stated_again() -> None:
    gone = event("A23", "2026-03-01 11:00")
    result = visit(ARRIVAL, gone, event("A04", "2026-03-01 12:00", occurred="2026-03-01 11:30", cls="emergency"))
    assert result is not None
    assert (result.status, result.arrived, result.facility) == ("open", at("2026-03-01 11:30"), "")


def test_leave_of_absence_is_no_discharge() -> None:
    result = visit(ADMISSION, event("A21", "2026-03-02 10:00", cls="inpatient"))
    assert result is not None
    assert result.status == "open"


def test_an_explicit_deletion_empties_a_field_and_an_empty_field_says_nothing() -> None:
    stated = event("A08", "2026-03-02 09:00", facility="ANNEX", cls="emergency")
    assert visit(ARRIVAL, stated).facility == "ANNEX"  # type: ignore[union-attr]
    assert visit(ARRIVAL, stated, event("A08", "2026-03-02 10:00")).facility == "ANNEX"  # type: ignore[union-attr]
    gone = event("A08", "2026-03-02 11:00", facility=DELETED)
    assert visit(ARRIVAL, stated, gone).facility == ""  # type: ignore[union-attr]


def test_storms_of_updates_leave_one_statement() -> None:
    updates = [event("A08", f"2026-03-02 09:{n:02d}", cls="emergency", facility="GEN") for n in range(50)]
    assert len(fold([ARRIVAL, *updates])) == 2


MOVED_IN = event("A08", "2026-03-01 12:00", cls="snf", admitted="2026-03-01 10:00", creates=True, control="1")
BY_UPDATES = [
    MOVED_IN,
    event("A08", "2026-03-05 09:00", cls="snf", admitted="2026-03-01 10:00", diagnoses=("I10",), creates=True),
    event("A21", "2026-03-06 09:00", cls="snf"),
    event("A22", "2026-03-08 09:00", cls="snf"),
    event(
        "A08",
        "2026-03-20 15:00",
        cls="snf",
        admitted="2026-03-01 10:30",
        departed="2026-03-20 14:00",
        disposition="01",
        creates=True,
    ),
]


def test_a_stay_in_updates_alone_counts_where_the_sender_announces_stays_so() -> None:
    first = visit(MOVED_IN)
    assert first is not None
    assert (first.status, first.patient_class, first.arrived) == ("open", "snf", at("2026-03-01 10:00"))
    whole = visit(*BY_UPDATES)
    assert whole is not None
    assert (whole.status, whole.patient_class) == ("closed", "snf")
    assert (whole.arrived, whole.departed) == (at("2026-03-01 10:30"), at("2026-03-20 14:00"))
    assert (whole.disposition, whole.diagnoses) == ("01", ("I10",))
    assert whole.how == {"arrived": "A08 PV1-44", "departed": "A08 PV1-45"}
    for order in permutations(BY_UPDATES):
        assert fold(order) == fold(BY_UPDATES)
        assert visit(*order) == whole


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, "open"),
        ({"cls": "inpatient"}, "open"),
        ({"cls": "custody"}, "open"),
        ({"creates": False}, None),
        ({"creates": False, "cls": "inpatient"}, "hearsay"),
        ({"admitted": None}, None),
        ({"cls": "outpatient"}, None),
        ({"cls": "preadmit"}, None),
    ],
)
def test_what_an_update_needs_to_announce_a_stay(fields: dict[str, Any], status: str | None) -> None:
    said = {"cls": "snf", "admitted": "2026-03-01 10:00", "creates": True, **fields}
    found = visit(event("A08", "2026-03-01 12:00", **said))
    assert (None if found is None else found.status) == status
    assert read_visit(fold([event("A08", "2026-03-01 12:00", **said)]), numbered=False) is None


def test_an_announced_stay_can_be_taken_back_reopened_and_confirmed_in_every_order() -> None:
    cancelled = [MOVED_IN, event("A11", "2026-03-02 08:00")]
    denied = [event("A01", "2026-03-01 11:00", cls="snf"), event("A11", "2026-03-01 11:30"), MOVED_IN]
    reopened = [*BY_UPDATES, event("A13", "2026-03-20 16:00")]
    confirmed = [MOVED_IN, event("A03", "2026-03-20 15:00", cls="snf", departed="2026-03-20 14:00", disposition="01")]
    for events, status in ((cancelled, None), (denied, "cancelled"), (reopened, "open"), (confirmed, "closed")):
        for order in permutations(events):
            found = visit(*order)
            assert (None if found is None else found.status) == status
    planned = visit(event("A05", "2026-02-20 09:00", occurred="2026-03-01 09:00", cls="preadmit"), MOVED_IN)
    assert planned is not None
    assert (planned.status, planned.arrived) == ("open", at("2026-03-01 10:00"))


def test_a_departure_that_only_another_kind_of_message_mentions_ends_no_announced_stay() -> None:
    found = visit(MOVED_IN, event("A21", "2026-03-06 09:00", cls="snf", departed="2026-03-06 09:00"))
    assert found is not None
    assert (found.status, found.departed) == ("open", None)
