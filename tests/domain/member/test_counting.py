"""Which visits count, and the one reason that each has (docs/semantics.md#counting)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from domain.member.counting import EVER, READMITTED, REASONS, TRANSFERRED, read_ledger, reason_in
from domain.member.row import fold_visit, new_row
from domain.rules.rulebook import Rulebook
from domain.snapshots import VisitSnapshot
from tests.support.member import a_visit, changed, the_book, the_rules


def ledger_of(*visits: VisitSnapshot, book: Rulebook | None = None) -> Any:
    row = new_row()
    for visit in visits:
        row = fold_visit(row, visit)
    return read_ledger(row.visits, book or the_book())


def reasons(*visits: VisitSnapshot, book: Rulebook | None = None) -> dict[str, str]:
    ledger = ledger_of(*visits, book=book)
    return {visit.visit.partition("|")[2]: reason for visit, reason in zip(ledger.visits, ledger.reasons, strict=True)}


def test_emergency_visits_count_one_a_day_the_first() -> None:
    found = reasons(
        a_visit("late", "2026-03-01 20:00"), a_visit("early", "2026-03-01 08:00"), a_visit("next", "2026-03-02 01:00")
    )
    assert found == {"early": "counted", "late": "same_day", "next": "counted"}


@pytest.mark.parametrize(
    ("status", "reason"),
    [("cancelled", "cancelled"), ("expected", "planned"), ("hearsay", "hearsay"), ("never-heard-of", "hearsay")],
)
def test_what_did_not_happen_does_not_count_and_takes_no_day(status: str, reason: str) -> None:
    found = reasons(a_visit("a", "2026-03-01 08:00", status=status), a_visit("b", "2026-03-01 09:00"))
    assert found == {"a": reason, "b": "counted"}


def test_a_visit_without_a_time_is_hearsay() -> None:
    assert reasons(changed(a_visit("a", "2026-03-01"), arrived=None)) == {"a": "hearsay"}


@pytest.mark.parametrize("group", ["ACUTE_TRANSFER", "ADMITTED_HERE"])
def test_an_emergency_visit_sent_on_is_the_stay_that_follows_within_a_day(group: str) -> None:
    sent = a_visit("ed", "2026-03-01 22:00", disposition_group=group)
    assert reasons(sent, a_visit("in", "2026-03-02 18:00", "inpatient", facility="Elsewhere")) == {
        "ed": "became_inpatient",
        "in": "counted",
    }
    assert reasons(sent, a_visit("in", "2026-03-03 01:00", "inpatient"))["ed"] == "counted"
    assert reasons(sent, a_visit("in", "2026-03-01 08:00", "inpatient"))["ed"] == "counted"
    assert reasons(sent, a_visit("in", "2026-03-02", "inpatient", status="cancelled"))["ed"] == "counted"


@pytest.mark.parametrize(
    ("left", "group", "admitted", "reason"),
    [
        ("2026-03-01 13:00", "", "2026-03-02 13:00", "became_inpatient"),
        ("2026-03-01 13:00", "OTHER", "2026-03-02 13:01", "counted"),
        ("2026-03-01 13:00", "HOME", "2026-03-01 15:00", "became_inpatient"),
        ("2026-03-01 13:00", "HOME", "2026-03-01 15:01", "counted"),
        ("2026-03-01 13:00", "AMA", "2026-03-02", "counted"),
        (None, "", "2026-03-03 12:00", "became_inpatient"),
        (None, "", "2026-03-03 12:01", "counted"),
    ],
)
def test_an_emergency_visit_is_the_stay_that_follows_in_the_same_house(
    left: str | None, group: str, admitted: str, reason: str
) -> None:
    visit = a_visit("ed", "2026-03-01 12:00", departed=left, disposition_group=group)
    assert reasons(visit, a_visit("in", admitted, "inpatient"))["ed"] == reason


@pytest.mark.parametrize("group", ["", "HOME", "TO_NF"])
def test_an_emergency_visit_is_no_stay_elsewhere_unless_the_patient_was_sent_on(group: str) -> None:
    visit = a_visit("ed", "2026-03-01", disposition_group=group)
    assert reasons(visit, a_visit("in", "2026-03-01 14:00", "inpatient", facility="Elsewhere"))["ed"] == "counted"


def test_a_visit_that_became_a_stay_counts_once_on_the_day_of_admission() -> None:
    stay = a_visit(
        "v",
        "2026-03-01 22:00",
        "inpatient",
        admitted="2026-03-02 03:00",
        departed="2026-03-05",
        flags=("became_inpatient",),
    )
    ledger = ledger_of(stay)
    assert [entry.category for entry in ledger.counted] == ["stay"]
    assert ledger.counted[0].start == stay.visit.admitted


@pytest.mark.parametrize(
    ("group", "again", "reason"),
    [
        ("HOME", "2026-03-10 18:00", "transfer_continuation"),
        ("HOME", "2026-03-10 18:01", "counted"),
        ("HOME", "2026-03-05", "transfer_continuation"),
        ("ACUTE_TRANSFER", "2026-03-11 23:00", "transfer_continuation"),
        ("POST_ACUTE", "2026-03-11 23:00", "transfer_continuation"),
        ("ACUTE_TRANSFER", "2026-03-12 00:30", "counted"),
        ("TO_NF", "2026-03-11 09:00", "counted"),
    ],
)
def test_a_stay_continues_another_at_once_or_after_a_transfer(group: str, again: str, reason: str) -> None:
    first = a_visit("a", "2026-03-01", "inpatient", departed="2026-03-10 12:00", disposition_group=group)
    assert reasons(first, a_visit("b", again, "inpatient"))["b"] == reason


def test_a_nursing_facility_between_two_stays_does_not_join_them() -> None:
    found = reasons(
        a_visit("a", "2026-03-01", "inpatient", departed="2026-03-05"),
        a_visit("nf", "2026-03-05 15:00", "snf", departed="2026-03-12", facility="Bayview"),
        a_visit("b", "2026-03-12 15:00", "inpatient"),
    )
    assert found == {"a": "counted", "nf": "counted", "b": "counted"}


def test_links_name_transfers_and_readmissions() -> None:
    ledger = ledger_of(
        a_visit("a", "2026-03-01", "inpatient", departed="2026-03-05", disposition_group="ACUTE_TRANSFER"),
        a_visit("b", "2026-03-06", "inpatient", departed="2026-03-08"),
        a_visit("c", "2026-04-07", "inpatient", departed="2026-04-08"),
        a_visit("d", "2026-05-09", "inpatient", departed="2026-05-10"),
    )
    assert ledger.links == {1: TRANSFERRED, 2: READMITTED}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"admission_type": "3"}, "planned"),
        ({"admission_type": "C"}, "planned"),
        ({"admission_type": "4"}, "newborn"),
        ({"diagnoses": ("Z3800",)}, "newborn"),
        ({"patient_class": "newborn"}, "newborn"),
        ({"admission_type": "L"}, "delivery"),
        ({"diagnoses": ("O80", "I10")}, "delivery"),
        ({"diagnoses": ("I10",)}, "counted"),
    ],
)
def test_stays_that_were_to_be_expected(fields: dict[str, Any], reason: str) -> None:
    assert reasons(a_visit("a", "2026-03-01", "inpatient", **fields))["a"] == reason


def test_deliveries_count_where_a_county_says_so() -> None:
    rules = the_rules()
    counting = msgspec.structs.replace(rules.settings, count_deliveries=True)
    book = Rulebook(msgspec.structs.replace(rules, settings=counting))
    assert reasons(a_visit("a", "2026-03-01", "inpatient", diagnoses=("O80",)), book=book) == {"a": "counted"}


@pytest.mark.parametrize(
    ("again", "admission_type", "reason"),
    [
        ("2026-04-04", "", "planned"),
        ("2026-04-04", "3", "planned"),
        ("2026-04-05", "", "counted"),
        ("2026-04-04", "1", "counted"),
        ("2026-04-04", "2", "counted"),
    ],
)
def test_an_announced_return_is_planned_for_thirty_days_unless_it_is_an_emergency(
    again: str, admission_type: str, reason: str
) -> None:
    first = a_visit("a", "2026-03-01", "inpatient", departed="2026-03-05", disposition="81")
    assert reasons(first, a_visit("b", again, "inpatient", admission_type=admission_type))["b"] == reason


def test_an_elective_stay_through_the_ed_is_not_planned() -> None:
    elective = a_visit("in", "2026-03-01 14:00", "inpatient", admission_type="3")
    assert reasons(elective)["in"] == "planned"
    assert reasons(a_visit("ed", "2026-03-01 10:00", departed="2026-03-01 14:00"), elective)["in"] == "counted"
    assert reasons(changed(elective, flags=("became_inpatient",)))["in"] == "counted"


def test_observation_is_no_stay_but_its_emergency_part_counts() -> None:
    found = reasons(
        a_visit("o", "2026-03-01", "observation"),
        a_visit("e", "2026-03-02", "observation", flags=("from_emergency",)),
        a_visit("x", "2026-03-03", "outpatient"),
        a_visit("j", "2026-03-04", "custody"),
    )
    assert found == {"o": "observation", "e": "counted", "x": "", "j": ""}


def test_a_nursing_facility_stay_counts_until_it_has_lasted_ninety_days() -> None:
    start = a_visit("s", "2026-01-01", "snf", departed="2026-04-01")
    assert ledger_of(start).counted[0].until == EVER
    longer = a_visit("s", "2026-01-01", "snf", departed="2026-04-02")
    still = a_visit("s", "2026-01-01", "snf", departed=None)
    day = ledger_of(start).counted[0].day
    assert ledger_of(longer).counted[0].until == ledger_of(still).counted[0].until == day + 91


@pytest.mark.parametrize(
    ("left", "facility", "again", "reason"),
    [
        ("2026-01-31", "General", "2026-02-01", "continues"),
        ("2026-01-31", "General", "2026-02-07", "continues"),
        ("2026-01-31", "General", "2026-02-08", "counted"),
        ("2026-01-31", "Bayview", "2026-02-01", "continues"),
        ("2026-01-31", "Bayview", "2026-02-02", "counted"),
        (None, "General", "2026-02-01", "continues"),
        (None, "Bayview", "2026-02-01", "counted"),
    ],
)
def test_accounts_of_one_nursing_facility_stay_count_once(
    left: str | None, facility: str, again: str, reason: str
) -> None:
    first = a_visit("jan", "2026-01-01", "snf", departed=left)
    found = reasons(first, a_visit("feb", again, "snf", facility=facility, departed=None))
    assert found == {"jan": "counted", "feb": reason}


def test_monthly_accounts_of_a_nursing_facility_are_long_term_together() -> None:
    months = [
        a_visit("jan", "2026-01-01", "snf", departed="2026-01-31"),
        a_visit("feb", "2026-02-01", "snf", departed="2026-02-28"),
        a_visit("mar", "2026-03-01", "snf", departed="2026-04-05"),
    ]
    ledger = ledger_of(*months)
    assert [each.until - each.day for each in ledger.counted] == [91]
    assert ledger_of(*months[:2]).counted[0].until == EVER


def test_an_intermediate_care_facility_is_never_short_term() -> None:
    assert reasons(a_visit("s", "2026-01-01", "inpatient", facility_type="icf")) == {"s": "not_short_term"}


def test_seen_from_a_window() -> None:
    assert reason_in("counted", 100, EVER, 90, 120) == "counted"
    assert reason_in("counted", 89, EVER, 90, 120) == "outside_window"
    assert reason_in("counted", 100, 120, 90, 120) == "not_short_term"
    assert reason_in("planned", 10, EVER, 90, 120) == "planned"


def test_the_earliest_visit_that_tells_of_a_death_is_the_death() -> None:
    ledger = ledger_of(
        a_visit("a", "2026-03-01"),
        a_visit("b", "2026-03-02", disposition_group="EXPIRED"),
        a_visit("c", "2026-03-03", flags=("died",)),
    )
    assert ledger.death == 1
    assert ledger_of(a_visit("a", "2026-03-01")).death == -1


def test_every_reason_that_is_given_is_in_the_list() -> None:
    assert len(set(REASONS)) == 14
