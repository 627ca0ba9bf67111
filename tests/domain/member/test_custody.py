"""Custody records of several sources as events."""

from __future__ import annotations

from itertools import permutations

import pytest

from domain.member.custody import BOOKED, RELEASED, CustodyLedger, read_custody
from domain.member.visits import MemberCustody
from domain.times import HOUR

START = 1_770_000_000_000


def record(
    name: str, kind: str, hours: int, facility: str = "", confidence: str = "confirmed", type_: str = "jail"
) -> MemberCustody:
    at = START + hours * HOUR
    return MemberCustody(at, "JAIL|1", name, 1, kind, None, facility, type_, confidence, at, b"\x90", b"")


def read(*records: MemberCustody) -> CustodyLedger:
    return read_custody(sorted(records, key=lambda each: (each.at, each.patient, each.record_id)), 72)


def names(ledger: CustodyLedger, kind: str) -> list[str]:
    return [each.record_id for each in ledger.events(kind)]


@pytest.mark.parametrize(
    ("hours", "facilities", "expected"),
    [
        (0, ("County Jail", "COUNTY-JAIL"), ["file"]),
        (72, ("County Jail", ""), ["file"]),
        (73, ("County Jail", ""), ["feed", "file"]),
        (1, ("County Jail", "City Jail"), ["feed", "file"]),
    ],
)
def test_one_release_of_two_sources(hours: int, facilities: tuple[str, str], expected: list[str]) -> None:
    feed = record("feed", RELEASED, 0, facilities[0], "high")
    assert names(read(feed, record("file", RELEASED, hours, facilities[1])), RELEASED) == expected


def test_a_booking_between_two_releases_keeps_them_apart() -> None:
    found = read(record("r1", RELEASED, 0), record("b", BOOKED, 10), record("r2", RELEASED, 20))
    assert names(found, RELEASED) == ["r1", "r2"]
    assert found.follows_release(found.events(BOOKED)[0])


def test_an_unknown_facility_joins_no_third_one() -> None:
    found = read(record("a", RELEASED, 0, "A"), record("b", RELEASED, 1), record("c", RELEASED, 2, "B"))
    assert names(found, RELEASED) == ["a", "c"]


def test_only_correctional_facilities_release() -> None:
    found = read(record("a", RELEASED, 0, type_="psychiatric"), record("b", RELEASED, 100, type_=""))
    assert names(found, RELEASED) == ["b"]
    assert found.first_release == START + 100 * HOUR


def test_the_order_of_the_records_does_not_matter() -> None:
    records = [record("a", RELEASED, 0, "A", "high"), record("b", RELEASED, 0, "a"), record("c", BOOKED, 50)]
    assert {tuple(names(read(*order), RELEASED)) for order in permutations(records)} == {("b",)}
