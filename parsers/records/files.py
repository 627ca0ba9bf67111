"""Rows of files (CSV or JSON lines) with a check of each field; all faults are collected with their lines.

A fault has the field and the reason and never the value, since faults are printed and logged.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

import msgspec

from domain.errors import UNDECODABLE
from domain.identity import MOST_CHARACTERS, read_cin
from domain.patient.events import Identifier
from domain.times import CALIFORNIA, FIRST_YEAR, LAST_YEAR, instant

T = TypeVar("T")
LIST_SEPARATOR: Final = ";"
NOT_AN_OBJECT: Final = "not a JSON object"
TOO_LONG: Final = f"longer than {MOST_CHARACTERS} characters"
_OBJECT: Final = msgspec.json.Decoder(dict[str, Any])
_DAY_FORMS: Final = ("%Y-%m-%d", "%Y%m%d", "%m/%d/%Y")
_TIME_OF_DAY: Final = re.compile(r"[T ][0-9:.]+(?:Z|[+-][0-9:]+)?$", re.ASCII)
# Digits are in one group only, whatever the text: a match takes time proportional to its length.
_NO_DAY: Final = re.compile(r"0+(?:[-/]0+){0,2}[-/]?|9+(?:[-/]9+){0,2}[-/]?", re.ASCII)
_LOCAL_FORMS: Final = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%m/%d/%Y %H:%M")


class Fault(msgspec.Struct, frozen=True):
    """A fault of one line (from 1) of a file; `field` is "" for the whole line."""

    line: int
    field: str
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.field + ': ' if self.field else ''}{self.reason}"


class Loaded(msgspec.Struct, Generic[T], frozen=True):
    """The content of a file. Its documents are valid only if `faults` is empty: no file is loaded in part."""

    documents: tuple[T, ...]
    faults: tuple[Fault, ...]
    ignored: tuple[str, ...] = ()
    """Unknown columns or keys, each once."""


class Row:
    """One row. Each method reads one field; an invalid value adds a fault and gives None (or empty).

    A value is a text (CSV, lists separated by `;`) or any JSON value.
    """

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
        if value is None:
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

    def day(self, field: str) -> str | None:
        """A day as YYYY-MM-DD; YYYYMMDD and MM/DD/YYYY are accepted."""
        return self._day(field, self.text(field))

    def span(self, start: str, end: str) -> tuple[str | None, str | None]:
        """The first and the last day of a span; None: it is open on that side.

        Files write an open side as blank, as a day out of all calendars (9999-12-31, 12/31/9999, 0001-01-01, from the
        year 2200 or before 1880) or as zeros or nines alone (00000000, 99/99/9999). A time after the day is dropped.
        """
        first, last = (self._open_day(field) for field in (start, end))
        if first and last and last < first:
            self.fault(end, f"before {start}")
        return first, last

    def _open_day(self, field: str) -> str | None:
        value = _TIME_OF_DAY.sub("", self.text(field))
        if _NO_DAY.fullmatch(value):
            return None
        return self._day(field, value, open_ended=True)

    def _day(self, field: str, value: str, *, open_ended: bool = False) -> str | None:
        if not value:
            return None
        for form in _DAY_FORMS:
            try:
                day = datetime.strptime(value, form).date()  # noqa: DTZ007 - a day, not a time
            except ValueError:
                continue
            if FIRST_YEAR <= day.year <= LAST_YEAR:
                return day.isoformat()
            if open_ended:
                return None
            break
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
        if value is None:
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


def json_object(text: bytes | str) -> dict[str, Any] | None:
    """The JSON object in `text`; None for anything else, and for nesting beyond the recursion limit."""
    try:
        return _OBJECT.decode(text)
    except UNDECODABLE:
        return None


def rows_of(
    data: bytes, fields: frozenset[str], mapping: Mapping[str, str] | None = None
) -> tuple[list[Row], list[Fault], tuple[str, ...]]:
    """(rows of a file, faults of invalid lines, columns that are not in `fields`).

    JSON lines when the first character is a brace, else CSV with a header. `mapping`: field -> column of the
    file; a field without an entry is the column of its own name.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return [], [Fault(data.count(b"\n", 0, error.start) + 1, "", "not UTF-8")], ()
    source = _json_rows(text) if text.lstrip()[:1] == "{" else _csv_rows(text)
    ours = {theirs.strip().lower(): name for name, theirs in (mapping or {}).items()}
    rows: list[Row] = []
    faults: list[Fault] = []
    ignored: dict[str, None] = {}
    for found in source:
        if isinstance(found, Fault):
            faults.append(found)
            continue
        line, raw = found
        values: dict[str, Any] = {}
        for name, value in raw.items():
            key = ours.get(name.strip().lower(), name.strip().lower())
            if key in fields:
                values[key] = value
            else:
                ignored[name.strip()] = None
        rows.append(Row(line, values))
    if mapping and rows:
        faults += [
            Fault(1, name, "the mapping names a column that the file does not have")
            for name in mapping
            if not any(name in row.values for row in rows)
        ]
    return rows, faults, tuple(ignored)


def _csv_rows(text: str) -> Iterator[tuple[int, dict[str, Any]] | Fault]:
    first = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter="\t" if "\t" in first and "," not in first else ",")
    try:
        header = [name.strip() for name in next(reader)]
    except StopIteration:
        yield Fault(1, "", "empty file")
        return
    except csv.Error:
        yield Fault(1, "", "not CSV")
        return
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        yield Fault(1, "", f"columns given twice: {', '.join(twice)}")
        return
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield Fault(line, "", "not CSV")
            return
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            yield Fault(line, "", f"{len(cells)} cells where the header has {len(header)}")
            continue
        yield line, {name: cell for name, cell in zip(header, cells, strict=True) if name}


def _json_rows(text: str) -> Iterator[tuple[int, dict[str, Any]] | Fault]:
    for line, row in enumerate(text.split("\n"), 1):
        if row.strip():
            values = json_object(row)
            yield Fault(line, "", NOT_AN_OBJECT) if values is None else (line, values)
