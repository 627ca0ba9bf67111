"""Irregularities of registration: canceled visits, wrong patient numbers, wrong classes, corrections.

Each visit may get one `course`, which `simulator.registration` turns into messages. The facts of a visit are the final
ones: a course changes the messages before the last and not the true result, except for `cancelled`.
"""

from __future__ import annotations

from random import Random
from typing import Final

import msgspec

from simulator.people import Person
from simulator.places import DIALECTS
from simulator.world import DAY, Merger, Visit

LATEST_CORRECTION: Final = 5 * DAY
"""The longest time from a departure to its correction; a visit that ended later has none."""
_AFTER_DEPARTURE: Final = frozenset({"recoded", "disposition corrected", "departure corrected", "departure sent again"})


_MOVING: Final = frozenset(
    {"arrival sent again", "arrival corrected", "departure sent again", "admission revoked", "departed by mistake"}
)
"""Courses whose times leave open where visits with the same number are divided."""


def add_irregularities(
    person: Person, visits: list[Visit], cutoff: int, rng: Random
) -> tuple[list[Visit], list[Merger]]:
    """(the visits with courses and patient numbers, the merges that correct the numbers)."""
    visits = [_course(visit, cutoff, rng) for visit in visits]
    return _wrong_numbers(person, visits, cutoff, rng)


def _course(visit: Visit, cutoff: int, rng: Random) -> Visit:
    if visit.kind == "expected":
        return visit if rng.random() < 0.5 else msgspec.structs.replace(visit, cancelled=True)
    plain = (
        not visit.from_emergency
        and not visit.shared
        and visit.disposition not in ("09", "02")
        and visit.admission_type not in ("2", "9")
    )
    if rng.random() < 0.06 and plain:
        way = rng.choice(("", "fast"))
        return msgspec.structs.replace(
            visit, cancelled=True, departed=None, disposition="", diagnoses=visit.working, course=way
        )
    if rng.random() > (0.3 if visit.departed is not None else 0.7):
        return visit
    corrigible = visit.departed is not None and visit.departed + LATEST_CORRECTION < cutoff
    course = rng.choice([name for name in possible(visit) if corrigible or name not in _AFTER_DEPARTURE] or [""])
    if visit.shared and course in _MOVING:
        return visit
    return msgspec.structs.replace(visit, course=course)


def possible(visit: Visit) -> list[str]:
    """The courses that leave the final facts of this visit unambiguous."""
    dialect, names = DIALECTS[visit.sender], []
    simple = not visit.from_emergency and visit.kind in ("emergency", "inpatient", "outpatient")
    if simple and visit.admission_type not in ("3", "4", "9"):
        # A planned stay that began with class E is indistinguishable from one through the ED.
        names.append("misclassed")
    if not visit.from_emergency:
        names.append("arrival sent again")
    elif visit.kind == "inpatient" and dialect.happened and dialect.admits_by.startswith("A06"):
        names.append("admission sent again")
    if visit.departed is None:
        names += ["departed by mistake"] * 3
    else:
        names += ["recoded", "disposition corrected", "reopened", "departure sent again"]
        if dialect.periods:
            names.append("departure corrected")
        if visit.kind == "emergency" and dialect.periods and dialect.happened:
            names.append("arrival corrected")
        if visit.kind == "emergency" and (
            dialect.admits_by == "A01" or (dialect.happened and dialect.admits_by == "A06")
        ):
            names.append("admission revoked")
        if visit.kind == "inpatient":
            names.append("moved")
    return names


def _wrong_numbers(person: Person, visits: list[Visit], cutoff: int, rng: Random) -> tuple[list[Visit], list[Merger]]:
    """Give some visits at one hospital a second patient number, merged before, between or after them."""
    senders = sorted({visit.sender for visit in visits if not visit.shared})
    if not senders or rng.random() > 0.18:
        return visits, []
    sender = rng.choice(senders)
    wrong = person.wrong_number()
    share = rng.choice((0.3, 0.6, 1.0))
    renamed = [
        msgspec.structs.replace(visit, number=wrong) if visit.sender == sender and rng.random() < share else visit
        for visit in visits
    ]
    touched = [visit.arrived for visit in renamed if visit.number == wrong]
    has_cin = DIALECTS[sender].cin != "insurance" or any(
        visit.sender == sender and visit.number != wrong for visit in renamed
    )
    if not touched or not has_cin:  # an A40 has no IN1: no message would have the CIN
        return visits, []
    moment = rng.randint(min(touched) - 20 * DAY, cutoff)
    trigger = "A24" if moment // 1000 % 3 == 0 else "A40"
    return renamed, [Merger(person.index, sender, person.number(sender), wrong, moment, trigger)]
