"""What goes wrong at the registration desk: visits that never were, wrong numbers, wrong classes, second thoughts.

Each visit may get one `course`, which `simulator.courses` turns into messages. The facts of the visit stay those that
stand in the end, so a course changes what is said on the way and never the truth, except for `cancelled`.
"""

from __future__ import annotations

from random import Random
from typing import Final

import msgspec

from simulator.people import Person
from simulator.places import DIALECTS
from simulator.world import DAY, Merger, Visit

LATE_WORDS: Final = 5 * DAY
"""Corrections come at most this long after a departure; a visit that ended later than that before the end gets none."""
_AFTER_DEPARTURE: Final = frozenset({"recoded", "disposition corrected", "departure corrected"})


def trouble(person: Person, visits: list[Visit], cutoff: int, rng: Random) -> tuple[list[Visit], list[Merger]]:
    """The same visits with their courses and numbers, and the mergers that put the numbers right again."""
    visits = [_course(visit, cutoff, rng) for visit in visits]
    return _wrong_numbers(person, visits, cutoff, rng)


def _course(visit: Visit, cutoff: int, rng: Random) -> Visit:
    if visit.kind == "expected":
        return visit if rng.random() < 0.5 else msgspec.structs.replace(visit, cancelled=True)
    plain = not visit.from_emergency and visit.disposition not in ("09", "02") and visit.admission_type != "2"
    if rng.random() < 0.06 and plain:
        way = rng.choice(("", "fast"))
        return msgspec.structs.replace(
            visit, cancelled=True, departed=None, disposition="", diagnoses=visit.working, course=way
        )
    if rng.random() > 0.3:
        return visit
    settled = visit.departed is not None and visit.departed + LATE_WORDS < cutoff
    course = rng.choice([name for name in possible(visit) if settled or name not in _AFTER_DEPARTURE] or [""])
    return msgspec.structs.replace(visit, course=course)


def possible(visit: Visit) -> list[str]:
    """The courses that the messages of this visit can take without leaving its facts in doubt."""
    dialect, names = DIALECTS[visit.sender], []
    simple = not visit.from_emergency and visit.kind in ("emergency", "inpatient", "outpatient")
    if simple and visit.admission_type not in ("3", "4"):
        # An elective stay that began with class E cannot be told from one that came through the ED.
        names.append("misclassed")
    if visit.departed is not None:
        names += ["recoded", "disposition corrected", "reopened"]
        if dialect.periods:
            names.append("departure corrected")
        if visit.kind == "emergency" and dialect.periods and dialect.happened:
            names.append("arrival corrected")
        if visit.kind == "emergency" and dialect.happened and dialect.admits_by in ("A01", "A06"):
            names.append("admission revoked")
        if visit.kind == "inpatient":
            names.append("moved")
    return names


def _wrong_numbers(person: Person, visits: list[Visit], cutoff: int, rng: Random) -> tuple[list[Visit], list[Merger]]:
    """Gives some visits at one hospital a second number; it is merged before, between or after them."""
    senders = sorted({visit.sender for visit in visits})
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
    told = DIALECTS[sender].cin != "insurance" or any(
        visit.sender == sender and visit.number != wrong for visit in renamed
    )
    if not touched or not told:  # an A40 has no IN1: the CIN would never have been said
        return visits, []
    moment = rng.randint(min(touched) - 20 * DAY, cutoff)
    return renamed, [Merger(person.index, sender, person.number(sender), wrong, moment)]
