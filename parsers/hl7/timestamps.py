"""HL7 times (DTM, TS): `YYYY[MM[DD[HH[MM[SS[.S[S[S[S]]]]]]]]][+/-ZZZZ]`, and other forms in use.

Results are milliseconds since 1970-01-01 UTC (docs/semantics.md#times). The zone is the value's own offset, else the
one of MSH-7 (the default of the message), passed as `offset`, else the sender's zone.

Time changes:
- a time in the repeated hour of November is the first of the two, daylight time (01:30 in Los Angeles is 08:30 UTC);
- a time in the hour that March leaves out is an hour later (02:30 is read as 03:30 daylight time, 10:30 UTC).

A date without a time covers the whole day. A year or a month alone is no point in time: `instant` reads it, to order
messages, and `moment` does not. Hour 24 is midnight at the end of the day, second 60 the start of the next minute.
Content behind a time is ignored after a blank.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final

from domain.patient.events import When
from domain.times import FIRST_YEAR, HOUR, LAST_YEAR, MINUTE

_REST: Final = {
    "": 0,
    **{f"{m:02d}": m * MINUTE for m in range(60)},
    **{f"{m:02d}{s:02d}": m * MINUTE + s * 1000 for m in range(60) for s in range(61)},
}
"""What follows YYYYMMDDHH -> milliseconds."""
_OFFSET_AT_END: Final = re.compile(r"(?<=\d)(?:[+-]\d{2}:?(?:\d{2})?|Z)\s*\Z")
_TAIL: Final = re.compile(
    r"(?:[.,]([0-9]*)|([0-9]{1,6}))?\s*(Z|[+-][0-9]{2}(?::?[0-9]{2})?)?(?:\s.*)?", re.ASCII | re.DOTALL
)
"""The part after the digits: a fraction (also without its dot), an offset, and any content after a blank."""
_ISO: Final = re.compile(
    r"([0-9]{4})[-/]([0-9]{2})[-/]([0-9]{2})(?:[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2}))?)?(.*)", re.ASCII | re.DOTALL
)


@lru_cache(maxsize=65_536)
def _hour(text: str, zone: tzinfo) -> int | None:
    """The first instant of YYYY, YYYYMM, YYYYMMDD or YYYYMMDDHH in `zone`; None when there is no such time.

    None too for a year outside `domain.times.FIRST_YEAR` to `LAST_YEAR` (0001 and 9999 are placeholders). Offsets are
    assumed constant within an hour of the sender's clock, as in every zone of the United States.
    """
    if len(text) not in (4, 6, 8, 10) or not text.isascii() or not text.isdigit():
        return None
    try:
        hour = int(text[8:10] or 0)
        start = datetime(int(text[:4]), int(text[4:6] or 1), int(text[6:8] or 1), hour % 24, tzinfo=zone)
        if hour > 24 or not FIRST_YEAR <= start.year <= LAST_YEAR:
            return None
        if hour == 24:
            start += timedelta(days=1)
    except (ValueError, OverflowError):
        return None
    return int(start.timestamp()) * 1000


@lru_cache(maxsize=256)
def _offset(text: str) -> int | None:
    """`+HHMM`, `+HH:MM`, `+HH` or `Z` in milliseconds; None when it is further than 15 hours from UTC."""
    if text == "Z":
        return 0
    digits = text[1:].replace(":", "")
    hours, minutes = int(digits[:2]), int(digits[2:] or 0)
    if hours > 15 or minutes > 59:
        return None
    size = hours * HOUR + minutes * MINUTE
    return -size if text[0] == "-" else size


@lru_cache(maxsize=16_384)
def _tail(text: str) -> tuple[int, int | None] | None:
    """(fraction in ms, offset in ms or None) of the part after the digits; None for other content."""
    found = _TAIL.fullmatch(text)
    if found is None:
        return None
    dotted, bare, shift = found.groups()
    own = None
    if shift is not None:
        own = _offset(shift)
        if own is None:
            return None
    return int(f"{dotted or bare or '0':0<3.3}"), own


def instant(text: str, zone: tzinfo, offset: int | None = None) -> int | None:
    """The instant (ms UTC) of an HL7 time of any precision; None for an unreadable one.

    `zone` is the sender's; `offset` (ms, of MSH-7) replaces it if given.
    """
    hour = _hour(text[:10], zone if offset is None else UTC)
    if hour is not None:
        rest = _REST.get(text[10:])
        if rest is not None:
            return hour + rest - (offset or 0)
    read = _read(text, zone, offset)
    return None if read is None else read[0]


def moment(text: str, zone: tzinfo, offset: int | None, source: str) -> When | None:
    """An HL7 time of the field `source`; None for an empty or unreadable one and for a year or month alone."""
    hour = _hour(text[:10], zone if offset is None else UTC)
    if hour is not None:
        rest = _REST.get(text[10:])
        if rest is not None:
            size = len(text)
            return When(hour + rest - (offset or 0), size == 8, source) if size >= 8 else None
    read = _read(text, zone, offset)
    return None if read is None or read[1] < 8 else When(read[0], read[1] == 8, source)


def without_offset(text: str) -> str:
    """An HL7 time without its zone offset, for senders whose offsets are wrong (profile key `offsets: ignore`)."""
    return _OFFSET_AT_END.sub("", text)


def built(text: str, zone: tzinfo) -> tuple[int | None, int | None]:
    """MSH-7: (instant in ms UTC or None for an unreadable one, its own offset in ms or None)."""
    hour = _hour(text[:10], zone)
    if hour is not None:
        rest = _REST.get(text[10:])
        if rest is not None:
            return hour + rest, None
    read = _read(text, zone, None) if text else None
    return (None, None) if read is None else (read[0], read[2])


def _read(text: str, zone: tzinfo, offset: int | None) -> tuple[int, int, int | None] | None:
    """(instant in ms UTC, number of digits of date and time, own offset in ms or None) of any form."""
    text = text.strip()
    size = 14
    if len(text) <= 14 or text[10:14] not in _REST or (tail := _tail(text[14:])) is None:
        spelled = _ISO.fullmatch(text)
        if spelled is not None:
            text = "".join(part or "" for part in spelled.groups())
        size = next((i for i, char in enumerate(text[:14]) if char not in "0123456789"), min(len(text), 14))
        tail = _tail(text[size:])
        if tail is None:
            return None
    fraction, own = tail
    if own is not None:
        offset = own
    hour = _hour(text[: min(size, 10)], zone if offset is None else UTC)
    rest = _REST.get(text[10:size])
    if hour is None or rest is None:
        return None
    return hour + rest + fraction - (offset or 0), size, own


@lru_cache(maxsize=65_536)
def birth_date(text: str) -> str | None:
    """The date at the beginning of a PID-7 value as YYYY-MM-DD; None without one (a year or month alone)."""
    spelled = _ISO.match(text)
    digits = "".join(spelled.groups()[:3]) if spelled else text[:8]
    if len(digits) < 8 or not digits.isdigit() or not digits.isascii():
        return None
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:8])).isoformat()
    except ValueError:
        return None
