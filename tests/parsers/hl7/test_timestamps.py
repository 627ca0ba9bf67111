"""Every length, offset and accident of HL7 times."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.patient.events import When
from domain.times import CALIFORNIA, HOUR
from parsers.hl7.timestamps import birth_date, built, instant, moment

EAST = ZoneInfo("America/New_York")


def utc(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026", "2026-01-01T08:00:00"),
        ("202611", "2026-11-01T07:00:00"),
        ("20261123", "2026-11-23T08:00:00"),
        ("2026112310", "2026-11-23T18:00:00"),
        ("202611231015", "2026-11-23T18:15:00"),
        ("20261123101530", "2026-11-23T18:15:30"),
        ("20261123101530.1", "2026-11-23T18:15:30.100"),
        ("20261123101530.12", "2026-11-23T18:15:30.120"),
        ("20261123101530.123", "2026-11-23T18:15:30.123"),
        ("20261123101530.1234", "2026-11-23T18:15:30.123"),
        ("20261123101530.", "2026-11-23T18:15:30"),
        ("20261123101530,5", "2026-11-23T18:15:30.500"),
        ("20261123101530637", "2026-11-23T18:15:30.637"),
        ("20261123101530-0500", "2026-11-23T15:15:30"),
        ("20261123101530+04:00", "2026-11-23T06:15:30"),
        ("20261123101530+0530", "2026-11-23T04:45:30"),
        ("20261123101530-08", "2026-11-23T18:15:30"),
        ("20261123101530Z", "2026-11-23T10:15:30"),
        ("20261123101530.25-0500", "2026-11-23T15:15:30.250"),
        ("202611231015-0500", "2026-11-23T15:15:00"),
        ("2026112310-0500", "2026-11-23T15:00:00"),
        ("20261123-0500", "2026-11-23T05:00:00"),
        ("20261123101530 -0500", "2026-11-23T15:15:30"),
        ("20261123101530 PST", "2026-11-23T18:15:30"),
        (" 20261123101530 ", "2026-11-23T18:15:30"),
        ("2026-11-23T10:15:30-05:00", "2026-11-23T15:15:30"),
        ("2026-11-23T10:15:30.5Z", "2026-11-23T10:15:30.500"),
        ("2026-11-23 10:15", "2026-11-23T18:15:00"),
        ("2026/11/23 10:15:30", "2026-11-23T18:15:30"),
        ("2026-11-23", "2026-11-23T08:00:00"),
        ("20261123240000", "2026-11-24T08:00:00"),
        ("20261123101560", "2026-11-23T18:16:00"),
        ("20240229120000", "2024-02-29T20:00:00"),
        ("20260701120000", "2026-07-01T19:00:00"),
        ("19000101000000", "1900-01-01T08:00:00"),
        ("21991231235959", "2200-01-01T07:59:59"),
    ],
)
def test_forms_that_name_an_instant(text: str, expected: str) -> None:
    at = instant(text, CALIFORNIA)
    if expected == "+":
        assert at is not None
        assert at > utc("9999-12-31T00:00:00")
    else:
        assert at == utc(expected)


@pytest.mark.parametrize(
    "text",
    [
        "", "1", "0", "S1", "202", "20261", "2026112", "202611231", "20261123101", "2026112310153", "20261323",
        "20261131", "20230229", "00000000", "20261123250000", "20261123106000", "20261123101599", "20261123101530+9900",
        "20261123101530+0099", "20261123101530X", "201610015080000", "01/15/2026", "２０２６１１２３", '""', "today",
        "20261123101530.12.3", "-0500", "2026-1-2", "00010101-1500\x00",
        "99991231", "99991231235959", "22000101", "18791231235959", "00010101", "9999-12-31",
    ],
)  # fmt: skip
def test_what_is_no_time_is_none(text: str) -> None:
    assert instant(text, CALIFORNIA) is None
    assert moment(text, CALIFORNIA, None, "EVN-6") is None


def test_the_repeated_hour_is_its_first_reading() -> None:
    assert instant("20261101013000", CALIFORNIA) == utc("2026-11-01T08:30:00")
    assert instant("20261101003000", CALIFORNIA) == utc("2026-11-01T07:30:00")
    assert instant("20261101020000", CALIFORNIA) == utc("2026-11-01T10:00:00")
    assert instant("20261101013000-0800", CALIFORNIA) == utc("2026-11-01T09:30:00"), "an offset says which"


def test_the_missing_hour_moves_on() -> None:
    assert instant("20260308023000", CALIFORNIA) == utc("2026-03-08T10:30:00")
    assert instant("20260308033000", CALIFORNIA) == utc("2026-03-08T10:30:00")
    assert instant("20260308015900", CALIFORNIA) == utc("2026-03-08T09:59:00")


def test_the_same_wall_time_of_two_senders() -> None:
    here, there = instant("20261123100000", CALIFORNIA), instant("20261123100000", EAST)
    assert here is not None
    assert there is not None
    assert here - there == 3 * HOUR


def test_the_offset_of_msh_7_is_the_default_and_an_own_one_wins() -> None:
    assert instant("20261123100000", CALIFORNIA, -5 * HOUR) == utc("2026-11-23T15:00:00")
    assert instant("20261123100000-0900", CALIFORNIA, -5 * HOUR) == utc("2026-11-23T19:00:00")
    assert moment("20261123", CALIFORNIA, -5 * HOUR, "PV1-45") == When(utc("2026-11-23T05:00:00"), True, "PV1-45")


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("20261123", True),
        ("2026-11-23", True),
        ("20261123-0800", True),
        ("20261123 ", True),
        ("2026112300", False),
        ("202611230000", False),
        ("20261123000000-0800", False),
        ("2026-11-23 00:00", False),
    ],
)
def test_only_a_date_is_a_whole_day(text: str, whole: bool) -> None:
    assert moment(text, CALIFORNIA, None, "EVN-6") == When(utc("2026-11-23T08:00:00"), whole, "EVN-6")


@pytest.mark.parametrize("text", ["2026", "202611", "2026 ", "202611-0800"])
def test_a_year_or_month_alone_is_no_moment(text: str) -> None:
    assert moment(text, CALIFORNIA, None, "PV1-44") is None
    assert instant(text, CALIFORNIA) is not None


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        ("20261123101530-0800", -8 * HOUR),
        ("20261123101530.1+0530", 5 * HOUR + HOUR // 2),
        ("202611231015Z", 0),
        ("2026-11-23T10:15:30-05:00", -5 * HOUR),
        ("20261123101530", None),
        ("2026-11-23", None),
        ("20261123101530.123", None),
        ("junk", None),
        ("", None),
    ],
)
def test_the_offset_that_msh_7_carries(text: str, offset: int | None) -> None:
    at, carried = built(text, CALIFORNIA)
    assert carried == offset
    assert at == instant(text, CALIFORNIA)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("19800102", "1980-01-02"),
        ("19800102123000", "1980-01-02"),
        ("1980-01-02", "1980-01-02"),
        ("2018080800000000000", "2018-08-08"),
        ("1980", None),
        ("198001", None),
        ("19801302", None),
        ("ABCDEFGH", None),
        ("１９８００１０２", None),
        ("", None),
    ],
)
def test_birth_dates(text: str, expected: str | None) -> None:
    assert birth_date(text) == expected


@given(st.datetimes())
def test_equals_what_the_zone_says(wall: datetime) -> None:
    wall = wall.replace(year=1950 + wall.year % 150, day=min(wall.day, 28))
    expected = round(wall.replace(microsecond=0, tzinfo=CALIFORNIA, fold=0).timestamp() * 1000)
    assert instant(wall.strftime("%Y%m%d%H%M%S"), CALIFORNIA) == expected


@given(st.text(max_size=30) | st.from_regex(r"[0-9]{0,18}[.+-]?[0-9:Z]{0,8}", fullmatch=True))
def test_nothing_raises(text: str) -> None:
    read = instant(text, CALIFORNIA)
    assert read is None or isinstance(read, int)
    assert (moment(text, CALIFORNIA, None, "x") is None) or read is not None
    built(text, CALIFORNIA)
    birth_date(text)
