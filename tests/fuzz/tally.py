"""What a fuzzing process counts, and what it leaves of an input that surprised it."""

from __future__ import annotations

import json
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Final

KEPT: Final = Path("build/fuzz")
"""Where inputs that surprised go, with their traceback. Git ignores it: they may be damaged corpus messages."""
_MANY: Final = 50


class Tally:
    """Counts of one process. `runs` inputs were tried, `read` of them gave an event, the rest a refusal."""

    def __init__(self, name: str, wanted: int) -> None:
        self.name, self.wanted = name, wanted
        self.runs = self.read = self.surprises = 0
        self.refusals: Counter[str] = Counter()
        self._begun = self._said = time.monotonic()
        self._kept: set[str] = set()

    def refused(self, code: str) -> None:
        """An input was refused, as it should be."""
        self.refusals[code] += 1

    def over(self, seconds: float) -> bool:
        """Whether `seconds` (0: no limit) have gone by. Says on stderr how far it is, every ten seconds."""
        if self.runs % 1000:
            return False
        now = time.monotonic()
        if now - self._said > 10:
            self._said = now
            rate = self.runs / (now - self._begun)
            print(f"{self.name}: {self.runs:,} of {self.wanted:,}, {rate:,.0f}/s", file=sys.stderr, flush=True)
        return bool(seconds) and now - self._begun > seconds

    @contextmanager
    def watching(self, raw: bytes) -> Iterator[None]:
        """Counts one run; whatever comes out of it is a surprise, of which one input for each place is kept."""
        self.runs += 1
        try:
            yield
        except Exception as surprise:
            self.surprises += 1
            # Where it was raised: the same fault from another input is kept once.
            where = "".join(traceback.format_tb(surprise.__traceback__)) + type(surprise).__name__
            name = sha256(where.encode()).hexdigest()[:12]
            if name not in self._kept and len(self._kept) < _MANY:
                self._kept.add(name)
                KEPT.mkdir(parents=True, exist_ok=True)
                (KEPT / f"{name}.input").write_bytes(raw)
                (KEPT / f"{name}.txt").write_text("".join(traceback.format_exception(surprise)))
                print(f"{self.name}: a surprise, see {KEPT / name}.txt", file=sys.stderr, flush=True)

    def report(self) -> None:
        """One line of JSON on standard output."""
        counts = {"runs": self.runs, "read": self.read, "refusals": self.refusals, "surprises": self.surprises}
        print(
            json.dumps({"name": self.name, **counts, "seconds": round(time.monotonic() - self._begun, 1)}), flush=True
        )
