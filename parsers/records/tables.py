"""Files of rows: CSV with a header, or JSON lines, in UTF-8 or Windows-1252, cut into rows by field."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from parsers.records.files import NOT_AN_OBJECT, UTF_8, WINDOWS, Fault, Loaded, Row, json_object

T = TypeVar("T")


class _Broken(msgspec.Struct, frozen=True):
    """A fault after which the rest of the file cannot be read."""

    fault: Fault


class Table(msgspec.Struct, frozen=True):
    """The rows of a file, the faults of lines that are none, the columns that nobody asked for, and its encoding.

    `broken`: the file as a whole is at fault, so that no row of it can be trusted.
    """

    rows: list[Row]
    faults: list[Fault]
    ignored: tuple[str, ...] = ()
    encoding: str = UTF_8
    broken: bool = False


def loaded(table: Table, documents: list[T], rejected: frozenset[str]) -> Loaded[T]:
    """The content of a table, once its rows have been read: `documents` of the good rows, the keys that faulty rows
    name, and every fault in the order of lines."""
    faults = [*table.faults, *(fault for row in table.rows for fault in row.faults)]
    broken = table.broken
    if not documents and not faults:
        faults, broken = [Fault(1, "", "no rows")], True
    faults.sort(key=lambda fault: fault.line)
    return Loaded(tuple(documents), tuple(faults), table.ignored, table.encoding, rejected, broken)


def rows_of(data: bytes, fields: frozenset[str], mapping: Mapping[str, str] | None = None) -> Table:
    """The rows of a file, with the columns that are in `fields`.

    JSON lines when the first character is a brace, else CSV with a header. `mapping`: field -> column of the
    file; a field without an entry is the column of its own name. What is not UTF-8 is read as Windows-1252, which
    spreadsheets write.
    """
    encoding = UTF_8
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        encoding = WINDOWS
        try:
            text = data.decode("cp1252")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            return Table([], [Fault(line, "", f"neither {UTF_8} nor {WINDOWS}")], broken=True)
    source = _json_rows(text) if text.lstrip()[:1] == "{" else _csv_rows(text)
    ours = {theirs.strip().lower(): name for name, theirs in (mapping or {}).items()}
    rows: list[Row] = []
    faults: list[Fault] = []
    broken = False
    keys: dict[str, str | None] = {}
    """Column of the file -> field, None for one that nobody asked for."""
    for found in source:
        if isinstance(found, _Broken):
            faults.append(found.fault)
            broken = True
            continue
        if isinstance(found, Fault):
            faults.append(found)
            continue
        line, raw = found
        values: dict[str, Any] = {}
        for name, value in raw.items():
            if name not in keys:
                plain = name.strip().lower()
                key = ours.get(plain, plain)
                keys[name] = key if key in fields else None
            field = keys[name]
            if field is not None:
                values[field] = value
        rows.append(Row(line, values))
    ignored = dict.fromkeys(name.strip() for name, field in keys.items() if field is None)
    missing = [name for name in mapping or () if rows and not any(name in row.values for row in rows)]
    faults += [Fault(1, name, "the mapping names a column that the file does not have") for name in missing]
    return Table(rows, faults, tuple(ignored), encoding, broken or bool(missing))


def _csv_rows(text: str) -> Iterator[tuple[int, dict[str, Any]] | Fault | _Broken]:
    first = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter="\t" if "\t" in first and "," not in first else ",")
    try:
        header = [name.strip() for name in next(reader)]
    except StopIteration:
        yield _Broken(Fault(1, "", "empty file"))
        return
    except csv.Error:
        yield _Broken(Fault(1, "", "not CSV"))
        return
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        yield _Broken(Fault(1, "", f"columns given twice: {', '.join(twice)}"))
        return
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield _Broken(Fault(line, "", "not CSV"))
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
