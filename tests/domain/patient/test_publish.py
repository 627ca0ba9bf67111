"""What a change of a row publishes: whole visits, once each, withdrawn from a former member (docs/semantics.md)."""

from __future__ import annotations

from itertools import permutations

from domain.patient.current import Snapshot
from domain.patient.events import AdtEvent
from domain.patient.fold import fold_event
from domain.patient.publish import current_snapshots, publish
from domain.patient.row import Hashes, PatientRow, new_row, replace
from domain.snapshots import CustodySnapshot, Source, VisitSnapshot
from tests.support.events import PATIENT, VISIT, event

ANN, BEN = "91234567A", "91234567C"
ARRIVAL = event("A01", "2026-03-01 10:00", occurred="2026-03-01 10:00", cls="inpatient", facility="GEN")
DEPARTURE = event("A03", "2026-03-04 11:00", departed="2026-03-04 11:00", cls="inpatient", disposition="01")
CANCEL = event("A11", "2026-03-05 09:00", occurred="2026-03-01 10:00")
Sent = list[tuple[str, Snapshot]]


def folded(row: PatientRow, *events: AdtEvent) -> PatientRow:
    for number, each in enumerate(events):
        source = Source(each.sender, each.control_id, f"adt.raw.v1/0/{number}")
        row = fold_event(row, each, source, each.recorded, Hashes())
    return row


def first(*events: AdtEvent, member: str | None = ANN) -> tuple[PatientRow, Sent]:
    return publish(None, folded(new_row(PATIENT, 1), *events), member, None, received=7)


def statuses(sent: Sent) -> list[tuple[str, str, int, str]]:
    """(member, key, revision, status) of each snapshot."""
    return [
        (member, each.key, each.revision, each.visit.status) if isinstance(each, VisitSnapshot) else (member, "", 0, "")
        for member, each in sent
    ]


def test_a_visit_is_published_whole_with_a_revision_that_counts_up() -> None:
    row, sent = first(ARRIVAL)
    assert statuses(sent) == [(ANN, VISIT, 1, "open")]
    after, sent = publish(row, folded(row, DEPARTURE), ANN, ANN, received=8)
    assert statuses(sent) == [(ANN, VISIT, 2, "closed")]
    [(_, snapshot)] = sent
    assert isinstance(snapshot, VisitSnapshot)
    assert (snapshot.received, snapshot.visit.facility, snapshot.visit.disposition_group) == (8, "GEN", "HOME")
    assert [(member, each.revision) for member, each in current_snapshots(after)] == [(ANN, 2)]


def test_a_repeat_publishes_nothing() -> None:
    row, _ = first(ARRIVAL, DEPARTURE)
    again = folded(row, ARRIVAL, DEPARTURE, ARRIVAL)
    assert publish(row, again, ANN, ANN, received=9) == (again, [])
    # Neither does a look at all of it, as after a change of the owner and back.
    assert publish(None, row, ANN, None, received=9)[1] == []


def test_a_new_owner_gets_the_visit_and_the_former_one_a_withdrawal_without_facts() -> None:
    row, _ = first(ARRIVAL)
    moved, sent = publish(row, row, BEN, ANN, received=9)
    assert statuses(sent) == [(ANN, VISIT, 2, "withdrawn"), (BEN, VISIT, 2, "open")]
    withdrawn = sent[0][1]
    assert isinstance(withdrawn, VisitSnapshot)
    assert (withdrawn.visit.arrived, withdrawn.visit.facility, withdrawn.visit.messages) == (None, "", ())
    back, sent = publish(moved, moved, ANN, BEN, received=10)
    assert statuses(sent) == [(BEN, VISIT, 3, "withdrawn"), (ANN, VISIT, 3, "open")]
    assert publish(back, back, None, ANN, received=11)[1][0][1].revision == 4


def test_a_patient_without_a_member_publishes_nothing_until_it_has_one() -> None:
    row, sent = first(ARRIVAL, member=None)
    assert sent == []
    assert row.published == {}
    assert statuses(publish(row, row, ANN, None, received=9)[1]) == [(ANN, VISIT, 1, "open")]


def test_a_visit_that_is_none_any_more_is_withdrawn_once() -> None:
    update = event("A03", "2026-03-04 11:00", departed="2026-03-04 11:00", cls="inpatient")
    undo = event("A13", "2026-03-04 12:00", occurred="2026-03-04 11:00")
    row, sent = first(update)
    assert statuses(sent) == [(ANN, VISIT, 1, "closed")]
    row, sent = publish(row, folded(row, undo), ANN, ANN, received=9)
    assert statuses(sent) == [(ANN, VISIT, 2, "withdrawn")]
    assert publish(None, row, ANN, None, received=10)[1] == []


def test_the_last_snapshot_is_the_same_for_every_order_of_the_messages() -> None:
    final: list[VisitSnapshot] = []
    for order in permutations((ARRIVAL, DEPARTURE, CANCEL)):
        row = new_row(PATIENT, 1)
        for each in order:
            row = publish(row, folded(row, each), ANN, ANN, received=1)[0]
        [(_, snapshot)] = current_snapshots(row)
        assert isinstance(snapshot, VisitSnapshot)
        final.append(snapshot)
    assert {snapshot.visit.status for snapshot in final} == {"cancelled"}
    assert len({(each.visit.arrived, each.visit.departed, each.visit.patient_class) for each in final}) == 1


def test_an_impaired_row_says_so_in_each_visit() -> None:
    row, _ = first(ARRIVAL)
    _, sent = publish(row, replace(row, impaired=True), ANN, ANN, received=9)
    [(_, snapshot)] = sent
    assert isinstance(snapshot, VisitSnapshot)
    assert snapshot.visit.flags[-1] == "impaired"


def test_a_stay_in_jail_is_published_as_a_booking_and_a_release() -> None:
    booked = event("A01", "2026-03-01 10:00", occurred="2026-03-01 10:00", cls="custody", facility_type="jail")
    row, sent = first(booked)
    [(_, booking)] = sent
    assert isinstance(booking, CustodySnapshot)
    assert (booking.kind, booking.record_id, booking.confidence) == ("booked", f"{VISIT}#booked", "high")
    for disposition, kind in (("01", "released"), ("02", "transferred"), ("21", "transferred")):
        left = event("A03", "2026-03-04 11:00", departed="2026-03-04 11:00", cls="custody", disposition=disposition)
        _, sent = publish(row, folded(row, left), ANN, ANN, received=9)
        assert [(each.kind, each.record_id) for _, each in sent if isinstance(each, CustodySnapshot)] == [
            (kind, f"{VISIT}#released")
        ]
