"""Counting of visits, with the reason for each that does not count: a second implementation of the rules.

It shares no code with the product's counting (rules: docs/semantics.md#counting).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from domain.times import HOUR
from simulator.conditions import DELIVERY
from simulator.people import Person
from simulator.places import DIALECTS, EXCHANGE, REPEATED
from simulator.world import Visit, day_of, months_back

SENT: Final = frozenset(
    {"02", "05", "43", "65", "66", "62", "63", "70", "82", "85", "88", "93", "94", "90", "91", "95"}
)
"""Discharge status of somebody who was sent to another hospital."""
LINKING: Final = SENT | {"09"}
"""Discharge status of an ED attendance that goes on as an admission elsewhere."""
GONE: Final = frozenset({"01", "81", "06", "86", "07", "21", "87"})
"""Discharge status of somebody who went home, left against advice, or into custody."""
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
    attendances = [v for v in ordered if v.kind == "emergency" and not v.cancelled]
    episodes = _nursing_episodes(ordered)
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
            out.append(Tally(visit, "inpatient", day, _stay_reason(visit, earlier, attendances)))
        elif kind == "snf":
            episode = next((each for each in episodes if each[0] is visit), None)
            if episode is None:
                out.append(Tally(visit, "", day, "continues"))
                continue
            ends = [each.departed for each in episode]
            short = None not in ends and day_of(max(end or 0 for end in ends)) - day <= SHORT_TERM
            out.append(Tally(visit, "snf", day, "counted", NEVER if short else day + SHORT_TERM + 1))
        else:
            reason = {"observation": "observation", "expected": "planned"}.get(kind, "outpatient")
            out.append(Tally(visit, "", day, reason))
    return out


def _became_admission(visit: Visit, stays: list[Visit]) -> bool:
    """Whether an ED attendance became one of the stays (docs/semantics.md#episodes)."""
    return any(stay.admitted is not None and _became(visit, stay, stay.admitted) for stay in stays)


def _became(visit: Visit, stay: Visit, admitted: int) -> bool:
    if admitted < visit.arrived:
        return False
    if stay.sender == visit.sender:
        if visit.departed is None:
            return admitted <= visit.arrived + 48 * HOUR
        hours = 2 if visit.disposition in GONE else 24
        if admitted <= visit.departed + hours * HOUR:
            return True
    if visit.departed is None or visit.disposition not in LINKING:
        return False
    return day_of(admitted) - day_of(visit.departed) <= 1


def _stay_reason(visit: Visit, earlier: list[Visit], attendances: list[Visit]) -> str:
    assert visit.admitted is not None
    if visit.admission_type == "4":
        return "newborn"
    if visit.admission_type == "L" or any(code.startswith(DELIVERY) for code in visit.diagnoses):
        return "delivery"
    ended = [stay for stay in earlier if stay.departed is not None]
    last = max(ended, key=lambda stay: stay.departed or 0, default=None)
    if last is not None and last.departed is not None:
        sent = last.disposition in SENT and day_of(visit.admitted) - day_of(last.departed) <= 1
        if sent or visit.admitted <= last.departed + 6 * HOUR:
            return "transfer_continuation"
    announced = visit.admission_type not in ("1", "2", "5") and any(
        stay.disposition in PLANNED_RETURN and day_of(visit.admitted) - day_of(stay.departed or 0) <= 30
        for stay in ended
    )
    through_ed = visit.from_emergency or any(_became(each, visit, visit.admitted) for each in attendances)
    if (visit.admission_type == "3" or announced) and not through_ed:
        return "planned"
    return "counted"


def _nursing_episodes(ordered: list[Visit]) -> list[list[Visit]]:
    """The nursing-facility stays that are one with each other, in order of arrival."""
    episodes: list[list[Visit]] = []
    for visit in ordered:
        if visit.kind != "snf" or visit.cancelled:
            continue
        if episodes and _continues(episodes[-1], visit):
            episodes[-1].append(visit)
        else:
            episodes.append([visit])
    return episodes


def _continues(episode: list[Visit], visit: Visit) -> bool:
    last = max(episode, key=lambda each: (each.departed is None, each.departed or 0))
    same = last.sender == visit.sender
    if last.departed is None:
        return same
    return day_of(visit.arrived) - day_of(last.departed) <= (7 if same else 1)


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
