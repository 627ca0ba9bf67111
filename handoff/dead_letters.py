"""Dead letters for operators: those on the topic, and which of them were driven again.

A marker records that a letter was driven again: a record without value on the same topic, whose key is the letter's
coordinates, with the header `redriven`. It is written in one transaction with the record that went back. It is younger
than the letter, so retention keeps it at least as long.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from agents.runtime.contract import Emit, Record
from agents.topics import DEAD_LETTERS
from domain.times import rfc3339
from streams.kafka.read import snapshot
from streams.kafka.settings import KafkaSettings

REDRIVEN: Final = "redriven"
"""The header: on a marker, and on a record that went back, the coordinates of the letter."""
OPEN: Final = "open"


def header(record: Record, name: str) -> str:
    """A header as text; "" when there is none."""
    return record.headers.get(name, b"").decode("utf-8", "replace")


def is_marker(record: Record) -> bool:
    """Whether a record of the dead-letter topic is a marker, not a letter."""
    return record.value is None and REDRIVEN in record.headers


def marker(letter: Record) -> Emit:
    """The marker of `letter`, with its code, stage and sender for those who count."""
    kept = tuple((name, letter.headers[name]) for name in ("code", "stage", "sender") if name in letter.headers)
    at = letter.coordinates.encode()
    return Emit(DEAD_LETTERS, at, None, ((REDRIVEN, at), *kept))


class LetterChoice(msgspec.Struct, frozen=True):
    """Which letters: those named, else those that have every one of these; none given means all."""

    at: frozenset[str] = frozenset()
    code: str | None = None
    sender: str | None = None

    def takes(self, letter: Record) -> bool:
        """Whether the letter is one of them."""
        if self.at and letter.coordinates not in self.at:
            return False
        wanted = (("code", self.code), ("sender", self.sender))
        return all(value is None or header(letter, name) == value for name, value in wanted)


class LetterState(msgspec.Struct, frozen=True):
    """The state of the topic when it was read."""

    redriven: frozenset[str]
    """Coordinates of the letters that were driven again."""
    letters: frozenset[str]
    """Coordinates of the letters that were chosen."""


def lookup(kafka: KafkaSettings, choice: LetterChoice) -> LetterState:
    """The letters that `choice` takes, by coordinates, and which were driven again. Values are not kept."""
    redriven: set[str] = set()
    letters: set[str] = set()
    for record in snapshot(kafka, [DEAD_LETTERS]):
        if is_marker(record):
            redriven.add(header(record, REDRIVEN))
        elif choice.takes(record):
            letters.add(record.coordinates)
    return LetterState(frozenset(redriven), frozenset(letters))


def chosen(kafka: KafkaSettings, wanted: frozenset[str]) -> Iterator[Record]:
    """The letters at these coordinates, whole."""
    for record in snapshot(kafka, [DEAD_LETTERS]):
        if record.coordinates in wanted and not is_marker(record):
            yield record


def entry(letter: Record) -> dict[str, Any]:
    """What may be shown of a letter: never its content."""
    return {
        "at": letter.coordinates,
        "when": rfc3339(letter.timestamp),
        "code": header(letter, "code"),
        "place": header(letter, "place"),
        "stage": header(letter, "stage"),
        "sender": header(letter, "sender"),
        "source": header(letter, "source"),
        "bytes": len(letter.value or b""),
    }


def entries(records: Iterable[Record]) -> list[dict[str, Any]]:
    """All letters with their `state`, open or redriven, in the order of the topic."""
    listed: list[dict[str, Any]] = []
    redriven: set[str] = set()
    for record in records:
        if is_marker(record):
            redriven.add(header(record, REDRIVEN))
        else:
            listed.append(entry(record))
    return [{**each, "state": REDRIVEN if each["at"] in redriven else OPEN} for each in listed]
