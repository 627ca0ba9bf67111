"""How patient rows of earlier versions are read (docs/engine.md#row-versions). A released step is never changed."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from agents.runtime.contract import Upcaster

_FIELDS_2: Final = (
    "schema",
    "patient",
    "visits",
    "weak",
    "unnumbered",
    "ties",
    "custody",
    "cin",
    "operator",
    "roster",
    "identifiers",
    "merged",
    "told",
    "absorbed",
    "announced",
    "published",
    "unattributed",
    "since",
    "bad_cin",
    "impaired",
)


def _from_1(body: bytes) -> bytes:
    """Statements gained `creates`, at their end: those of version 1 never did, which is what a missing one reads as."""
    _, *rest = msgspec.msgpack.decode(body)
    return msgspec.msgpack.encode([2, *rest])


def _from_2(body: bytes) -> bytes:
    """Merges became edges of groups: a row keeps its own survivors, and the directory resolves the group.

    What the survivor had announced stays as the group's resolution until the directory gives a new one. `facts` is
    empty, so a row in a group publishes its facts at its next change.
    """
    old: list[Any] = msgspec.msgpack.decode(body)
    row = dict(zip(_FIELDS_2, old, strict=False))
    merged: list[Any] | None = row.get("merged")
    told: dict[str, list[Any]] = row.get("told") or {}
    survivors: dict[str, list[Any]] = {}
    group: list[Any] | None = None
    if merged is not None and merged[0] is not None:
        survivors = {merged[0]: ["merged", *merged[1:]]}
        announced = told.get(merged[0])
        if announced is not None and announced[1] is not None:
            group = [0, announced[1], "merge", merged[0]]
    return msgspec.msgpack.encode(
        [
            3,
            row["patient"],
            row.get("visits", {}),
            row.get("weak", ()),
            row.get("unnumbered", ()),
            row.get("ties", {}),
            row.get("custody", {}),
            row.get("cin"),
            row.get("operator"),
            row.get("roster", {}),
            row.get("identifiers", ()),
            survivors,
            {},
            {},
            {},
            group,
            bool(survivors) or bool(row.get("absorbed")),
            None,
            b"",
            row.get("published", {}),
            row.get("unattributed"),
            row.get("since", 0),
            row.get("bad_cin", False),
            row.get("impaired", False),
        ]
    )


UPCASTERS: Final[tuple[Upcaster, ...]] = (_from_1, _from_2)
"""One step for each row version before `domain.patient.row.SCHEMA`, oldest first."""
