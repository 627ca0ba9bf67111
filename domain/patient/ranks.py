"""The rank that decides between statements: the later *recorded* one wins (docs/semantics.md#visit-statements).

A rank is (recorded, built, sequence, control ID in natural order): EVN-2 else MSH-7, MSH-7, MSH-13, MSH-10. Feeds
repeat control IDs and whole seconds, so ranks can be equal; callers then compare the values themselves.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

Rank = tuple[int, int, int, tuple[tuple[int, int, str], ...]]
"""(recorded ms UTC, built ms UTC, sequence or -1, control ID in natural order)."""

_RUNS: Final = re.compile(r"\d+|\D+")


@lru_cache(maxsize=16_384)
def natural_order(control_id: str) -> tuple[tuple[int, int, str], ...]:
    """A sort key of a control ID with runs of digits as numbers: MSG9 sorts before MSG10.

    Leading zeros are compared last, so that the order is total.
    """
    key = []
    for run in _RUNS.findall(control_id):
        if run.isdecimal() and run.isascii():
            key.append((0, int(run[:60]), run))
        else:
            key.append((1, 0, run))
    return tuple(key)
