"""Diagnoses of the simulated people, each unambiguously inside or outside of the value sets.

Codes are ICD-10-CM without dots. `LISTED` are conditions that open population 4 to a person leaving custody (ECM Policy
Guide, January 2026, appendix C); `BENIGN` are in no value set of the program. `load` reads the prefixes of the
program's own value sets for comparison.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Final

BENIGN: Final = ("R079", "R109", "S93401A", "J069", "J029", "N390", "L03115", "R519", "M545", "H1030", "K529", "Z480")
LISTED: Final = ("E119", "I10", "F1120", "F200", "J449", "B182", "I509", "B20", "S069X0A")
DELIVERY: Final = ("O80", "O81", "O82", "Z37")

FALLBACK: Final = tuple(code[:3] for code in LISTED)
"""Prefixes of `LISTED`, used without value sets."""


def listed(code: str, prefixes: Iterable[str] = FALLBACK) -> bool:
    """Whether a diagnosis falls under one of the prefixes."""
    return any(code.startswith(prefix) for prefix in prefixes)


def load(folder: Path, names: Iterable[str]) -> tuple[str, ...]:
    """The code prefixes in the value sets `names` (folder/NAME.csv, column `code`), dots removed.

    Raises OSError when a file is missing and KeyError when one has no such column.
    """
    found: list[str] = []
    for name in names:
        with (folder / f"{name}.csv").open(newline="", encoding="utf-8") as lines:
            found += [row["code"].replace(".", "").upper() for row in csv.DictReader(lines)]
    return tuple(found)
