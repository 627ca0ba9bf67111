"""Mistakes of identity: the wrong person, the wrong number, a wrong birth date, a death that was none.

A person has at most one of them. The choices come from a random source of their own, so that a rate changes neither the
visits nor the other irregularities. Each leaves the truth unambiguous at the end: what is moved or taken back is so
before the end, and what is refused counts for nobody (`Visit.nobodys`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Final

import msgspec

from simulator import lives, records
from simulator.case import Case, Mistakes
from simulator.people import Person
from simulator.world import Merger, Visit

RATES: Final[dict[str, float]] = {
    "moved": 0.06,
    "moved back": 0.04,
    "account moved": 0.04,
    "merged by mistake": 0.06,
    "birth date mistyped": 0.08,
    "number of another": 0.06,
    "died": 0.08,
    "death taken back": 0.08,
    "newborn": 0.5,
}
"""The share of people with each mistake, among those to whom it could happen before another one does."""


def add_mistakes(
    person: Person,
    visits: list[Visit],
    merged: list[Merger],
    before: Sequence[Person],
    cutoff: int,
    rng: Random,
    rates: Mapping[str, float] = RATES,
) -> Mistakes:
    """At most one mistake about a person; `before` are the people with lower indexes, `merged` the person's merges."""
    found = Mistakes(visits, list(merged))
    for merger in merged:
        if rng.random() < 0.5:  # then the wrong number is theirs by the merge or link alone
            found.shown[person.index, merger.sender] = msgspec.structs.replace(person, given=f"{person.given}x")
    case = Case(person, before, found, cutoff, rng)
    for name, make in _KINDS.items():
        if rng.random() < rates.get(name, 0.0) and make(case):
            break
    return found


_KINDS: Final[dict[str, Callable[[Case], bool]]] = {
    "newborn": lives.newborn,
    "died": lives.died,
    "death taken back": lives.death_taken_back,
    "moved": records.moved,
    "moved back": records.moved_back,
    "account moved": records.account_moved,
    "merged by mistake": records.merged_by_mistake,
    "birth date mistyped": records.mistyped,
    "number of another": records.number_of_another,
}
