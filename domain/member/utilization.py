"""Counts of a member's visits by class in the last 30 and 90 days, six and twelve months (docs/records.md)."""

from __future__ import annotations

from typing import Final

import msgspec

from domain.member.counting import EVER, IN_OBSERVATION, Counted, Ledger
from domain.member.visits import ED, OBSERVATION, SNF, STAY
from domain.times import day_start, leaves_window, months_before

WINDOWS: Final = ("30d", "90d", "6mo", "12mo")
CLASSES: Final = ("ed", "inpatient", "snf", "observation")
_PLACE: Final = {ED: 0, STAY: 1, SNF: 2, OBSERVATION: 3}


class VisitCounts(msgspec.Struct, frozen=True, gc=False):
    """Counts by window and class (in the order of `WINDOWS` and `CLASSES`), the positions of the visits counted in the
    longest window, and the instant (ms UTC) at which a count changes by itself, or None."""

    counts: tuple[tuple[int, ...], ...]
    visits: tuple[int, ...]
    due: int | None


def count_visits(ledger: Ledger, now: int, today: int) -> VisitCounts:
    """Counts at `now` (ms UTC), which falls on day `today` (ordinal). They count as for criteria; observation apart."""
    first = (today - 30, today - 90, months_before(today, 6), months_before(today, 12))
    counts = [[0, 0, 0, 0] for _ in WINDOWS]
    visits: list[int] = []
    oldest = [0, 0, 0, 0]
    due = 0
    entries = ledger.counted
    if IN_OBSERVATION in ledger.reasons:
        entries = entries + [
            Counted(visit.start, visit.day, OBSERVATION, index, EVER)
            for index, visit in enumerate(ledger.visits)
            if ledger.reasons[index] == IN_OBSERVATION
        ]
    for entry in entries:
        day, until = entry.day, entry.until
        if day < first[3] or entry.start > now or today >= until:
            continue
        visits.append(entry.index)
        place = _PLACE[entry.category]
        if until != EVER:
            due = min(due or until, until)
        for window in (3, 2, 1, 0):
            if day < first[window]:
                break
            counts[window][place] += 1
            if not oldest[window] or day < oldest[window]:
                oldest[window] = day
    leaves = [due] if due else []
    if oldest[0]:
        leaves.append(oldest[0] + 31)
    if oldest[1]:
        leaves.append(oldest[1] + 91)
    if oldest[2]:
        leaves.append(leaves_window(oldest[2], 6))
    if oldest[3]:
        leaves.append(leaves_window(oldest[3], 12))
    visits.sort()
    return VisitCounts(
        counts=tuple(tuple(row) for row in counts),
        visits=tuple(visits),
        due=day_start(min(leaves)) if leaves else None,
    )
