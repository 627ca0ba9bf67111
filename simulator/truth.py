"""The true result of a world: the visits that count, and the live candidates at its end.

It shares no code with the product: it applies the program's rules (ECM Policy Guide, January 2026, populations 2 and 4)
to the true visits, one day after the other, without optimization.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any, Final

from simulator.conditions import FALLBACK, listed
from simulator.people import Person
from simulator.spans import Span, live_span, part_from, released_spans, spans, youth_spans
from simulator.tallies import Tally, counts, keys_of, tally
from simulator.world import Custody, Visit, World, day_of, rfc3339

PRECLUDING: Final = frozenset({"pace", "hospice", "fide-snp", "family-mosaic", "eae-d-snp", "d-snp"})
WHOLE_PERSON_CARE: Final = frozenset({"Los Angeles", "San Joaquin", "San Bernardino", "Imperial"})
"""Counties of the simulation in which ECM began on 2022-01-01; the others followed on 2022-07-01 (guide, p. 8)."""


def birthday(person: Person, years: int) -> int:
    """The day (ordinal) on which a person turns `years`."""
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
    """Whether the person is enrolled on a day."""
    if not person.plan or (person.enrolled_from is not None and day < _day(person.enrolled_from)):
        return False
    return person.enrolled_to is None or day <= _day(person.enrolled_to)


def precluded(person: Person, day: int) -> str | None:
    """The verified program that excludes the person from ECM on a day, or "ecm" for a person in ECM; else None."""
    for program in person.programmes:
        inside = _day(program.start) <= day and (program.to is None or day <= _day(program.to))
        if program.verified and program.id in PRECLUDING and inside:
            return program.id
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
    released_with_condition = released_spans(events, end_day, min(shown, default=None))
    criteria: list[tuple[str, list[Span]]] = [
        ("2a", part_from(spans(tallies, person, 6, 5, 3, end_day), grown)),
        ("2c", [span for span in spans(tallies, person, 12, 3, 2, end_day) if span.first < grown]),
        ("4a", part_from(released_with_condition, grown)),
        ("4y", youth_spans(events, end_day, [grown, birthday(person, 26) if former_foster else grown])),
    ]
    found: list[dict[str, Any]] = []
    for population, met in criteria:
        live = live_span(part_from(met, go_live(population, person.county)), end_day)
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


def watched(person: Person, tallies: list[Tally], end_day: int) -> list[str]:
    """The populations (2a, 2c) whose criterion a member misses by one visit on `end_day`."""
    grown = birthday(person, 21)
    found: list[str] = []
    for population, months, emergencies, stays in (("2a", 6, 5, 3), ("2c", 12, 3, 2)):
        met = spans(tallies, person, months, emergencies, stays, end_day)
        near = spans(tallies, person, months, emergencies - 1, stays - 1, end_day)
        if population == "2a":
            met, near = part_from(met, grown), part_from(near, grown)
        else:
            met, near = ([span for span in each if span.first < grown] for each in (met, near))
        opens = go_live(population, person.county)
        live = live_span(part_from(near, opens), end_day)
        if live is None or live_span(part_from(met, opens), end_day) is not None:
            continue
        if enrolled(person, live.first) and precluded(person, end_day) is None:
            found.append(population)
    return found


def judge(world: World, conditions: Iterable[str] = FALLBACK) -> dict[str, Any]:
    """The true result as data for truth.json."""
    end_day = day_of(world.end)
    visits: dict[int, list[Visit]] = {}
    events: dict[int, list[Custody]] = {}
    for visit in world.visits:
        if visit.nobodys:
            continue
        visits.setdefault(visit.person, []).append(visit)
    for event in world.custody:
        events.setdefault(event.person, []).append(event)
    truth: dict[str, Any] = {"end": rfc3339(world.end), "members": [], "candidates": [], "near_threshold": []}
    for person in world.people:
        if not person.member:
            continue
        tallies = tally(visits.get(person.index, ()))
        if not world.died(person.index):
            truth["candidates"] += candidates_of(person, tallies, events.get(person.index, []), end_day, conditions)
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
