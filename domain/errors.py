"""The one exception that stands for "their data": it becomes a dead letter with a code and a place."""

from __future__ import annotations

from typing import Final

import msgspec

UNDECODABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises on bytes from outside: not JSON or not the type, not UTF-8, nested too deeply to be meant."""


class Refusal(Exception):
    """A record that cannot be taken, and why.

    `code` is one of a small closed set (docs/operations.md lists them); `place` names segment, field and repetition
    ("PID-3[2]") or is empty. Neither ever holds a value from the record: both appear in logs and headers.
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
    """Our own files are wrong (senders, rules, topics). `faults` lists everything that is, not only the first thing."""

    def __init__(self, faults: tuple[str, ...]) -> None:
        super().__init__(faults)
        self.faults = faults

    def __str__(self) -> str:
        return "\n".join(self.faults)
