"""Compare two sets of candidates: those that only one set has, and those that differ."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from agents.topics import CANDIDATES
from handoff.inputs import BadInput
from parsers.records.documents import LIVE_STATUSES, comparable

Documents = Mapping[str, dict[str, Any]]


class Only(msgspec.Struct, frozen=True):
    """A candidate that is live on one side only. `other`: its status on the other side, "" for no document."""

    candidate_id: str
    member_id: str
    population: str
    rule: str
    other: str


class Changed(msgspec.Struct, frozen=True):
    """A candidate that is live on both sides with different content: the fields that differ, first side and second."""

    candidate_id: str
    member_id: str
    population: str
    rule: str
    fields: dict[str, tuple[Any, Any]]


class Comparison(msgspec.Struct, frozen=True):
    """Candidates live on the second side only, on the first only, those that differ, and how many are equal."""

    gained: tuple[Only, ...]
    lost: tuple[Only, ...]
    changed: tuple[Changed, ...]
    same: int

    @property
    def equal(self) -> bool:
        """Whether there is no difference."""
        return not (self.gained or self.lost or self.changed)

    def by_rule(self) -> list[tuple[str, str, int, int, int]]:
        """(population, rule, gained, lost, changed) for each rule with a difference."""
        counts = [
            Counter((each.population, each.rule) for each in part) for part in (self.gained, self.lost, self.changed)
        ]
        rules = sorted(set().union(*counts))
        return [(population, rule, *(count[population, rule] for count in counts)) for population, rule in rules]  # type: ignore[misc]


def compare(first: Documents, second: Documents, *, history: bool = False) -> Comparison:
    """The difference between the live candidates of two runs, each the last document by candidate ID.

    What depends on the way a run came about (revisions, times of receipt, log places, the rule set's hash) is left out
    unless `history` (docs/decisions/0007).
    """
    a, b = _live(first), _live(second)
    changed, same = [], 0
    for name in sorted(a.keys() & b.keys()):
        one, other = (a[name], b[name]) if history else (comparable(a[name]), comparable(b[name]))
        fields = {
            field: (one.get(field), other.get(field))
            for field in sorted(one.keys() | other.keys())
            if one.get(field) != other.get(field)
        }
        if fields:
            changed.append(Changed(name, *_label(b[name]), fields))
        else:
            same += 1
    return Comparison(
        tuple(Only(name, *_label(b[name]), _reasons(first, name)) for name in sorted(b.keys() - a.keys())),
        tuple(Only(name, *_label(a[name]), _reasons(second, name)) for name in sorted(a.keys() - b.keys())),
        tuple(changed),
        same,
    )


def _live(documents: Documents) -> dict[str, dict[str, Any]]:
    return {name: each for name, each in documents.items() if each.get("status") in LIVE_STATUSES}


def _label(document: dict[str, Any]) -> tuple[str, str, str]:
    rule = document.get("rule") or {}
    return document["member_id"], document["population"], f"{rule.get('id', '?')} {rule.get('version', '')}".strip()


def _reasons(documents: Documents, name: str) -> str:
    known = documents.get(name)
    return "" if known is None else " ".join(filter(None, (known["status"], known.get("reason") or "")))


def of_file(path: Path) -> dict[str, dict[str, Any]]:
    """The last document of each candidate in what a replay wrote: its folder, or the file itself. Raises BadInput."""
    file = path / f"{CANDIDATES}.jsonl" if path.is_dir() else path
    if path.is_dir() and not file.exists():
        if not any(path.glob("*.jsonl")):
            raise BadInput(f"{path}: no replay wrote here (there is no .jsonl file)")
        return {}  # the replay ended without a candidate
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise BadInput(f"{file}: {error.strerror or error}") from error
    return of_lines(lines, str(file))


def of_lines(lines: Iterable[bytes], name: str) -> dict[str, dict[str, Any]]:
    """The last document by key of `{"key", "value"}` lines; `name` appears in faults. Raises BadInput."""
    found: dict[str, dict[str, Any]] = {}
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
            key, value = entry["key"], entry["value"]
            if value is None:
                found.pop(key, None)
            else:
                found[key] = {**value, "candidate_id": value["candidate_id"]}
        except (ValueError, KeyError, TypeError) as error:
            raise BadInput(f"{name}:{number}: no candidate as `handoff replay` writes it") from error
    return found
