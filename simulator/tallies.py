"""Counting of visits, with the reason for each that does not count: a second implementation of the rules.

It shares no code with the product's counting (rules: docs/semantics.md#counting).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from simulator.conditions import DELIVERY
from simulator.people import Person
from simulator.places import DIALECTS, EXCHANGE, REPEATED
from simulator.world import Visit, day_of, months_back

LINKING: Final = frozenset({"02", "05", "43", "65", "66", "09"})
"""Discharge status of an ED attendance that goes on as an admission."""
PLANNED_RETURN: Final = frozenset(str(code) for code in range(81, 96))
SHORT_TERM: Final = 90
NEVER: Final = 4_000_000
"""A day (ordinal) after every simulation."""


class Tally(msgspec.Struct, frozen=True):
    """One visit and what became of it: `as_` emergency, inpatient, snf or "" and the day it counts on (ordinal).

    A nursing-facility stay counts as short-term until it has lasted longer than that: on `until` it no longer does.
    """

    visit: Visit
    as_: str
    day: int
    reason: str
    until: int = NEVER

    def counts_on(self, day: int, months: int) -> bool:
        """Whether it is in a look-back of `months` from `day`."""
        return self.reason == "counted" and months_back(day, months) <= self.day <= day < self.until


def tally(visits: Iterable[Visit]) -> list[Tally]:
    """Every visit of one person, counted or not and why, in order of arrival."""
    ordered = sorted(visits, key=lambda visit: (visit.arrived, visit.visit))
    stays = [v for v in ordered if v.kind == "inpatient" and not v.cancelled]
    days_taken: set[int] = set()
    out: list[Tally] = []
    for visit in ordered:
        kind, day = visit.kind, day_of(visit.admitted if visit.admitted is not None else visit.arrived)
        if kind == "observation" and visit.from_emergency:
            kind = "emergency"
        if visit.cancelled:
            out.append(Tally(visit, "", day, "cancelled"))
        elif kind == "emergency":
            reason = "counted"
            if _became_admission(visit, stays):
                reason = "became_inpatient"
            elif day in days_taken:
                reason = "same_day"
            else:
                days_taken.add(day)
            out.append(Tally(visit, "emergency", day, reason))
        elif kind == "inpatient":
            earlier = [stay for stay in stays if stay.arrived < visit.arrived]
            out.append(Tally(visit, "inpatient", day, _stay_reason(visit, earlier)))
        elif kind == "snf":
            short = visit.departed is not None and day_of(visit.departed) - day <= SHORT_TERM
            out.append(Tally(visit, "snf", day, "counted", NEVER if short else day + SHORT_TERM + 1))
        else:
            reason = {"observation": "observation", "expected": "planned"}.get(kind, "outpatient")
            out.append(Tally(visit, "", day, reason))
    return out


def _became_admission(visit: Visit, stays: list[Visit]) -> bool:
    """Whether an ED attendance was transferred or admitted and an admission followed within a day."""
    if visit.disposition not in LINKING or visit.departed is None:
        return False
    left = day_of(visit.departed)
    return any(
        stay.admitted is not None and stay.arrived > visit.arrived and 0 <= day_of(stay.admitted) - left <= 1
        for stay in stays
    )


def _stay_reason(visit: Visit, earlier: list[Visit]) -> str:
    assert visit.admitted is not None
    if visit.admission_type == "3":
        return "planned"
    if visit.admission_type == "4":
        return "newborn"
    if any(code.startswith(DELIVERY) for code in visit.diagnoses):
        return "delivery"
    if earlier:
        if any(stay.departed is not None and day_of(visit.admitted) - day_of(stay.departed) < 2 for stay in earlier):
            return "transfer_continuation"
        if earlier[-1].disposition in PLANNED_RETURN:
            return "planned"
    return "counted"


def keys_of(visit: Visit, person: Person) -> tuple[str, ...]:
    """The visit keys of this visit: the hospital's, then the exchange's."""
    ward = DIALECTS[visit.sender]
    own = f"{ward.authority}|{visit.visit}"
    if person.exchanged and visit.sender in REPEATED:
        return own, f"{EXCHANGE.authority}|{ward.code}-{visit.visit[1:]}"
    return (own,)


def counts(tallies: list[Tally], months: int, end_day: int) -> dict[str, int]:
    """The counts of the `months` up to `end_day`, included."""
    inside = [each.as_ for each in tallies if each.counts_on(end_day, months)]
    return {"ed": inside.count("emergency"), "inpatient": inside.count("inpatient"), "snf": inside.count("snf")}
