"""Visit numbers that name more than one visit: a lasting account number, and numbers that are used again.

Some people are seen at a hospital of that kind instead of one of the others. The visits that its messages add up to are
named as in docs/semantics.md#which-visit. What the rules leave open is not moved there: planned visits, whose
announcement may lie within another visit.
"""

from __future__ import annotations

from datetime import date
from random import Random
from typing import Final

import msgspec

from simulator.people import Person
from simulator.places import DIALECTS
from simulator.world import Visit, day_of

SHARE: Final = 0.1
"""The share of people with such a hospital."""
_HOSPITALS: Final = ("sierra-vista", "mesa-valley")


def with_shared_numbers(person: Person, visits: list[Visit], rng: Random, share: float = SHARE) -> list[Visit]:
    """The visits, those at one hospital perhaps moved to a hospital that uses its visit numbers for several."""
    planned = {visit.sender for visit in visits if visit.kind == "expected" or visit.admission_type in ("3", "4")}
    senders = sorted({visit.sender for visit in visits if visit.kind != "snf"} - planned)
    if not senders or rng.random() >= share:
        return visits
    left, sender = rng.choice(senders), rng.choice(_HOSPITALS)
    used: dict[str, int] = {}
    firsts: set[str] = set()
    found: list[Visit] = []
    for place, visit in enumerate(sorted(visits, key=lambda visit: visit.arrived)):
        if visit.sender != left:
            found.append(visit)
            continue
        number = f"K{person.index:05d}" + (f"{place % 2}" if sender == "mesa-valley" else "")
        name = number
        if number in firsts:
            name = f"{number}~{date.fromordinal(day_of(visit.arrived)).isoformat()}"
            used[name] = used.get(name, 0) + 1
            name += f"~{used[name]}" if used[name] > 1 else ""
        firsts.add(number)
        found.append(
            msgspec.structs.replace(
                visit,
                sender=sender,
                facility=DIALECTS[sender].facility,
                number=person.number(sender),
                visit=name,
                shared=number,
                prior="",
            )
        )
    return found
