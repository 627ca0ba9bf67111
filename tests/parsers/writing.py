"""Writes ADT messages for tests, field by field; everything has a usual value."""

from __future__ import annotations

from domain.patient.events import AdtEvent, VisitStatement
from parsers.hl7.adt import read_adt
from parsers.hl7.profiles import SenderProfile

DEFAULT = SenderProfile("default", authority="GEN")


def segment(name: str, fields: dict[int, str]) -> str:
    """One segment from its field numbers (MSH-1 counts as a field of MSH, so MSH-3 is 3 there too)."""
    first = 2 if name == "MSH" else 1
    last = max(fields, default=0)
    return "|".join([name, *(fields.get(number, "") for number in range(first, last + 1))])


def adt(trigger: str = "A01", *more: str, **given: dict[int, str] | None) -> bytes:
    """A message. `msh`, `evn`, `pid`, `pv1` change fields of the usual segments, None leaves one out; `more` follow."""
    usual: dict[str, dict[int, str]] = {
        "msh": {
            2: "^~\\&",
            3: "ADT",
            4: "GEN",
            7: "20261123100000",
            9: f"ADT^{trigger}^ADT_A01",
            10: "C1",
            11: "P",
            12: "2.5.1",
        },
        "evn": {2: "20261123095900"},
        "pid": {3: "100^^^GEN^MR", 5: "RIVERA^ANA^M", 7: "19800102", 8: "F"},
        "pv1": {2: "I", 19: "V1"},
    }
    lines = []
    for name, fields in usual.items():
        changes = given.get(name, {})
        if changes is not None:
            lines.append(segment(name.upper(), {**fields, **changes}))
    return ("\r".join([*lines, *more]) + "\r").encode()


def event(*args: str, profile: SenderProfile = DEFAULT, **given: dict[int, str] | None) -> AdtEvent:
    """The event that `adt(...)` reads as."""
    return read_adt(adt(*(args or ("A01",)), **given), profile)


def visit(*args: str, profile: SenderProfile = DEFAULT, **given: dict[int, str] | None) -> VisitStatement:
    """The visit of that event."""
    stated = event(*args, profile=profile, **given).visit
    assert stated is not None
    return stated
