"""What a mistake of identity is made from: one person, their visits, the people before them."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import msgspec

from simulator.irregularities import LATEST_CORRECTION
from simulator.people import Person
from simulator.places import DIALECTS
from simulator.world import DAY, HOUR, OFFSETS, Death, Merger, Visit


class Mistakes(msgspec.Struct):
    """What the mistakes changed or added. `newborns` are (person without an index, their visits)."""

    visits: list[Visit]
    mergers: list[Merger] = []
    deaths: list[Death] = []
    shown: dict[tuple[int, str], Person] = {}
    newborns: list[tuple[Person, list[Visit]]] = []


class Case:
    """One person, their visits and the people before them; times are ms UTC, up to `cutoff`."""

    def __init__(self, person: Person, before: Sequence[Person], found: Mistakes, cutoff: int, rng: Random) -> None:
        self.person = person
        self.other = before[-1] if before else None
        self.before = before
        self.found = found
        self.cutoff = cutoff
        self.rng = rng

    def moment(self, first: int, days: float) -> int:
        """A moment at most so many days after `first`."""
        return OFFSETS.unrepeated(first + HOUR + int(self.rng.random() * days * DAY) // 1000 * 1000)

    def settled(self) -> list[Visit]:
        """Visits under the right number whose last message has been sent well before the end."""
        return [
            visit
            for visit in self.found.visits
            if visit.departed is not None
            and not visit.shared
            and visit.number == self.person.number(visit.sender)
            and visit.departed + LATEST_CORRECTION + 5 * DAY < self.cutoff
        ]

    def known_without(self, visit: Visit) -> bool:
        """Whether other messages of that sender than those of the visit have the person's CIN."""
        return DIALECTS[visit.sender].cin != "insurance" or any(
            each is not visit and (each.sender, each.number) == (visit.sender, visit.number)
            for each in self.found.visits
        )
