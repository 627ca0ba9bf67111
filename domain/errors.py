"""Faults of data: `Refusal` of one record from outside (a dead letter), `BadDeclaration` of our own files."""

from __future__ import annotations

from typing import Final

import msgspec

UNDECODABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises while decoding: not JSON or another type, not UTF-8, nested beyond the recursion limit."""


class Refusal(Exception):
    """A record that is refused, and the reason.

    `code` is one of a closed set (docs/refusals.md, docs/operations.md). `place` is segment, field and repetition
    ("PID-3[2]") or "". None of the three contains a value of the record: they appear in logs and headers.
    """

    def __init__(self, code: str, place: str = "", detail: str = "") -> None:
        super().__init__(code, place, detail)
        self.code = code
        self.place = place
        self.detail = detail

    def __str__(self) -> str:
        where = f" at {self.place}" if self.place else ""
        why = f": {self.detail}" if self.detail else ""
        return f"{self.code}{where}{why}"


class BadDeclaration(Exception):
    """A declaration (senders, rules, topics) has faults. `faults` lists all of them, not only the first."""

    def __init__(self, faults: tuple[str, ...]) -> None:
        super().__init__(faults)
        self.faults = faults

    def __str__(self) -> str:
        return "\n".join(self.faults)
