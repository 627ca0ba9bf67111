"""Transitions and alerts, as visits and custody records come, change and go."""

from __future__ import annotations

from typing import Any

import pytest

from agents.topics import TRANSITIONS
from domain.member.transitions import KINDS
from domain.snapshots import PersonSnapshot
from tests.support.member import MEMBER, Member, a_release, a_visit, at, changed, revised

ASSERTED, RETRACTED = "asserted", "retracted"


def kinds(*visits: Any, until: str = "2026-12-31") -> set[str]:
    member = Member()
    member.tell(*visits)
    member.tick(until)
    return {kind for kind, status in member.transitions() if status == ASSERTED}


@pytest.mark.parametrize(
    ("kind", "fields", "expected"),
    [
        ("emergency", {}, {"ed_arrival", "discharge"}),
        ("emergency", {"departed": None}, {"ed_arrival"}),
        ("emergency", {"status": "hearsay"}, set()),
        ("emergency", {"status": "expected"}, set()),
        ("emergency", {"status": "cancelled"}, set()),
        ("outpatient", {}, set()),
        ("inpatient", {}, {"admission", "discharge"}),
        ("inpatient", {"flags": ("became_inpatient",)}, {"ed_arrival", "admission", "discharge"}),
        ("inpatient", {"disposition_group": "TO_NF"}, {"admission", "discharge", "hospital_to_nf"}),
        ("inpatient", {"disposition_group": "AMA"}, {"admission", "discharge", "left_against_advice"}),
        ("inpatient", {"disposition_group": "EXPIRED"}, {"admission", "discharge", "death"}),
        ("inpatient", {"disposition_group": "INTO_CUSTODY"}, {"admission", "discharge", "into_custody"}),
        ("emergency", {"source": "8"}, {"ed_arrival", "discharge", "custody_release"}),
        ("emergency", {"source": "8", "disposition_group": "OTHER"}, {"ed_arrival", "discharge"}),
        ("emergency", {"source": "5"}, {"ed_arrival", "discharge", "nf_to_hospital"}),
        ("observation", {}, {"observation", "discharge"}),
        ("observation", {"flags": ("from_emergency",)}, {"ed_arrival", "discharge"}),
        ("snf", {}, {"nf_admission", "nf_discharge"}),
        ("snf", {"disposition_group": "ACUTE_TRANSFER"}, {"nf_admission", "nf_discharge", "nf_to_hospital"}),
        ("snf", {"departed": None}, {"nf_admission", "nf_long_stay"}),
        ("snf", {"departed": "2026-04-30"}, {"nf_admission", "nf_discharge", "nf_long_stay"}),
        ("snf", {"departed": "2026-04-29"}, {"nf_admission", "nf_discharge"}),
        ("custody", {}, {"custody_booking", "custody_release"}),
        ("custody", {"disposition_group": "ACUTE_TRANSFER"}, {"custody_booking"}),
        ("custody", {"disposition_group": "INTO_CUSTODY"}, {"custody_booking"}),
    ],
)
def test_what_one_visit_tells(kind: str, fields: dict[str, Any], expected: set[str]) -> None:
    found = kinds(a_visit("v", "2026-03-01", kind, **fields))
    assert found == expected
    assert found <= set(KINDS)


def test_a_transition_says_from_where_to_where_and_when() -> None:
    member = Member()
    member.tell(a_visit("v", "2026-03-01 10:00", "inpatient", departed="2026-03-05 11:00", disposition_group="TO_NF"))
    found = {t["kind"]: t for t in member.last(TRANSITIONS).values()}
    moved = found["hospital_to_nf"]
    assert (moved["from"], moved["to"], moved["facility"]) == ("inpatient", "TO_NF", "General")
    assert moved["occurred"] == "2026-03-05T11:00:00-08:00"
    assert (moved["visit"], moved["member_id"], moved["revision"]) == ("GENHOSP|v", MEMBER, 1)
    assert moved["messages"] == [{"sender": "general", "control_id": "Mv", "at": "adt.raw.v1/0/1"}]


def test_the_next_stay_is_a_transfer_or_a_readmission() -> None:
    first = a_visit("a", "2026-03-01", "inpatient", departed="2026-03-05")
    sent = changed(first, disposition_group="ACUTE_TRANSFER")
    assert "transfer" in kinds(sent, a_visit("b", "2026-03-06", "inpatient", facility="Elsewhere"))
    assert "readmission_30d" in kinds(first, a_visit("b", "2026-03-06", "inpatient", facility="Elsewhere"))
    assert "readmission_30d" in kinds(first, a_visit("b", "2026-04-04", "inpatient"))
    assert kinds(first, a_visit("b", "2026-04-05", "inpatient")) == {"admission", "discharge"}


def test_a_readmission_is_taken_back_when_the_first_stay_goes() -> None:
    member = Member()
    first = a_visit("a", "2026-03-01", "inpatient", departed="2026-03-05")
    member.tell(first, a_visit("b", "2026-03-20", "inpatient"))
    member.tell(revised(first, status="cancelled", received=at("2026-03-22")))
    assert ("readmission_30d", "retracted") in member.transitions()


def test_a_nursing_facility_that_tells_of_the_move_itself_is_believed_first() -> None:
    left = a_visit("nf", "2026-02-01", "snf", departed="2026-03-01 08:00", disposition_group="ACUTE_TRANSFER")
    member = Member()
    member.tell(a_visit("ed", "2026-03-01 09:00", source="5"))
    assert ("nf_to_hospital", ASSERTED) in member.transitions()
    member.tell(left)
    moves = [status for kind, status in member.transitions() if kind == "nf_to_hospital"]
    assert sorted(moves) == ["asserted", "retracted"]


def test_one_death_is_told_once() -> None:
    member = Member()
    died = PersonSnapshot("GENHOSP|100", 1, at("2026-03-02"), at("2026-03-02"))
    member.tell(a_visit("a", "2026-03-01"), died, changed(died, patient="HIE|7"))
    assert member.transitions().count(("death", ASSERTED)) == 1
    member.tell(a_visit("b", "2026-03-01", "inpatient", disposition="20", disposition_group="EXPIRED"))
    assert member.transitions().count(("death", ASSERTED)) == 1


def test_a_death_that_was_registered_by_mistake_is_taken_back() -> None:
    member = Member()
    died = PersonSnapshot("GENHOSP|100", 1, at("2026-03-02"), at("2026-03-02"))
    member.tell(a_visit("a", "2026-03-01"), died)
    member.tell(revised(died, died=None))
    assert ("death", ASSERTED) not in member.transitions()
    assert ("death", RETRACTED) in member.transitions()


def test_nothing_is_told_before_it_happens() -> None:
    member = Member()
    member.tell(a_visit("a", "2026-03-01 12:00", departed="2026-03-01 18:00", received=at("2026-03-01 11:00")))
    assert member.transitions() == []
    member.tick("2026-03-01 12:00")
    assert member.transitions() == [("ed_arrival", ASSERTED)]
    member.tick("2026-03-01 18:00")
    assert len(member.transitions()) == 2


def test_a_long_stay_is_told_on_the_sixtieth_day() -> None:
    member = Member()
    member.tell(a_visit("s", "2026-03-01", "snf", departed=None))
    member.tick("2026-04-29 23:00")
    assert member.transitions() == [("nf_admission", ASSERTED)]
    member.tick("2026-04-30 00:00")
    assert ("nf_long_stay", ASSERTED) in member.transitions()


def test_a_cancel_retracts_and_a_new_arrival_asserts_again() -> None:
    member = Member()
    visit = a_visit("a", "2026-03-01")
    member.tell(visit)
    cancelled = revised(visit, status="cancelled")
    member.tell(cancelled)
    assert {status for _, status in member.transitions()} == {"retracted"}
    member.tell(revised(cancelled, status="closed"))
    last = member.last(TRANSITIONS).values()
    assert {(t["status"], t["revision"]) for t in last} == {("asserted", 3)}


def test_a_corrected_time_is_said_again_and_an_invisible_change_is_not() -> None:
    member = Member()
    visit = a_visit("a", "2026-03-01 10:00")
    member.tell(visit)
    emits = member.tell(revised(visit, departed=at("2026-03-01 15:00")))
    assert [t["kind"] for t in member.last(TRANSITIONS, emits).values()] == ["discharge"]
    assert member.tell(revised(revised(visit, departed=at("2026-03-01 15:00")), diagnoses=("I10",))) == []


def test_a_withdrawn_visit_is_retracted_with_its_time() -> None:
    member = Member()
    visit = a_visit("a", "2026-03-01 10:00")
    member.tell(visit, revised(visit, status="withdrawn"))
    assert {t["occurred"][:16] for t in member.last(TRANSITIONS).values()} == {"2026-03-01T10:00", "2026-03-01T11:00"}
    assert {status for _, status in member.transitions()} == {"retracted"}
    assert member.tell(a_visit("b", "2026-03-02"))
    counts = member.utilization()
    assert counts is not None
    assert counts["windows"]["12mo"]["ed"] == 1


def test_a_second_feed_of_a_visit_tells_nothing_and_takes_over_when_the_first_goes() -> None:
    member = Member()
    visit = a_visit("a", "2026-03-01 10:00")
    member.tell(visit, a_visit("b", "2026-03-01 10:30", patient="HIE|1"))
    assert len(member.transitions()) == 2
    member.tell(revised(visit, status="withdrawn"))
    assert sorted(status for _, status in member.transitions()) == ["asserted", "asserted", "retracted", "retracted"]


def test_a_visit_that_moves_to_another_patient_number_keeps_its_transitions() -> None:
    member = Member()
    visit = a_visit("a", "2026-03-01 10:00")
    member.tell(visit, a_visit("a", "2026-03-01 10:00", patient="GENHOSP|200"))
    assert member.tell(revised(visit, status="withdrawn")) == []
    assert {t["revision"] for t in member.last(TRANSITIONS).values()} == {1}


def test_of_a_visit_under_two_patient_numbers_the_one_that_stands_speaks() -> None:
    member = Member()
    visit = a_visit("a", "2026-03-01 10:00")
    member.tell(visit, a_visit("a", "2026-03-01 10:00", patient="GENHOSP|200"))
    member.tell(revised(visit, status="cancelled"))
    assert {status for _, status in member.transitions()} == {ASSERTED}
    member.tell(a_visit("a", "2026-03-01 10:00", patient="GENHOSP|200", revision=2, status="cancelled"))
    assert {status for _, status in member.transitions()} == {"retracted"}
    member.tell(a_visit("a", "2026-03-02 10:00", patient="GENHOSP|200", revision=3))
    assert {status for _, status in member.transitions()} == {ASSERTED}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("booked", "custody_booking"),
        ("released", "custody_release"),
        ("transferred", "into_custody"),
        ("scheduled", "custody_release_scheduled"),
    ],
)
def test_custody_records(kind: str, expected: str) -> None:
    member = Member()
    record = a_release("R1", "2026-03-01", kind, scheduled=at("2026-04-01"), confidence="medium")
    member.tell(record)
    (document,) = member.last(TRANSITIONS).values()
    assert (document["kind"], document["visit"], document["confidence"]) == (expected, "R1", "medium")
    assert (document["scheduled"] is not None) == (kind == "scheduled")
    member.tell(revised(record, status="withdrawn"))
    assert member.transitions() == [(expected, "retracted")]


def test_a_custody_record_that_lies_ahead_waits() -> None:
    member = Member()
    member.tell(a_release("R1", "2026-03-05", received=at("2026-03-01")))
    assert member.transitions() == []
    member.tick("2026-03-05 12:00")
    assert member.transitions() == [("custody_release", ASSERTED)]


def test_one_record_under_two_persons_is_told_once() -> None:
    member = Member()
    member.tell(a_release("R1", "2026-03-05"))
    other = a_release("R1", "2026-03-06", patient="JAIL|8", revision=3)
    assert member.tell(other, revised(other)) == []
    assert len(member.emits) == 1


# Alerts

IN_ECM = {"status": "enrolled", "from": "2026-01-01", "to": "2026-06-30", "provider": "Care Org"}


def test_a_member_in_ecm_is_an_alert_for_each_transition_due_within_a_day() -> None:
    member = Member()
    member.roster(ecm=IN_ECM)
    member.tell(a_visit("a", "2026-03-01 10:00"), a_visit("b", "2026-07-01 10:00"))
    alerts = member.alerts()
    assert [a["transition"]["kind"] for a in alerts] == ["ed_arrival", "discharge"]
    assert (alerts[0]["due"], alerts[0]["ecm_provider"]) == ("2026-03-02T10:00:00-08:00", "Care Org")
    assert alerts[0]["alert_id"].startswith("a_")
    member.tell(revised(a_visit("a", "2026-03-01 10:00"), status="cancelled", received=at("2026-07-02")))
    assert [a["transition"]["status"] for a in member.alerts()[2:]] == ["retracted", "retracted"]


def test_enrolment_that_becomes_known_later_brings_the_alerts_once() -> None:
    member = Member()
    member.roster()
    member.tell(a_visit("a", "2026-03-01"), a_release("R1", "2026-03-05"))
    assert member.alerts() == []
    member.roster("2026-03-06", ecm=IN_ECM)
    assert [a["transition"]["revision"] for a in member.alerts()] == [1, 1, 1]
    member.roster("2026-03-07", ecm={**IN_ECM, "provider": "Another Org"})
    assert len(member.alerts()) == 3


@pytest.mark.parametrize(
    ("ecm", "number"),
    [
        ({"status": "ended", "from": "2026-01-01", "to": "2026-06-30"}, 2),
        ({"status": "ended", "to": "2026-06-30"}, 0),
        ({"status": "outreach", "from": "2026-01-01"}, 0),
        ({"status": "enrolled"}, 2),
    ],
)
def test_what_counts_as_being_in_ecm(ecm: dict[str, str], number: int) -> None:
    member = Member()
    member.roster(ecm=ecm)
    member.tell(a_visit("a", "2026-03-01"))
    assert len(member.alerts()) == number
