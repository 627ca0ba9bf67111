"""An even sample of a stream of unknown length, in bounded memory; and hl7apy's findings in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from handoff.conformance import conformance


class Sample:
    """Every n-th message, n growing with the stream: at most twice `size` are kept, in order, spread over all of it."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: list[bytes] = []
        self._every = 1
        self._seen = 0

    def offer(self, raw: bytes) -> None:
        """The next message of the stream."""
        if self._size and self._seen % self._every == 0:
            self._kept.append(raw)
            if len(self._kept) > 2 * self._size:
                del self._kept[1::2]
                self._every *= 2
        self._seen += 1

    @property
    def messages(self) -> list[bytes]:
        """At most `size` of those kept, evenly spread."""
        kept = self._kept
        if len(kept) <= self._size:
            return kept
        return [kept[number * len(kept) // self._size] for number in range(self._size)]


def checked(sample: list[bytes], step: Callable[[], object]) -> dict[str, Any]:
    """How many messages have each finding, most frequent first; `step` is called after each message."""
    findings: Counter[str] = Counter()
    clean = 0
    for raw in sample:
        found = conformance(raw)
        findings.update(found)
        clean += not found
        step()
    ordered = dict(sorted(findings.items(), key=lambda item: (-item[1], item[0])))
    return {"checked": len(sample), "clean": clean, "findings": ordered}
