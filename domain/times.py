"""Time as the programme counts it: instants in milliseconds UTC, days and calendar months in California.

Instants are integers (milliseconds since 1970-01-01 UTC). Days are proleptic ordinals (`date.toordinal()`), so that a
window test is an integer comparison. Windows count in `America/Los_Angeles` calendar months with the day clamped
(31 August minus six months is the last day of February) and hold both ends (docs/semantics.md#windows).
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
"""The years in which an instant is believed. What feeds write beyond them (0001, 9999) stands for "none", and the
calendar could not be counted from it: a window after 9999 has no end."""
_QUARTER: Final = 15 * MINUTE


@lru_cache(maxsize=65_536)
def _offset_of_quarter(quarter: int) -> int:
    """California's offset from UTC in milliseconds during one quarter of an hour (offsets change on those)."""
    local = datetime.fromtimestamp(quarter * 900, tz=CALIFORNIA)
    offset = local.utcoffset()
    assert offset is not None
    return int(offset.total_seconds() * 1000)


def local_day(at: int) -> int:
    """The California day (ordinal) that the instant `at` (ms UTC) falls on."""
    return EPOCH_DAY + (at + _offset_of_quarter(at // _QUARTER)) // DAY


@lru_cache(maxsize=65_536)
def day_start(day: int) -> int:
    """The first instant (ms UTC) of a California day (ordinal)."""
    start = datetime.combine(date.fromordinal(day), datetime.min.time(), tzinfo=CALIFORNIA)
    return int(start.timestamp() * 1000)


@lru_cache(maxsize=65_536)
def months_before(day: int, months: int) -> int:
    """The day `months` calendar months before `day` (ordinals), clamped to the month's last day.

    `months` may be negative for a day that lies after.
    """
    start = date.fromordinal(day)
    index = start.year * 12 + start.month - 1 - months
    year, month = index // 12, index % 12 + 1
    return date(year, month, min(start.day, monthrange(year, month)[1])).toordinal()


@lru_cache(maxsize=65_536)
def leaves_window(day: int, months: int) -> int:
    """The first day D whose look-back of `months` months no longer holds `day`: months_before(D, months) > day."""
    leaving = months_before(day, -months)
    while months_before(leaving, months) <= day:
        leaving += 1
    return leaving


@lru_cache(maxsize=65_536)
def rfc3339(at: int) -> str:
    """An instant (ms UTC) as RFC 3339 with California's offset: 2026-11-23T10:00:00-08:00 (milliseconds if any)."""
    offset = _offset_of_quarter(at // _QUARTER)
    local = datetime.fromtimestamp((at + offset) // 1000, tz=UTC)
    fraction = f".{at % 1000:03d}" if at % 1000 else ""
    sign = "-" if offset < 0 else "+"
    minutes = abs(offset) // MINUTE
    return f"{local:%Y-%m-%dT%H:%M:%S}{fraction}{sign}{minutes // 60:02d}:{minutes % 60:02d}"


def rfc3339_or_none(at: int | None) -> str | None:
    """The same of an instant that may not be known."""
    return None if at is None else rfc3339(at)


@lru_cache(maxsize=65_536)
def instant(text: str) -> int:
    """The instant (ms UTC) that an RFC 3339 text names.

    Raises ValueError when it has no offset, is malformed, or lies in a year that is not believed.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without an offset")
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ValueError("a year before the first or after the last that is believed")
    return round(moment.timestamp() * 1000)


def iso_day(day: int) -> str:
    """A day (ordinal) as YYYY-MM-DD."""
    return date.fromordinal(day).isoformat()


@lru_cache(maxsize=65_536)
def day_of(text: str) -> int:
    """The ordinal of a YYYY-MM-DD text. Raises ValueError when it is none."""
    return date.fromisoformat(text).toordinal()
