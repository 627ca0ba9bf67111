"""HL7 times (DTM, TS): `YYYY[MM[DD[HH[MM[SS[.S[S[S[S]]]]]]]]][+/-ZZZZ]`, and what feeds write instead.

Results are milliseconds since 1970-01-01 UTC. Which offset counts, in this order: the value's own; the one of MSH-7
(the default for the whole message, HL7 field MSH-7), passed as `offset`; the sender's zone.

Two rules for a sender's clock that is put forward and back:
- a time of the repeated hour in November is its first reading, daylight time (01:30 in Los Angeles is 08:30 UTC);
- a time of the hour that March leaves out moves on by that hour (02:30 is read as 03:30 daylight time, 10:30 UTC).

A value with a date only stands for that whole day. A year or a month alone places nothing on a day: such a value only
orders messages (`instant`), `moment` does not give it. An hour of 24 is midnight at the end of the day, a second of 60
the start of the next minute. A value with anything else behind its time is read up to there if a blank comes first.
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
"""What follows the digits: a fraction (some write it without its dot), an offset, and after a blank anything."""
_ISO: Final = re.compile(
    r"([0-9]{4})[-/]([0-9]{2})[-/]([0-9]{2})(?:[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2}))?)?(.*)", re.ASCII | re.DOTALL
)


@lru_cache(maxsize=65_536)
def _hour(text: str, zone: tzinfo) -> int | None:
    """The first instant of YYYY, YYYYMM, YYYYMMDD or YYYYMMDDHH in `zone`; None when there is no such time.

    Nor when the year is not one to believe (0001, 9999: placeholders for "none", see `domain.times.LAST_YEAR`).
    Offsets are taken to be constant within an hour of the sender's clock, as in every zone of the United States.
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
    """What follows a time's digits: the fraction (ms) and the offset (ms or None); None when it is neither."""
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
    """The instant (ms UTC) that an HL7 time names, however coarse, or None when it cannot be read.

    `zone` is the sender's; `offset` (ms, from MSH-7) takes its place where given.
    """
    hour = _hour(text[:10], zone if offset is None else UTC)
    if hour is not None:
        rest = _REST.get(text[10:])
        if rest is not None:
            return hour + rest - (offset or 0)
    read = _read(text, zone, offset)
    return None if read is None else read[0]


def moment(text: str, zone: tzinfo, offset: int | None, source: str) -> When | None:
    """An HL7 time as a fact of the field `source`; None when it is empty, unreadable, or coarser than a day."""
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
    """MSH-7: its instant (ms UTC; None when it cannot be read) and the offset (ms) that it carries, if any."""
    hour = _hour(text[:10], zone)
    if hour is not None:
        rest = _REST.get(text[10:])
        if rest is not None:
            return hour + rest, None
    read = _read(text, zone, None) if text else None
    return (None, None) if read is None else (read[0], read[2])


def _read(text: str, zone: tzinfo, offset: int | None) -> tuple[int, int, int | None] | None:
    """Any form: the instant (ms UTC), how many digits of date and time it had, the offset it carried."""
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
    """The day at the head of a PID-7 value as YYYY-MM-DD, or None when it names no day (a year or month alone)."""
    spelled = _ISO.match(text)
    digits = "".join(spelled.groups()[:3]) if spelled else text[:8]
    if len(digits) < 8 or not digits.isdigit() or not digits.isascii():
        return None
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:8])).isoformat()
    except ValueError:
        return None
