"""Instants, days and calendar months, as look-back windows count them (docs/semantics.md#windows).

Instants are integers: milliseconds since 1970-01-01 UTC. Days are integers: proleptic ordinals (`date.toordinal()`) of
days in `America/Los_Angeles`, so that a window test is an integer comparison. A month is a calendar month: the same day
of another month, clamped to the last day of that month (31 August minus six months is 28 or 29 February). Windows
include both ends.
"""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

CALIFORNIA: Final = ZoneInfo("America/Los_Angeles")
MINUTE: Final = 60_000
HOUR: Final = 3_600_000
DAY: Final = 86_400_000
EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
FIRST_YEAR: Final = 1880
LAST_YEAR: Final = 2199
"""First and last year of a valid instant. Feeds write other years (0001, 9999) for "no date", and `date` has no year
after 9999, so no window could end after it."""
_QUARTER: Final = 15 * MINUTE


@lru_cache(maxsize=65_536)
def _offset_of_quarter(quarter: int) -> int:
    """California's offset from UTC in milliseconds during one quarter of an hour (offsets change at a quarter)."""
    local = datetime.fromtimestamp(quarter * 900, tz=CALIFORNIA)
    offset = local.utcoffset()
    assert offset is not None
    return int(offset.total_seconds() * 1000)


def local_day(at: int) -> int:
    """The California day (ordinal) of the instant `at` (ms UTC)."""
    return EPOCH_DAY + (at + _offset_of_quarter(at // _QUARTER)) // DAY


@lru_cache(maxsize=65_536)
def day_start(day: int) -> int:
    """The first instant (ms UTC) of a California day (ordinal)."""
    start = datetime.combine(date.fromordinal(day), datetime.min.time(), tzinfo=CALIFORNIA)
    return int(start.timestamp() * 1000)


@lru_cache(maxsize=65_536)
def months_before(day: int, months: int) -> int:
    """The day `months` calendar months before `day` (ordinals), clamped to the last day of its month.

    A negative `months` gives a day after `day`.
    """
    start = date.fromordinal(day)
    index = start.year * 12 + start.month - 1 - months
    year, month = index // 12, index % 12 + 1
    return date(year, month, min(start.day, monthrange(year, month)[1])).toordinal()


@lru_cache(maxsize=65_536)
def leaves_window(day: int, months: int) -> int:
    """The first day D (ordinal) whose look-back of `months` months excludes `day`: months_before(D, months) > day."""
    leaving = months_before(day, -months)
    while months_before(leaving, months) <= day:
        leaving += 1
    return leaving


@lru_cache(maxsize=65_536)
def rfc3339(at: int) -> str:
    """An instant (ms UTC) as RFC 3339 with California's offset: 2026-11-23T10:00:00-08:00 (milliseconds unless 0)."""
    # Before 1883-11-18 the offset has seconds (-7:52:58); RFC 3339 has none. -7:53 names the same instant.
    offset = _offset_of_quarter(at // _QUARTER) // MINUTE * MINUTE
    local = datetime.fromtimestamp((at + offset) // 1000, tz=UTC)
    fraction = f".{at % 1000:03d}" if at % 1000 else ""
    sign = "-" if offset < 0 else "+"
    minutes = abs(offset) // MINUTE
    return f"{local:%Y-%m-%dT%H:%M:%S}{fraction}{sign}{minutes // 60:02d}:{minutes % 60:02d}"


def rfc3339_or_none(at: int | None) -> str | None:
    """`rfc3339` of an instant; None for None."""
    return None if at is None else rfc3339(at)


@lru_cache(maxsize=65_536)
def instant(text: str) -> int:
    """The instant (ms UTC) of an RFC 3339 text.

    Raises ValueError for a text without an offset, a malformed text, and a year outside FIRST_YEAR to LAST_YEAR.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without an offset from UTC")
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ValueError(f"a year outside {FIRST_YEAR} to {LAST_YEAR}")
    return round(moment.timestamp() * 1000)


def iso_day(day: int) -> str:
    """A day (ordinal) as YYYY-MM-DD."""
    return date.fromordinal(day).isoformat()


@lru_cache(maxsize=65_536)
def day_of(text: str) -> int:
    """The ordinal of a YYYY-MM-DD text. Raises ValueError for any other text."""
    return date.fromisoformat(text).toordinal()
