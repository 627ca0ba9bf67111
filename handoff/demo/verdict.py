"""Compare live candidates with the ground truth of a simulated county."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from parsers.records.documents import LIVE_STATUSES


class Verdict(msgspec.Struct, frozen=True):
    """How many candidates were right, and which were missing, extra, or opened by another visit than in truth."""

    expected: int
    right: int
    missing: tuple[tuple[str, str], ...]
    extra: tuple[tuple[str, str], ...]
    otherwise_opened: tuple[tuple[str, str], ...]

    @property
    def exact(self) -> bool:
        """Whether nothing is missing, extra or otherwise opened."""
        return not (self.missing or self.extra or self.otherwise_opened)

    def __str__(self) -> str:
        text = f"{self.right} of {self.expected}, {len(self.missing)} missing, {len(self.extra)} extra"
        return text + (f", {len(self.otherwise_opened)} opened by another visit" if self.otherwise_opened else "")


def judge(documents: Iterable[Mapping[str, Any]], truth: Mapping[str, Any]) -> Verdict:
    """Compare the live candidates among `documents` with `truth["candidates"]`, by member, population and opener."""
    expected = {(c["member"], c["population"]): set(c["openers"]) for c in truth["candidates"]}
    found = {(d["member_id"], d["population"]): d.get("opened_by") for d in documents if d["status"] in LIVE_STATUSES}
    common = expected.keys() & found.keys()
    otherwise = {pair for pair in common if found[pair] not in expected[pair]}
    return Verdict(
        expected=len(expected),
        right=len(common) - len(otherwise),
        missing=tuple(sorted(expected.keys() - found.keys())),
        extra=tuple(sorted(found.keys() - expected.keys())),
        otherwise_opened=tuple(sorted(otherwise)),
    )
