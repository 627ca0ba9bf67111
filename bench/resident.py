"""How much memory processes take over a long run, and whether it has stopped growing."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import mean
from typing import Any, Final

import psutil

from bench.report import say

FLAT: Final = 0.05
"""How much more or less the last third may take than the middle one."""


class Memory:
    """Resident megabytes of some processes together, at each hundredth of the way."""

    def __init__(self, pids: Iterable[int]) -> None:
        self._processes = [psutil.Process(pid) for pid in pids]
        self.marks: list[tuple[float, float]] = []

    def mark(self, share: float) -> None:
        """Note it, if another hundredth has gone by; say so at each tenth."""
        if self.marks and share < self.marks[-1][0] + 0.01:
            return
        tenth = not self.marks or int(share * 10) > int(self.marks[-1][0] * 10)
        self.marks.append((share, round(sum(each.memory_info().rss for each in self._processes) / 1e6, 1)))
        if tenth:
            say(f"{share:.0%}: {self.marks[-1][1]} MB resident")

    def figures(self) -> dict[str, Any]:
        """At the start, at each tenth, and what the thirds compare to."""
        middle = mean(size for share, size in self.marks if 1 / 3 <= share < 2 / 3)
        last = mean(size for share, size in self.marks if share >= 2 / 3)
        tenths = [next(size for share, size in self.marks if share >= tenth / 10 - 1e-9) for tenth in range(10)]
        return {
            "rss_mb": [*tenths, self.marks[-1][1]],
            "middle_third_mb": round(middle, 1),
            "last_third_mb": round(last, 1),
            "growth": round(last / middle - 1, 4),
            "memory_flat": abs(last / middle - 1) <= FLAT,
        }
