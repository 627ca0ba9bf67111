"""Rows of files (CSV or JSON lines) with a check of each field; all faults are collected with their lines.

A fault has the field and the reason and never the value, since faults are printed and logged.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime
from functools import lru_cache
from typing import Any, Final, Generic, TypeVar

import msgspec

from domain.errors import UNDECODABLE
from domain.identity import MOST_CHARACTERS, read_cin
from domain.patient.events import Identifier
from domain.rules.vocabulary import Words
from domain.times import CALIFORNIA, FIRST_YEAR, LAST_YEAR, instant

T = TypeVar("T")
LIST_SEPARATOR: Final = ";"
UTF_8: Final = "UTF-8"
WINDOWS: Final = "Windows-1252"
NOT_AN_OBJECT: Final = "not a JSON object"
TOO_LONG: Final = f"longer than {MOST_CHARACTERS} characters"
_OBJECT: Final = msgspec.json.Decoder(dict[str, Any])
_DAY_FORMS: Final = ("%Y-%m-%d", "%Y%m%d", "%m/%d/%Y", "%d-%b-%Y")
_ISO_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_TIME_OF_DAY: Final = re.compile(r"[T ][0-9:.]+(?:Z|[+-][0-9:]+)?$", re.ASCII)
# Digits are in one group only, whatever the text: a match takes time proportional to its length.
_NO_DAY: Final = re.compile(r"0+(?:[-/]0+){0,2}[-/]?|9+(?:[-/]9+){0,2}[-/]?", re.ASCII)
_OPEN_WORDS: Final = frozenset(
    ("open", "none", "null", "nil", "n/a", "na", "-", "--", "present", "current", "ongoing", "indefinite")
)
_LAST_SERIAL: Final = "2958465"
"""9999-12-31 as spreadsheets count days."""
_LOCAL_FORMS: Final = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%m/%d/%Y %H:%M")


class Fault(msgspec.Struct, frozen=True):
    """A fault of one line (from 1) of a file; `field` is "" for the whole line."""

    line: int
    field: str
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.field + ': ' if self.field else ''}{self.reason}"


class Loaded(msgspec.Struct, Generic[T], frozen=True):
    """The content of a file: the documents of its good rows, and all faults of the others."""

    documents: tuple[T, ...]
    faults: tuple[Fault, ...]
    ignored: tuple[str, ...] = ()
    """Unknown columns or keys, each once."""
    encoding: str = UTF_8
    rejected: frozenset[str] = frozenset()
    """The keys that faulty rows name; "" for a row whose key cannot be read."""
    broken: bool = False
    """The file as a whole is at fault, so that no row of it can be trusted."""


class Row:
    """One row. Each method reads one field; an invalid value adds a fault and gives None (or empty).

    A value is a text (CSV, lists separated by `;`) or any JSON value.
    """

    __slots__ = ("faults", "line", "values")

    def __init__(self, line: int, values: Mapping[str, Any]) -> None:
        self.line = line
        self.values = values
        self.faults: list[Fault] = []

    def fault(self, field: str, reason: str) -> None:
        """Add a fault of `field`."""
        self.faults.append(Fault(self.line, field, reason))

    def text(self, field: str) -> str:
        """A text, trimmed; "" without one."""
        value = self.values.get(field)
        if not value and (value is None or value == ""):
            return ""
        if not isinstance(value, str):
            self.fault(field, "not a text")
            return ""
        value = value.strip()
        if not value.isprintable():
            self.fault(field, "contains control characters")
            return ""
        if len(value) > MOST_CHARACTERS:
            self.fault(field, TOO_LONG)
            return ""
        return value

    def word(self, field: str, among: frozenset[str]) -> str:
        """One of a closed set, in lower case; "" without one."""
        value = self.text(field).lower()
        if value and value not in among:
            self.fault(field, f"not one of {', '.join(sorted(among))}")
            return ""
        return value

    def term(self, field: str, words: Words) -> str:
        """A term of a closed set, in any of its spellings; "" without one."""
        value = self.text(field)
        found = words.find(value) if value else ""
        if found is None:
            self.fault(field, f"not one of {words.allowed}")
            return ""
        return found

    def day(self, field: str) -> str | None:
        """A day as YYYY-MM-DD; YYYYMMDD, MM/DD/YYYY and DD-MON-YYYY are accepted."""
        return self._day(field, self.text(field))

    def span(self, start: str, end: str) -> tuple[str | None, str | None]:
        """The first and the last day of a span; None: it is open on that side.

        Files write an open side as blank, as a day out of all calendars (9999-12-31, 12/31/9999, 0001-01-01, from the
        year 2200 or before 1880), as zeros or nines alone (00000000, 99/99/9999), as the last day of spreadsheets
        (2958465) or as a word (open, none, null, n/a, present ...). A time after the day is dropped.
        """
        first, last = (self._open_day(field) for field in (start, end))
        if first and last and last < first:
            self.fault(end, f"before {start}")
        return first, last

    def _open_day(self, field: str) -> str | None:
        value = self.text(field)
        if not value:
            return None
        value = _TIME_OF_DAY.sub("", value)
        if _NO_DAY.fullmatch(value) or value == _LAST_SERIAL or value.lower() in _OPEN_WORDS:
            return None
        return self._day(field, value, open_ended=True)

    def _day(self, field: str, value: str, *, open_ended: bool = False) -> str | None:
        if not value:
            return None
        day = _calendar_day(value)
        if day is not None:
            if FIRST_YEAR <= day.year <= LAST_YEAR:
                return day.isoformat()
            if open_ended:
                return None
        self.fault(field, "not a day (YYYY-MM-DD)")
        return None

    def instant(self, field: str) -> int | None:
        """A time in ms UTC: RFC 3339 with an offset, else a wall time or a day (its first moment) in California."""
        value = self.text(field)
        if not value:
            return None
        try:
            return instant(value)
        except ValueError:
            pass
        for form in (*_LOCAL_FORMS, *_DAY_FORMS):
            try:
                local = datetime.strptime(value, form)  # noqa: DTZ007 - given its zone below
            except ValueError:
                continue
            if FIRST_YEAR <= local.year <= LAST_YEAR:
                return int(local.replace(tzinfo=CALIFORNIA).timestamp() * 1000)
        self.fault(field, "not a time (RFC 3339, or a day)")
        return None

    def cin(self, field: str) -> str | None:
        """A Medi-Cal client index number, cut to its nine characters."""
        value = self.text(field)
        if not value:
            return None
        cin = read_cin(value)
        if cin is None:
            self.fault(field, "not a CIN: 9, seven digits, and a letter that is none of B I J K L O P Q R S")
        return cin

    def items(self, field: str) -> list[Any]:
        """A list: of JSON as it is, of CSV the parts between semicolons, blank ones left out."""
        value = self.values.get(field)
        if value is None or value == "":
            return []
        if isinstance(value, str):
            return [part.strip() for part in value.split(LIST_SEPARATOR) if part.strip()]
        if not isinstance(value, list):
            self.fault(field, "not a list")
            return []
        return value

    def words(self, field: str) -> tuple[str, ...]:
        """A list of texts, in upper case, each once."""
        found: dict[str, None] = {}
        for item in self.items(field):
            if not isinstance(item, str) or not item.strip().isprintable():
                self.fault(field, "an item that is no text")
            elif len(item.strip()) > MOST_CHARACTERS:
                self.fault(field, TOO_LONG)
            else:
                found[item.strip().upper()] = None
        return tuple(found)

    def identifiers(self, field: str) -> tuple[Identifier, ...]:
        """Patient numbers: `authority|number` in CSV, `{"authority": …, "number": …}` in JSON; each once."""
        found: dict[tuple[str, ...], Identifier] = {}
        for item in self.items(field):
            parts: tuple[Any, Any] = ("", "")
            if isinstance(item, str):
                authority, _, number = item.rpartition("|")
                parts = (authority, number)
            elif isinstance(item, dict):
                parts = (item.get("authority"), item.get("number"))
            texts = tuple(part.strip() for part in parts if isinstance(part, str) and part.isprintable())
            if len(texts) != 2 or not all(texts):
                self.fault(field, "an identifier without authority and number (AUTHORITY|NUMBER)")
                continue
            if max(map(len, texts)) > MOST_CHARACTERS:
                self.fault(field, TOO_LONG)
                continue
            found[texts] = Identifier(*texts)
        return tuple(found.values())


@lru_cache(maxsize=65_536)
def _calendar_day(value: str) -> date | None:
    """The day that a text writes; None for no day. A file repeats its days, so they are remembered."""
    if _ISO_DAY.fullmatch(value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            return None
    for form in _DAY_FORMS:
        try:
            return datetime.strptime(value, form).date()  # noqa: DTZ007 - a day, not a time
        except ValueError:
            continue
    return None


def json_object(text: bytes | str) -> dict[str, Any] | None:
    """The JSON object in `text`; None for anything else, and for nesting beyond the recursion limit."""
    try:
        return _OBJECT.decode(text)
    except UNDECODABLE:
        return None
