"""Times of a feed: their precision, offsets and zones, and whether two clocks disagree."""

from __future__ import annotations

import re
from collections import Counter
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from domain.times import MINUTE
from handoff.profiling.tally import percent

_SHAPE: Final = re.compile(r"([0-9]{4,14})(?:[.,]([0-9]+))?(Z|[+-][0-9]{2}:?[0-9]{2})?", re.ASCII)
_EXACT: Final = {4: "year", 6: "month", 8: "day", 10: "hour", 12: "minute", 14: "second"}
ZONES: Final = (
    "America/Los_Angeles", "America/Phoenix", "America/Denver", "America/Chicago", "America/New_York",
    "America/Anchorage", "Pacific/Honolulu", "UTC",
)  # fmt: skip
"""Zones that offsets are compared with."""
_FAR: Final = 2 * 24 * 60
NOTABLE: Final = 5
"""Minutes between EVN-2 and MSH-7 from which a difference is reported."""


@lru_cache(maxsize=4_096)
def zones_of(day: str, offset: str) -> frozenset[str]:
    """Which of ZONES have `offset` (+HHMM or Z) at noon of `day` (YYYYMMDD)."""
    try:
        noon = datetime(int(day[:4]), int(day[4:6]), int(day[6:8]), 12, tzinfo=ZoneInfo("UTC"))
    except ValueError:
        return frozenset()
    digits = "0000" if offset == "Z" else offset[1:].replace(":", "")
    shift = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    if offset.startswith("-"):
        shift = -shift
    return frozenset(name for name in ZONES if noon.astimezone(ZoneInfo(name)).utcoffset() == shift)


class Clock:
    """Counts the times of one feed."""

    def __init__(self) -> None:
        self.precision: dict[str, Counter[str]] = {}
        """Field -> year, month, day, hour, minute, second, fraction or unreadable -> count."""
        self.offsets: Counter[str] = Counter()
        """Offsets of MSH-7; "" where it has none."""
        self.zones: Counter[str] = Counter()
        """Zones that agree with an offset of MSH-7, each counted once a message."""
        self._skew: Counter[int] = Counter()

    def take(self, place: str, text: str) -> None:
        """One time as sent, not empty; `place` is its field."""
        counts = self.precision.get(place)
        if counts is None:
            counts = self.precision[place] = Counter()
        shape = _SHAPE.fullmatch(text)
        digits = shape[1] if shape else ""
        counts["fraction" if shape and shape[2] else _EXACT.get(len(digits), "unreadable")] += 1
        if place == "MSH-7":
            offset = (shape[3] or "") if shape else ""
            if offset in self.offsets or len(self.offsets) < 100:
                self.offsets[offset] += 1
            if offset and len(digits) >= 8:
                self.zones.update(zones_of(digits[:8], offset))

    def compare(self, entered: int, built: int) -> None:
        """EVN-2 against MSH-7 of one message, both ms UTC."""
        minutes = round((entered - built) / MINUTE)
        self._skew[max(-_FAR, min(_FAR, minutes))] += 1

    @property
    def best_zones(self) -> tuple[str, ...]:
        """The zones that agree with every offset seen, California's first."""
        seen = self.offsets.total() - self.offsets[""]
        return tuple(name for name in ZONES if seen and self.zones[name] == seen)

    def skew(self) -> dict[str, float | int | None]:
        """EVN-2 minus MSH-7 in minutes: how many, the median, how many are apart, and the whole hours that recur.

        `whole_hours`: a difference of exactly so many hours in more than a tenth of the messages, the sign of a
        clock in another zone.
        """
        total = self._skew.total()
        if not total:
            return {"compared": 0, "median_minutes": None, "apart": 0, "apart_percent": None, "whole_hours": None}
        passed, median = 0, 0
        for minutes in sorted(self._skew):
            passed += self._skew[minutes]
            if passed * 2 >= total:
                median = minutes
                break
        apart = sum(count for minutes, count in self._skew.items() if abs(minutes) > NOTABLE)
        hours = Counter({m // 60: n for m, n in self._skew.items() if m and m % 60 == 0 and abs(m) < 15 * 60})
        common = hours.most_common(1)
        whole = common[0][0] if common and common[0][1] * 10 > total else None
        return {
            "compared": total,
            "median_minutes": median,
            "apart": apart,
            "apart_percent": percent(apart, total),
            "whole_hours": whole,
        }
