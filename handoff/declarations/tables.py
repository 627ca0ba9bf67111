"""CSV files of declarations, line by line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator


def csv_rows(name: str, content: bytes, columns: tuple[str, ...], faults: list[str]) -> Iterator[tuple[str, list[str]]]:
    """(place, trimmed cells) of each line of a CSV file whose heading is `columns`."""
    try:
        lines = list(csv.reader(io.StringIO(content.decode("utf-8"))))
    except (UnicodeDecodeError, csv.Error):
        faults.append(f"{name}: not CSV in UTF-8")
        return
    if not lines or tuple(lines[0]) != columns:
        faults.append(f"{name}:1: the heading must be {','.join(columns)}")
        return
    for number, line in enumerate(lines[1:], start=2):
        if not line:
            continue
        if len(line) != len(columns):
            faults.append(f"{name}:{number}: {len(line)} columns in place of {len(columns)}")
            continue
        yield f"{name}:{number}", [cell.strip() for cell in line]
