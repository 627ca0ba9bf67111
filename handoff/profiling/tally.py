"""Counting in bounded memory, and the one rule about which values may be shown."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Final

import msgspec

DISTINCT: Final = 2_000
"""Most different values of one field; a field with more is no coded field."""
_LONGEST_NAME: Final = 64
SHORT: Final = 3
"""Characters: a code this short is shown whatever its patients."""
_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._/&+*()-]{0,23}", re.ASCII)
_NUMBERED: Final = re.compile(r"[0-9]{5}|[0-9]+[-/][0-9]+[-/][0-9]+", re.ASCII)
"""Shapes of record numbers, telephone numbers and dates, which codes do not have."""


class Tally:
    """How often each value was met; the values past the first 2,000 different ones are counted together."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.beyond = 0

    def add(self, value: str) -> None:
        """One more of `value`."""
        counts = self.counts
        if value in counts or len(counts) < DISTINCT:
            counts[value] += 1
        else:
            self.beyond += 1

    @property
    def total(self) -> int:
        """Everything that was counted."""
        return self.counts.total() + self.beyond

    def top(self, count: int = DISTINCT) -> dict[str, int]:
        """The most frequent values; those of one frequency by name."""
        return dict(sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))[:count])


class Code(msgspec.Struct):
    """A code that the profile does not map: its count, its description if the feed gave one, and its patients."""

    count: int = 0
    words: str = ""
    """The second component. For guessing only: it is text, so it is never shown."""
    patients: set[int] = msgspec.field(default_factory=set)
    """Hashes of at most two patients: enough to distinguish a code from a value of one person."""


class Codes:
    """The codes of one field that a profile does not know."""

    def __init__(self) -> None:
        self.codes: dict[str, Code] = {}
        self.beyond = 0

    def add(self, code: str, words: str, patient: str) -> None:
        """One more of `code`, for `patient`."""
        known = self.codes.get(code)
        if known is None:
            if len(self.codes) >= DISTINCT:
                self.beyond += 1
                return
            known = self.codes[code] = Code(words=words[:40])
        known.count += 1
        if len(known.patients) < 2:
            known.patients.add(hash(patient))

    @property
    def total(self) -> int:
        """Messages with an unknown code in this field."""
        return sum(code.count for code in self.codes.values()) + self.beyond

    def shown(self) -> dict[str, int]:
        """Those that may be shown, most frequent first."""
        return self._ordered(showable)

    def names(self) -> dict[str, int]:
        """The values as names of authorities and number types (a universal ID is long and full of digits): those that
        more than one patient has, most frequent first."""
        return self._ordered(lambda name, patients: patients > 1 and len(name) <= _LONGEST_NAME)

    def _ordered(self, may: Callable[[str, int], bool]) -> dict[str, int]:
        kept = {name: code.count for name, code in self.codes.items() if may(name, len(code.patients))}
        return dict(sorted(kept.items(), key=lambda item: (-item[1], item[0])))


def showable(value: str, patients: int) -> bool:
    """Whether `value`, met with so many different patients (2: two or more), is a code and not somebody's data.

    Text, long values, numbers of five digits and dates never are; a value of more than 3 characters only when more
    than one patient has it (a name or number in the wrong field is one person's).
    """
    if not _PLAIN.fullmatch(value) or _NUMBERED.search(value):
        return False
    return len(value) <= SHORT or patients > 1


def percent(part: int, whole: int) -> float | None:
    """A share to a tenth of a per cent; None of nothing."""
    return round(100 * part / whole, 1) if whole else None
