"""The truth about a world: which visits count, and who is a live candidate at its end.

Written apart from the product's own counting, from the programme's rules (ECM Policy Guide, January 2026, populations 2
and 4; counting rules of docs/rules.md) and the list of true visits. It is slow and plain on purpose: every day of
everybody's life is looked at.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any, Final

import msgspec

from simulator.conditions import DELIVERY, FALLBACK, listed
from simulator.people import Person
from simulator.places import DIALECTS, EXCHANGE, REPEATED
from simulator.world import DAY, Custody, Visit, World, at, day_of, months_back, rfc3339

LINKING: Final = frozenset({"02", "05", "43", "65", "66", "09"})
"""Discharge status of an ED attendance that goes on as an admission."""
PLANNED_RETURN: Final = frozenset(str(code) for code in range(81, 96))
SHORT_TERM: Final = 90
CHAIN: Final = 30 * DAY
NEVER: Final = 4_000_000
"""A day (ordinal) that does not come."""
PRECLUDING: Final = frozenset({"pace", "hospice", "fide-snp", "family-mosaic", "eae-d-snp", "d-snp"})

ANY_FACILITY: Final = date(2026, 1, 1).toordinal()
"""From this day on a youth's release from an adult jail opens population 4 too (guide of January 2026, p. 32)."""

WHOLE_PERSON_CARE: Final = frozenset({"Los Angeles", "San Joaquin", "San Bernardino", "Imperial"})
"""Counties of the simulation in which ECM began on 2022-01-01; the others followed on 2022-07-01 (guide, p. 8)."""


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


class Span(msgspec.Struct, frozen=True):
    """Days (ordinals, both included) on which a criterion is met, and the keys of what opened it (on day `opened`).

    `start` is the instant (ms UTC) from which it is met on the first day.
    """

    first: int
    last: int
    start: int
    opened: int
    openers: tuple[str, ...]


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
            if _went_on(visit, stays):
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


def _went_on(visit: Visit, stays: list[Visit]) -> bool:
    """Whether an ED attendance was sent on and an admission followed within a day."""
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
    """The visit keys under which this visit is known: its hospital's own, then the exchange's."""
    ward = DIALECTS[visit.sender]
    own = f"{ward.authority}|{visit.visit}"
    if person.exchanged and visit.sender in REPEATED:
        return own, f"{EXCHANGE.authority}|{ward.code}-{visit.visit[1:]}"
    return (own,)


# -- spans -----------------------------------------------------------------------------------------------------------


def spans(tallies: list[Tally], person: Person, months: int, emergencies: int, stays: int, end_day: int) -> list[Span]:
    """The stretches of days up to `end_day` on which a look-back of `months` holds enough, each with its opener."""
    seen = [each for each in tallies if each.reason == "counted"]
    if len(seen) < min(emergencies, stays):
        return []
    found: list[Span] = []
    first: int | None = None

    def enough(inside: list[Tally]) -> bool:
        attended = sum(each.as_ == "emergency" for each in inside)
        return attended >= emergencies or len(inside) - attended >= stays

    for day in range(min(each.day for each in seen), end_day + 2):
        start = months_back(day, months)
        inside = [each for each in seen if start <= each.day <= day < each.until] if day <= end_day else []
        # A day begins with what is left of the days before; what comes in on it may open a new span.
        if first is not None and not enough([each for each in inside if each.day < day]) and first < day:
            opening = [each.visit for each in seen if each.day == first]
            openers = tuple(key for visit in opening for key in keys_of(visit, person))
            arrived = max(visit.admitted or visit.arrived for visit in opening)
            found.append(Span(first, day - 1, arrived, first, openers))
            first = None
        if first is None and enough(inside):
            first = day
    return found


def released_spans(events: Iterable[Custody], end_day: int, known_from: int | None = 0) -> list[Span]:
    """The twelve months after each release, run together where they meet.

    None of them begins before `known_from` (ms UTC), when a condition first showed; with None it never did.
    """
    found: list[Span] = []
    if known_from is None:
        return found
    freed = [e for e in events if e.kind == "released" and e.occurred is not None]
    for moment, record in sorted((e.occurred or 0, e.record_id) for e in freed):
        day = last = day_of(moment)
        while last < end_day and months_back(last + 1, 12) <= day:
            last += 1
        start = max(moment, known_from)
        if day_of(start) > last:
            continue
        if found and day_of(start) <= found[-1].last + 1:
            found[-1] = msgspec.structs.replace(found[-1], last=max(last, found[-1].last))
        else:
            found.append(Span(day_of(start), last, start, day, (record, f"custody:{record}")))
    return found


def standing(spans_found: list[Span], end_day: int) -> Span | None:
    """The candidate that is live on `end_day`: its chain's first span (gaps of up to thirty days), or None."""
    if not spans_found or spans_found[-1].last < end_day:
        return None
    opening = spans_found[-1]
    for span in reversed(spans_found[:-1]):
        if opening.start - at(span.last + 1, 0) > CHAIN:
            break
        opening = span
    return opening


# -- people ----------------------------------------------------------------------------------------------------------


def birthday(person: Person, years: int) -> int:
    """The day (ordinal) on which somebody turns `years`."""
    born = date.fromordinal(person.birth)
    return born.replace(year=born.year + years).toordinal()


def go_live(population: str, county: str) -> int:
    """The first day (ordinal) of a population in a county (guide, pp. 8-9)."""
    if population == "2a":
        return _day("2022-01-01" if county in WHOLE_PERSON_CARE else "2022-07-01")
    if population == "4a" and county in ("Los Angeles", "San Joaquin"):  # plan pages 002 and 004
        return _day("2022-01-01")
    return _day("2023-07-01" if population == "2c" else "2024-01-01")


def _day(text: str) -> int:
    return date.fromisoformat(text).toordinal()


def enrolled(person: Person, day: int) -> bool:
    """Whether a plan has the person on a day."""
    if not person.plan or (person.enrolled_from is not None and day < _day(person.enrolled_from)):
        return False
    return person.enrolled_to is None or day <= _day(person.enrolled_to)


def precluded(person: Person, day: int) -> str | None:
    """Why ECM is closed to the person on a day: a verified programme that precludes it, or ECM itself."""
    for programme in person.programmes:
        inside = _day(programme.start) <= day and (programme.to is None or day <= _day(programme.to))
        if programme.verified and programme.id in PRECLUDING and inside:
            return programme.id
    if person.ecm is not None and person.ecm[0] == "enrolled":
        _, start, end = person.ecm
        if _day(start) <= day and (end is None or day <= _day(end)):
            return "ecm"
    return None


def candidates_of(
    person: Person,
    tallies: list[Tally],
    events: list[Custody],
    end_day: int,
    conditions: Iterable[str] = FALLBACK,
) -> list[dict[str, Any]]:
    """The live candidates of one member at the end of `end_day`."""
    grown = birthday(person, 21)
    former_foster = "4M" in person.aid_codes
    conditions = tuple(conditions)
    shown = [
        each.visit.admitted or each.visit.arrived
        for each in tallies
        if each.reason != "cancelled" and any(listed(code, conditions) for code in each.visit.diagnoses)
    ]
    freed_ill = released_spans(events, end_day, min(shown, default=None))
    criteria: list[tuple[str, list[Span]]] = [
        ("2a", _from(spans(tallies, person, 6, 5, 3, end_day), grown)),
        ("2c", [span for span in spans(tallies, person, 12, 3, 2, end_day) if span.first < grown]),
        ("4a", _from(freed_ill, grown)),
        ("4y", _youth_spans(events, end_day, [grown, birthday(person, 26) if former_foster else grown])),
    ]
    found: list[dict[str, Any]] = []
    for population, met in criteria:
        live = standing(_from(met, go_live(population, person.county)), end_day)
        if live is None or not enrolled(person, live.first) or precluded(person, end_day) is not None:
            continue
        found.append(
            {
                "member": person.member,
                "population": population,
                "opened": _iso(live.opened),
                "openers": list(live.openers),
            }
        )
    return found


def _youth_spans(events: list[Custody], end_day: int, ends: list[int]) -> list[Span]:
    """Releases before the latest of the days `ends`. Until the guide of January 2026 only youth facilities' counted."""
    young = [event for event in events if event.occurred is not None and day_of(event.occurred) < max(ends)]
    camps = [event for event in young if event.facility_type == "youth-facility"]
    found: list[Span] = []
    for span in sorted(
        [*released_spans(camps, end_day), *_from(released_spans(young, end_day), ANY_FACILITY)],
        key=lambda span: (span.start, span.opened),
    ):
        if found and span.first <= found[-1].last + 1:
            found[-1] = msgspec.structs.replace(found[-1], last=max(span.last, found[-1].last))
        else:
            found.append(span)
    return found


def _from(found: list[Span], day: int) -> list[Span]:
    """The parts of the spans from `day` on."""
    return [
        span if span.first >= day else msgspec.structs.replace(span, first=day, start=at(day, 0))
        for span in found
        if span.last >= day
    ]


def watched(person: Person, tallies: list[Tally], end_day: int) -> list[str]:
    """The populations (2a, 2c) that a member is one visit short of on `end_day`: their criterion is nearly met."""
    grown = birthday(person, 21)
    found: list[str] = []
    for population, months, emergencies, stays in (("2a", 6, 5, 3), ("2c", 12, 3, 2)):
        met = spans(tallies, person, months, emergencies, stays, end_day)
        near = spans(tallies, person, months, emergencies - 1, stays - 1, end_day)
        if population == "2a":
            met, near = _from(met, grown), _from(near, grown)
        else:
            met, near = ([span for span in each if span.first < grown] for each in (met, near))
        opens = go_live(population, person.county)
        live = standing(_from(near, opens), end_day)
        if live is None or standing(_from(met, opens), end_day) is not None:
            continue
        if enrolled(person, live.first) and precluded(person, end_day) is None:
            found.append(population)
    return found


def counts(tallies: list[Tally], months: int, end_day: int) -> dict[str, int]:
    """What counts in the `months` before `end_day`, that day included."""
    inside = [each.as_ for each in tallies if each.counts_on(end_day, months)]
    return {"ed": inside.count("emergency"), "inpatient": inside.count("inpatient"), "snf": inside.count("snf")}


def judge(world: World, conditions: Iterable[str] = FALLBACK) -> dict[str, Any]:
    """The whole truth, as plain data for truth.json."""
    end_day = day_of(world.end)
    visits: dict[int, list[Visit]] = {}
    events: dict[int, list[Custody]] = {}
    for visit in world.visits:
        visits.setdefault(visit.person, []).append(visit)
    for event in world.custody:
        events.setdefault(event.person, []).append(event)
    truth: dict[str, Any] = {"end": rfc3339(world.end), "members": [], "candidates": [], "near_threshold": []}
    for person in world.people:
        if not person.member:
            continue
        tallies = tally(visits.get(person.index, ()))
        live = candidates_of(person, tallies, events.get(person.index, []), end_day, conditions)
        truth["candidates"] += live
        truth["near_threshold"] += [
            {"member": person.member, "population": each} for each in watched(person, tallies, end_day)
        ]
        truth["members"].append(
            {
                "member": person.member,
                "precluded": precluded(person, end_day),
                "counts": {"6mo": counts(tallies, 6, end_day), "12mo": counts(tallies, 12, end_day)},
                "visits": [_described(each, person, end_day) for each in tallies],
            }
        )
    return truth


def _described(each: Tally, person: Person, end_day: int) -> dict[str, Any]:
    visit = each.visit
    reason = "not_short_term" if each.reason == "counted" and end_day >= each.until else each.reason
    status = "expected" if visit.kind == "expected" else "open" if visit.departed is None else "closed"
    return {
        "keys": list(keys_of(visit, person)),
        "facility": visit.facility,
        "class": "preadmit" if visit.kind == "expected" else visit.kind,
        "status": "cancelled" if visit.cancelled else status,
        "arrived": rfc3339(visit.arrived),
        "admitted": None if visit.admitted is None else rfc3339(visit.admitted),
        "departed": None if visit.departed is None else rfc3339(visit.departed),
        "disposition": visit.disposition,
        "diagnoses": sorted(set(visit.diagnoses)),
        "counted": reason == "counted",
        "reason": reason,
    }


def _iso(day: int) -> str:
    return date.fromordinal(day).isoformat()
