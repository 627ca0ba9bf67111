"""Days, months and windows of docs/semantics.md#windows, against the calendar and the time zone database."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.times import (
    CALIFORNIA,
    DAY,
    FIRST_YEAR,
    HOUR,
    LAST_YEAR,
    day_of,
    day_start,
    instant,
    iso_day,
    leaves_window,
    local_day,
    months_before,
    rfc3339,
    rfc3339_or_none,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAYS = st.dates(date(FIRST_YEAR, 1, 1), date(LAST_YEAR, 12, 31)).map(date.toordinal)
MONTHS = st.sampled_from((1, 2, 6, 12, 13, 24))


def ms(text: str) -> int:
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(milliseconds=1)


INSTANTS = st.integers(ms(f"{FIRST_YEAR}-01-02T00:00:00Z"), ms(f"{LAST_YEAR}-12-30T00:00:00Z"))


@pytest.mark.parametrize(
    ("day", "months", "expected"),
    [
        ("2026-08-31", 6, "2026-02-28"),
        ("2024-08-31", 6, "2024-02-29"),
        ("2024-08-29", 6, "2024-02-29"),
        ("2024-02-29", 12, "2023-02-28"),
        ("2024-02-29", 48, "2020-02-29"),
        ("2000-02-29", 1200, "1900-02-28"),
        ("2026-01-31", 2, "2025-11-30"),
        ("2026-01-15", 12, "2025-01-15"),
        ("2026-12-31", 6, "2026-06-30"),
        ("2025-12-31", -2, "2026-02-28"),
        ("2026-07-04", 0, "2026-07-04"),
    ],
)
def test_months_before_is_the_same_day_or_the_last_of_a_shorter_month(day: str, months: int, expected: str) -> None:
    assert iso_day(months_before(day_of(day), months)) == expected


@given(DAYS, st.integers(-24, 24))
def test_months_before_lands_in_the_month_it_names(day: int, months: int) -> None:
    start, found = date.fromordinal(day), date.fromordinal(months_before(day, months))
    assert (start.year - found.year) * 12 + start.month - found.month == months
    assert found.day == start.day or (found.day < start.day and (found + timedelta(days=1)).day == 1)


@given(DAYS, MONTHS)
@example(day_of("2025-08-30"), 6)
@example(day_of("2025-08-31"), 6)
@example(day_of("2024-02-29"), 12)
@example(day_of("2023-02-28"), 12)
def test_a_day_leaves_a_window_on_the_first_day_that_does_not_look_back_to_it(day: int, months: int) -> None:
    brute = next(late for late in range(day, day + 800) if months_before(late, months) > day)
    assert leaves_window(day, months) == brute
    assert all(months_before(late, months) > day for late in range(brute, brute + 35))


def test_a_window_that_begins_on_a_clamped_day_holds_it_on_several_days() -> None:
    # 28 August and the three days after it all look back to 28 February 2026.
    assert iso_day(leaves_window(day_of("2026-02-28"), 6)) == "2026-09-01"
    assert iso_day(leaves_window(day_of("2024-02-29"), 6)) == "2024-09-01"
    assert iso_day(leaves_window(day_of("2024-02-29"), 12)) == "2025-03-01"


@pytest.mark.parametrize(
    ("day", "hours", "start"),
    [
        ("2026-03-08", 23, "2026-03-08T08:00:00+00:00"),
        ("2026-11-01", 25, "2026-11-01T07:00:00+00:00"),
        ("2026-07-04", 24, "2026-07-04T07:00:00+00:00"),
        ("2026-12-31", 24, "2026-12-31T08:00:00+00:00"),
    ],
)
def test_days_of_the_time_change_have_23_and_25_hours(day: str, hours: int, start: str) -> None:
    assert day_start(day_of(day)) == ms(start)
    assert day_start(day_of(day) + 1) - day_start(day_of(day)) == hours * HOUR


@given(DAYS)
def test_a_day_holds_its_first_instant_and_not_the_one_before(day: int) -> None:
    assert local_day(day_start(day)) == day
    assert local_day(day_start(day) - 1) == day - 1


@given(INSTANTS)
@example(ms("2026-03-08T09:59:59.999+00:00"))
@example(ms("2026-11-01T08:59:59.999+00:00"))
@example(ms("1945-08-14T23:00:00+00:00"))
def test_the_local_day_is_that_of_the_time_zone_database(at: int) -> None:
    local = (EPOCH + timedelta(milliseconds=at)).astimezone(CALIFORNIA)
    assert local_day(at) == local.toordinal()
    assert day_start(local_day(at)) <= at < day_start(local_day(at)) + DAY + HOUR


@given(INSTANTS)
@example(ms("1880-06-01T00:00:00+00:00"))
@example(ms("2026-11-01T08:30:00+00:00"))
@example(ms("2026-11-01T09:30:00+00:00"))
def test_an_instant_is_read_back_from_its_text(at: int) -> None:
    # Until 18 November 1883 the offset has seconds (-7:52:58), which RFC 3339 cannot write.
    assert instant(rfc3339(at)) == at


@pytest.mark.parametrize(
    ("utc", "text"),
    [
        ("2026-11-23T18:00:00+00:00", "2026-11-23T10:00:00-08:00"),
        ("2026-07-04T03:04:05.006+00:00", "2026-07-03T20:04:05.006-07:00"),
        ("2026-11-01T08:30:00+00:00", "2026-11-01T01:30:00-07:00"),
        ("2026-11-01T09:30:00+00:00", "2026-11-01T01:30:00-08:00"),
        ("1969-12-31T23:59:59.999+00:00", "1969-12-31T15:59:59.999-08:00"),
    ],
)
def test_instants_are_written_with_californias_offset(utc: str, text: str) -> None:
    assert rfc3339(ms(utc)) == text
    assert rfc3339_or_none(ms(utc)) == text
    assert rfc3339_or_none(None) is None


@pytest.mark.parametrize(
    "text", ["2026-03-01T10:00:00", "2026-03-01", "yesterday", "", "1879-12-31T00:00:00Z", "2200-01-01T00:00:00+00:00"]
)
def test_a_text_without_offset_or_outside_the_valid_years_is_no_instant(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        instant(text)


def test_an_offset_is_taken_from_the_text() -> None:
    assert instant("2026-03-01T10:00:00Z") == instant("2026-03-01T02:00:00-08:00") == ms("2026-03-01T10:00:00+00:00")


@pytest.mark.parametrize("text", ["2026-02-29", "2026-13-01", "20260301x", "", "1 March 2026"])
def test_a_text_of_another_form_is_no_day(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        day_of(text)
