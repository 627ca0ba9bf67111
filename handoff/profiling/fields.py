"""Which fields a referral needs, whether a message fills them, and what is lost without each."""

from __future__ import annotations

from collections import Counter
from typing import Final

import msgspec

from domain.patient.events import DELETED, AdtEvent
from domain.patient.statements import ARRIVALS, CANCELS, CLASS_MARKS, OUTSIDE_VISITS, PLANS
from parsers.hl7.encoding import Message
from parsers.hl7.mrg import PARTNERS, UNITS

GROUPS: Final = ("arrive", "move", "leave", "update", "cancel", "plan", "person", "other")
"""What a message does, by its trigger; fill rates are reported by these."""


def group_of(trigger: str) -> str:
    """One of GROUPS."""
    if trigger in ARRIVALS:
        return "arrive"
    if trigger in CLASS_MARKS or trigger in ("A02", "A21", "A22"):
        return "move"
    if trigger in CANCELS:
        return "cancel"
    if trigger in PLANS:
        return "plan"
    if trigger in OUTSIDE_VISITS:
        return "person"
    return {"A03": "leave", "A08": "update"}.get(trigger, "other")


def meaning_of(trigger: str) -> str:
    """What handoff does with a trigger, in a few words."""
    if trigger in CANCELS:
        undone = " ".join(sorted(CANCELS[trigger])) if trigger != "A23" else "the whole visit"
        return f"takes back {undone}"
    if trigger in PARTNERS:
        return "two patients, no merge"
    if trigger in UNITS:
        return "merges (MRG)"
    if trigger in PLANS:
        return "a plan; never a visit"
    return {
        "A01": "a visit begins",
        "A04": "a visit begins",
        "A02": "moves within a visit",
        "A03": "a visit ends",
        "A06": "becomes inpatient",
        "A07": "becomes outpatient",
        "A08": "updates a visit",
        "A28": "updates the person",
        "A31": "updates the person",
    }.get(trigger, "kept; moves no visit")


class Want(msgspec.Struct, frozen=True):
    """A place that is read. `where`: the groups in which it counts (() all). `without`: what its absence means."""

    place: str
    where: tuple[str, ...]
    without: str


_VISITS: Final = ("arrive", "move", "leave", "update", "cancel")
WANTS: Final = (
    Want("PID-3", (), "refused: no-patient"),
    Want("PID-3.4", (), "numbers get the sender's authority"),
    Want("PID-3.5", (), "the first number is the patient's"),
    Want("CIN", (), "matched by the plan's record numbers only"),
    Want("PID-5", (), "no check of the match"),
    Want("PID-7", (), "no check of the match"),
    Want("PID-11", (), "no county, no homelessness hint"),
    Want("PID-18", _VISITS, ""),
    Want("EVN-2", (), "MSH-7 orders the messages"),
    Want("EVN-6", _VISITS, "a fallback time, marked"),
    Want("EVN-7", _VISITS, ""),
    Want("PV1", _VISITS, "no visit data"),
    Want("PV1-2", _VISITS, "class: the profile's `empty`"),
    Want("PV1-3.4", _VISITS, ""),
    Want("PV1-4", _VISITS, "planned and urgent stays alike"),
    Want("PV1-14", _VISITS, "no origin (nursing facility, custody)"),
    Want("PV1-18", _VISITS, ""),
    Want("PV1-19", _VISITS, "a weak key, made up"),
    Want("PV1-36", ("leave",), "no destination, no transition"),
    Want("PV1-37", ("leave",), ""),
    Want("PV1-39", _VISITS, ""),
    Want("PV1-44", _VISITS, "arrival: EVN-6, then EVN-2"),
    Want("PV1-45", ("leave",), "departure: EVN-6, then EVN-2"),
    Want("DG1-3", _VISITS, "no condition evidence"),
    Want("IN1", _VISITS, "no coverage hint"),
)
_BIT: Final = {want.place: 1 << number for number, want in enumerate(WANTS)}
_PID: Final = [(n, _BIT[f"PID-{n}"]) for n in (3, 5, 7, 11, 18)]
_EVN: Final = [(n, _BIT[f"EVN-{n}"]) for n in (2, 6, 7)]
_PV1: Final = [(n, _BIT[f"PV1-{n}"]) for n in (2, 4, 14, 18, 19, 36, 37, 39, 44, 45)]
_EMPTY: Final = frozenset({"", DELETED})


class Fills:
    """How often each wanted field is filled, by group. One count per message: fields are bits of a number."""

    def __init__(self) -> None:
        self._masks: Counter[tuple[str, int]] = Counter()

    def take(self, message: Message, event: AdtEvent, authority: str, kind: str) -> None:
        """One message; `authority` and `kind` are PID-3.4 and PID-3.5 of the number that names the patient."""
        mask = (_BIT["PID-3.4"] if authority else 0) | (_BIT["PID-3.5"] if kind else 0)
        mask |= _BIT["CIN"] if event.cin else 0
        for name, bits in (("PID", _PID), ("EVN", _EVN), ("PV1", _PV1)):
            fields = message.first(name)
            if fields is not None:
                for number, bit in bits:
                    if fields[number] not in _EMPTY:
                        mask |= bit
        pv1 = message.first("PV1")
        if pv1 is not None:
            mask |= _BIT["PV1"]
            if pv1[3] and message.component(pv1[3], 4):
                mask |= _BIT["PV1-3.4"]
        if event.visit is not None and event.visit.diagnoses:
            mask |= _BIT["DG1-3"]
        if message.first("IN1") is not None:
            mask |= _BIT["IN1"]
        self._masks[group_of(event.trigger), mask] += 1

    def sizes(self) -> dict[str, int]:
        """Messages by group, in the order of GROUPS; groups without any are left out."""
        found: Counter[str] = Counter()
        for (group, _), count in self._masks.items():
            found[group] += count
        return {group: found[group] for group in GROUPS if found[group]}

    def filled(self, place: str) -> dict[str, int]:
        """Messages that fill `place`, by group."""
        found: Counter[str] = Counter()
        for (group, mask), count in self._masks.items():
            if mask & _BIT[place]:
                found[group] += count
        return dict(found)
