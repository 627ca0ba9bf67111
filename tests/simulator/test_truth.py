"""The truth about tiny worlds, worked out by hand."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import msgspec
import pytest

from simulator.people import Person, Programme
from simulator.tallies import Tally, counts, tally
from simulator.truth import candidates_of, watched
from simulator.world import ZONE, Custody, Visit, months_back

END = date(2026, 6, 30).toordinal()


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZONE).timestamp()) * 1000


def person(**changes: Any) -> Person:
    plain = Person(
        index=0,
        family="Tamarind",
        given="Ugo",
        birth=date(1980, 1, 1).toordinal(),
        sex="M",
        zip="90012",
        phone="213-555-0100",
        street="1 Fable Way",
        county="Los Angeles",
        persona="",
        cin="91234567A",
        plan="lacare",
        enrolled_from="2020-01-01",
    )
    return msgspec.structs.replace(plain, **changes)


def visit(number: str, kind: str, arrived: str, departed: str | None = None, **changes: Any) -> Visit:
    plain = Visit(
        person=0,
        sender="county-general",
        facility="county-general",
        number="100",
        visit=number,
        kind=kind,
        arrived=at(arrived),
        admitted=at(arrived) if kind == "inpatient" else None,
        departed=None if departed is None else at(departed),
        admission_type="1",
        disposition="01" if departed else "",
    )
    return msgspec.structs.replace(plain, **changes)


def ed(number: str, day: str, **changes: Any) -> Visit:
    return visit(number, "emergency", f"{day} 10:00", f"{day} 14:00", **changes)


def stay(number: str, first: str, last: str, **changes: Any) -> Visit:
    return visit(number, "inpatient", f"{first} 10:00", f"{last} 10:00", **changes)


def reasons(*visits: Visit) -> list[str]:
    return [each.reason for each in tally(visits)]


def populations(visits: list[Visit], who: Person | None = None, custody: tuple[Custody, ...] = ()) -> list[str]:
    return [each["population"] for each in candidates_of(who or person(), tally(visits), custody, END)]


def test_each_visit_has_its_reason() -> None:
    assert reasons(ed("1", "2026-01-01"), ed("2", "2026-01-01"), ed("3", "2026-01-02")) == [
        "counted",
        "same_day",
        "counted",
    ]
    assert reasons(ed("1", "2026-01-01", cancelled=True), ed("2", "2026-01-01")) == ["cancelled", "counted"]
    assert reasons(stay("1", "2026-01-01", "2026-01-03", admission_type="3")) == ["planned"]
    assert reasons(stay("1", "2026-01-01", "2026-01-03", admission_type="4")) == ["newborn"]
    assert reasons(stay("1", "2026-01-01", "2026-01-03", diagnoses=("O80",))) == ["delivery"]
    assert reasons(visit("1", "observation", "2026-01-01 10:00")) == ["observation"]
    assert reasons(visit("1", "observation", "2026-01-01 10:00", from_emergency=True)) == ["counted"]
    assert reasons(visit("1", "expected", "2026-01-01 10:00")) == ["planned"]


@pytest.mark.parametrize(
    ("code", "admitted", "reason"),
    [
        ("02", "2026-01-01", "became_inpatient"),
        ("09", "2026-01-02", "became_inpatient"),
        ("02", "2026-01-03", "counted"),
        ("01", "2026-01-02", "counted"),
    ],
)
def test_an_attendance_that_was_sent_on(code: str, admitted: str, reason: str) -> None:
    sent = ed("1", "2026-01-01", disposition=code)
    assert reasons(sent, visit("2", "inpatient", f"{admitted} 20:00"))[0] == reason


@pytest.mark.parametrize(
    ("status", "readmitted", "reason"),
    [
        ("01", "2026-01-05 16:00", "transfer_continuation"),
        ("01", "2026-01-05 16:01", "counted"),
        ("02", "2026-01-06 23:00", "transfer_continuation"),
        ("02", "2026-01-07 01:00", "counted"),
    ],
)
def test_a_stay_continues_another_at_once_or_after_a_transfer(status: str, readmitted: str, reason: str) -> None:
    first = visit("1", "inpatient", "2026-01-01 10:00", "2026-01-05 10:00", disposition=status)
    again = visit("2", "inpatient", readmitted, "2026-01-20 10:00")
    assert reasons(first, again) == ["counted", reason]


def test_a_planned_return_is_planned() -> None:
    first = stay("1", "2026-01-01", "2026-01-05", disposition="86")
    assert reasons(first, stay("2", "2026-01-20", "2026-01-22", admission_type="9")) == ["counted", "planned"]
    assert reasons(first, stay("2", "2026-01-20", "2026-01-22", admission_type="1")) == ["counted", "counted"]


def test_the_look_back_holds_both_its_ends() -> None:
    tallies = tally([ed("1", "2025-12-29"), ed("2", "2025-12-30"), ed("3", "2026-06-30")])
    assert counts(tallies, 6, END) == {"ed": 2, "inpatient": 0, "snf": 0}
    assert counts(tallies, 12, END)["ed"] == 3


@pytest.mark.parametrize(
    ("day", "months", "before"),
    [
        ("2026-08-31", 6, "2026-02-28"),
        ("2024-08-31", 6, "2024-02-29"),
        ("2026-03-31", 1, "2026-02-28"),
        ("2026-01-15", 1, "2025-12-15"),
        ("2026-12-31", 12, "2025-12-31"),
        ("2026-05-31", -1, "2026-06-30"),
    ],
)
def test_months_are_calendar_months_with_the_day_clamped(day: str, months: int, before: str) -> None:
    assert date.fromordinal(months_back(date.fromisoformat(day).toordinal(), months)).isoformat() == before


def test_a_nursing_facility_stay_counts_until_it_is_long() -> None:
    short = visit("1", "snf", "2026-01-01 10:00", "2026-04-01 10:00")
    long = visit("2", "snf", "2026-01-01 10:00", "2026-04-02 10:00")
    for each, days in ((short, [1, 1]), (long, [1, 0])):
        seen = [counts(tally([each]), 6, date(2026, 4, day).toordinal())["snf"] for day in (1, 2)]
        assert seen == days


def five(first: str = "2026-01-10") -> list[Visit]:
    return [
        ed("1", first),
        ed("2", "2026-02-10"),
        ed("3", "2026-03-10"),
        ed("4", "2026-04-10"),
        ed("5", "2026-05-10"),
    ]


def test_five_attendances_make_a_candidate_and_four_a_watch() -> None:
    assert populations(five()) == ["2a"]
    assert candidates_of(person(), tally(five()), (), END)[0]["openers"] == ["CGMC|5"]
    assert populations(five()[:4]) == []
    assert watched(person(), tally(five()[:4]), END) == ["2a"]
    assert watched(person(), tally(five()), END) == []
    assert populations(five("2025-12-29")) == []


def test_hospital_and_nursing_facility_stays_are_added() -> None:
    visits = [
        stay("1", "2026-01-10", "2026-01-12"),
        stay("2", "2026-03-10", "2026-03-12", disposition="03"),
        visit("3", "snf", "2026-03-12 15:00", "2026-04-10 10:00"),
    ]
    assert populations(visits) == ["2a"]


@pytest.mark.parametrize(
    "who",
    [
        person(plan=""),
        person(enrolled_to="2026-05-09"),
        person(enrolled_from="2026-05-11"),
        person(programmes=(Programme("pace", "2025-01-01", None, True),)),
        person(ecm=("enrolled", "2025-01-01", None)),
        person(birth=date(2005, 7, 1).toordinal()),
    ],
)
def test_who_may_not_be_an_adult_candidate(who: Person) -> None:
    assert "2a" not in populations(five(), who)


@pytest.mark.parametrize(
    "who",
    [
        person(enrolled_to="2026-05-10"),
        person(programmes=(Programme("pace", "2025-01-01", "2026-06-29", True),)),
        person(programmes=(Programme("pace", "2025-01-01", None, False),)),
        person(programmes=(Programme("ihss", "2025-01-01", None, True),)),
        person(ecm=("enrolled", "2025-01-01", "2026-06-29")),
        person(birth=date(2005, 6, 30).toordinal()),
    ],
)
def test_who_may(who: Person) -> None:
    assert "2a" in populations(five(), who)


def test_a_child_s_candidate_outlives_the_birthday_that_follows_it() -> None:
    child = person(birth=date(2005, 4, 1).toordinal())
    assert populations(five()[:3], child) == ["2c"]
    assert populations(five()[:3], person(birth=date(2005, 3, 10).toordinal())) == []


def released(day: str) -> tuple[Custody, ...]:
    return (Custody(0, "R1", "released", "cedar-county-jail", "jail", at(f"{day} 09:00")),)


def test_release_with_and_without_a_condition() -> None:
    ill = [ed("1", "2026-01-10", diagnoses=("E119",))]
    well = [ed("1", "2026-01-10", diagnoses=("R519",))]
    assert populations(ill, custody=released("2026-03-01")) == ["4a"]
    assert populations(well, custody=released("2026-03-01")) == []
    assert (
        populations([ed("1", "2026-01-10", diagnoses=("E119",), cancelled=True)], custody=released("2026-03-01")) == []
    )
    assert populations(ill, custody=released("2025-06-29")) == []
    assert populations(well, person(birth=date(2008, 1, 1).toordinal()), released("2026-03-01")) == ["4y"]
    foster = person(birth=date(2002, 1, 1).toordinal(), aid_codes=("4M",))
    assert populations(well, foster, released("2026-03-01")) == ["4y"]


def test_spans_within_thirty_days_are_one_candidate() -> None:
    again = [*five(), ed("6", "2026-07-20")]
    later = date(2026, 7, 25).toordinal()
    found = candidates_of(person(), tally(again), (), later)
    assert [each["openers"] for each in found] == [["CGMC|5"]]
    visits = [ed("0", "2025-12-31"), *five("2026-02-01")[1:], ed("6", "2026-08-05")]
    # The first span ends as 2025-12-31 leaves on 1 July, 35 days before the sixth visit.
    found = candidates_of(person(), tally(visits), (), date(2026, 8, 6).toordinal())
    assert [each["openers"] for each in found] == [["CGMC|6"]]


def test_a_tally_knows_when_it_counts() -> None:
    each = Tally(ed("1", "2026-01-10"), "emergency", date(2026, 1, 10).toordinal(), "counted")
    assert each.counts_on(date(2026, 7, 10).toordinal(), 6)
    assert not each.counts_on(date(2026, 7, 11).toordinal(), 6)
    assert not each.counts_on(date(2026, 1, 9).toordinal(), 6)
