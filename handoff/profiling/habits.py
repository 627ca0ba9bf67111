"""Habits of a feed that no single message shows: visit numbers that are used again, offsets that are wrong.

Both are questions for the sender; the profile keys `visit_numbers` and `offsets` have the answers.
"""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from domain.patient.events import AdtEvent, When
from domain.times import DAY
from handoff.profiling.tally import percent

MOST_VISITS: Final = 500_000
"""Visit numbers that are remembered (about 150 MB); later ones are not compared."""
_AGAIN: Final = DAY
"""A number with an arrival so long after a departure names another visit (docs/semantics.md#which-visit)."""
_ARRIVALS: Final = frozenset({"A01", "A04"})
_NIGHT: Final = range(1, 6)
"""Hours of the day in which hospitals register few people."""
_ENOUGH: Final = 50
_WITH_ZERO: Final = re.compile(r"([0-9]{10})[0-9]{0,4}(?:[.,][0-9]+)?(?:Z|[+-]00:?00)", re.ASCII)


class VisitNumbers:
    """How PV1-19 is used. It compares the first arrival and departure of a number with later arrivals."""

    def __init__(self) -> None:
        self.messages = self.with_number = self.same_as_account = 0
        """Messages about a visit; those with PV1-19; those whose PV1-19 equals PID-18."""
        self._left: dict[int, int | None] = {}
        """Hash of patient and number -> the first departure (ms UTC); None: none yet."""
        self._again: set[int] = set()

    def take(self, event: AdtEvent, number: str, account: str) -> None:
        """One message about a visit; `number` and `account` are PV1-19.1 and PID-18.1 as sent."""
        self.messages += 1
        if not number or event.visit is None:
            return
        self.with_number += 1
        self.same_as_account += number == account
        key = hash((event.patient, number))
        if key not in self._left:
            if len(self._left) >= MOST_VISITS:
                return
            self._left[key] = None
        left = self._left[key]
        if event.trigger == "A03" and left is None:
            self._left[key] = _at(event.visit.departed, event)
        elif event.trigger in _ARRIVALS and left is not None and _at(event.visit.admitted, event) > left + _AGAIN:
            self._again.add(key)

    @property
    def numbers(self) -> int:
        """Different numbers, each of one patient."""
        return len(self._left)

    @property
    def again(self) -> int:
        """Numbers that name more than one visit of one patient."""
        return len(self._again)

    def report(self) -> dict[str, Any]:
        """Counts as plain data."""
        return {
            "messages": self.messages,
            "with_number": self.with_number,
            "numbers": self.numbers,
            "used_again": self.again,
            "same_as_account": percent(self.same_as_account, self.with_number),
            "habit": self.habit,
        }

    @property
    def habit(self) -> str:
        """What `visit_numbers` should be by the counts: unique, reused or account. One number in a hundred may be an
        error."""
        if self.again * 100 <= self.numbers:
            return "unique"
        return "account" if self.same_as_account * 2 > self.with_number else "reused"


class ZeroOffsets:
    """Whether times with the offset +0000 are UTC. Hospitals register few people at night, so of the two readings the
    one with fewer arrivals between one and six o'clock is likely."""

    def __init__(self) -> None:
        self.trusted: Counter[int] = Counter()
        self.ignored: Counter[int] = Counter()
        """Hour of the day -> messages: with the offset, and without it."""

    def take(self, text: str, zone: ZoneInfo) -> None:
        """One MSH-7 as sent; `zone` is the profile's."""
        found = _WITH_ZERO.fullmatch(text)
        if found is None:
            return
        try:
            moment = datetime.strptime(found[1], "%Y%m%d%H").replace(tzinfo=UTC)
        except ValueError:
            return
        self.trusted[moment.astimezone(zone).hour] += 1
        self.ignored[moment.hour] += 1

    def report(self) -> dict[str, Any]:
        """Counts as plain data."""
        count = self.trusted.total()
        return {
            "messages": count,
            "at_night_percent": percent(_night(self.trusted), count),
            "at_night_percent_without": percent(_night(self.ignored), count),
            "doubtful": self.doubtful,
        }

    @property
    def doubtful(self) -> bool:
        """Whether the times are more likely local than UTC."""
        return self.trusted.total() >= _ENOUGH and _night(self.trusted) > 2 * _night(self.ignored)


def _night(hours: Counter[int]) -> int:
    return sum(hours[hour] for hour in _NIGHT)


def _at(when: When | str | None, event: AdtEvent) -> int:
    """A time of the visit, else that of the event, ms UTC."""
    if isinstance(when, When):
        return when.at
    occurred = event.occurred
    return occurred.at if occurred is not None else event.recorded
