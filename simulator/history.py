"""The visits of one person: episodes of care at distances for which the counting rules are unambiguous.

Distances that the rules leave open are not generated: unrelated episodes are at least three days apart, and related
ones are marked (an admission from the emergency department, a transfer, a planned return).
"""

from __future__ import annotations

from random import Random
from typing import Final

import msgspec

from simulator.conditions import BENIGN, LISTED
from simulator.people import Person
from simulator.places import DIALECTS, NEAR, NURSING
from simulator.world import HOUR, MINUTE, OFFSETS, Visit, at, day_of, months_back

APART: Final = 3
PLANNED_WITHIN: Final = 31
"""Days after a discharge with a planned return without other episodes."""
_GAPS: Final = {
    "quiet": 500.0,
    "frequent": 52.0,
    "complex": 110.0,
    "justice": 90.0,
    "elective": 250.0,
    "mother": 200.0,
}
"""Days from one episode of care to the next, on average."""
_STAYS: Final = {"quiet": 0.08, "frequent": 0.08, "complex": 0.72, "justice": 0.15, "elective": 0.5, "mother": 0.1}
"""Share of admissions among the episodes of a persona."""


class History:
    """Collects the visits of one person between two days, in order of time."""

    def __init__(self, person: Person, first_day: int, cutoff: int, rng: Random) -> None:
        self.person = person
        self.cutoff = cutoff
        self.rng = rng
        self.visits: list[Visit] = []
        self.first_day = max(first_day, person.birth + 2)
        self.last_day = day_of(cutoff)
        self.adult = self.last_day - person.birth >= 21 * 365
        near = NEAR[person.county]
        self.hospitals = near if self.adult else ("poppy-childrens", *near[:1])
        self.clear_until = 0
        self.homeless = rng.random() < 0.08
        self.listed = rng.random() < (0.7 if person.persona == "justice" else 0.3)

    def run(self) -> list[Visit]:
        """The visits, in order of arrival."""
        rng, persona = self.rng, self.person.persona
        gap = _GAPS[persona] * rng.choice((0.5, 0.8, 1.0, 1.3, 1.8)) * (1.0 if self.adult else 1.6)
        if self.person.birth >= self.first_day - 2 and self.first_day < self.last_day:
            self._stay(at(self.first_day, rng.uniform(1, 22)), "4", days=2, why=("Z3800",))
        day = self.first_day + int(rng.uniform(0, gap)) + 4
        delivered = False
        while day < self.last_day:
            chance = rng.random()
            if persona == "mother" and not delivered and chance < 0.5:
                delivered = True
                self._stay(at(day, rng.uniform(1, 22)), "1", days=rng.randint(2, 4), why=("O80", "Z370"))
            elif persona == "elective" and chance < 0.4:
                self._elective(day)
            elif chance < _STAYS[persona]:
                self._admission(day)
            elif chance > 0.93:
                self._short(day)
            else:
                self._emergency(day)
            busy = max((day_of(v.departed or v.arrived) for v in self.visits), default=day)
            day = max(day, busy, self.clear_until) + APART + int(rng.expovariate(1.0 / gap))
        self._edges()
        self._still_in()
        return sorted(self.visits, key=lambda visit: visit.arrived)

    # -- episodes ------------------------------------------------------------------------------------------------------

    def _emergency(self, day: int) -> None:
        """An attendance that ends at home or elsewhere, sometimes with a second one on the same day."""
        rng = self.rng
        arrived = at(day, rng.uniform(0.3, 15) if rng.random() < 0.1 else rng.uniform(0.3, 22.5))
        ward = rng.choice(self.hospitals)
        code = rng.choices(("01", "06", "07", "21", "02", "65"), (80, 5, 6, 2, 4, 3))[0]
        left = arrived + int(rng.uniform(1, 8) * HOUR)
        first = self._add(ward, "emergency", arrived, departed=left, disposition=code)
        if first and code == "01" and first.departed and rng.random() < 0.07:
            again = first.departed + int(rng.uniform(2.5, 6) * HOUR)
            if day_of(again) == day:
                self._add(rng.choice(self.hospitals), "emergency", again, departed=again + 2 * HOUR, disposition="01")

    def _short(self, day: int) -> None:
        """An episode that does not count: observation, clinic visit, plan."""
        rng = self.rng
        arrived, ward = at(day, rng.uniform(6, 20)), rng.choice(self.hospitals)
        what = rng.choice(("observed", "direct", "clinic", "plan"))
        if what == "plan":
            self._add(ward, "expected", arrived, admission_type="3")
        elif what == "clinic":
            self._add(ward, "outpatient", arrived, departed=arrived + 2 * HOUR, disposition="01")
        else:
            departed = arrived + int(rng.uniform(14, 40) * HOUR)
            self._add(
                ward, "observation", arrived, departed=departed, disposition="01", from_emergency=what == "observed"
            )

    def _elective(self, day: int) -> None:
        self._stay(at(day, self.rng.uniform(6, 10)), "3", days=self.rng.randint(1, 5), why=("Z471",))

    def _admission(self, day: int) -> None:
        """An unplanned stay, by one of the routes of admission, and the episodes that follow."""
        rng = self.rng
        arrived, ward = at(day, rng.uniform(0.3, 22.5)), rng.choice(self.hospitals)
        days = rng.randint(1, 8)
        kind = rng.choice("1112")
        way = rng.random()
        if way < 0.45:
            stay = self._stay(arrived, kind, days=days, ward=ward, emergency_hours=rng.uniform(1, 9))
        elif way < 0.6:  # the admission has a visit number of its own
            code = rng.choice(("09", "09", "02"))
            other = ward if code == "09" else self._other(ward)
            attended = self._add(ward, "emergency", arrived, departed=arrived + 5 * HOUR, disposition=code)
            if attended is None or attended.departed is None:
                return
            stay = self._stay(attended.departed + rng.randint(10, 300) * MINUTE, kind, days=days, ward=other)
        else:
            stay = self._stay(arrived, kind, days=days, ward=ward)
        if stay is not None and stay.departed is not None:
            self._afterwards(stay, stay.departed)

    def _afterwards(self, stay: Visit, departed: int) -> None:
        """A transfer, a quick or planned return, or a nursing-facility stay, by the disposition."""
        rng = self.rng
        if stay.disposition == "02":
            onward = departed + int(rng.choice((rng.uniform(1, 5), rng.uniform(7, 20))) * HOUR)
            self._stay(onward, "1", days=3, ward=self._other(stay.sender), source="4", plain=True)
        elif stay.disposition in ("81", "86"):
            back = at(day_of(departed) + rng.randint(4, 24), 9.5)
            self._stay(back, rng.choice("29"), days=2, ward=stay.sender, plain=True)
            self.clear_until = day_of(departed) + PLANNED_WITHIN
        elif stay.disposition == "06":  # back again: on the next day it is the same stay, two days later another
            back = at(day_of(departed) + rng.randint(1, 2), rng.uniform(1, 22))
            self._stay(back, "1", days=2, ward=stay.sender, plain=True)
        elif stay.disposition in ("03", "64"):
            arrived = departed + int(rng.uniform(0.5, 4) * HOUR)
            days = rng.choices((rng.randint(4, 40), 90, 91), (90, 5, 5))[0]
            if day_of(arrived) + days > self.last_day - 2 and days > 60:
                days = 20  # a long stay that is still open has no length yet
            place = rng.choice(NURSING)
            left = at(day_of(arrived) + days, rng.uniform(8, 18))
            self._add(place.sender, "snf", arrived, departed=left, disposition="01", source="4")
            if rng.random() < 0.4:  # back again: after a week, or elsewhere after a day, it is another stay
                gap = rng.choice((1, 2, 7, 8))
                again = rng.choice(NURSING)
                arrived = at(day_of(left) + gap, rng.uniform(9, 16))
                left = at(day_of(arrived) + rng.randint(3, 20), 10)
                self._add(again.sender, "snf", arrived, departed=left, disposition="01", source="4")

    def _edges(self) -> None:
        """Attendances on the first day of a look-back, and on the day before it."""
        rng = self.rng
        if self.person.persona not in ("frequent", "justice"):
            return
        for months in (6, 12):
            day = months_back(self.last_day, months) - (rng.random() < 0.5)
            near = (
                min(abs(day_of(moment) - day) for moment in (v.arrived, v.departed or v.arrived)) < APART
                or v.arrived <= at(day, 12) <= (v.departed or self.cutoff)
                for v in self.visits
            )
            if day > self.first_day and not any(near):
                noon = at(day, 12)
                self._add(rng.choice(self.hospitals), "emergency", noon, departed=noon + 3 * HOUR, disposition="01")

    def _still_in(self) -> None:
        """For a few, a stay that has not ended."""
        day = self.last_day - 2
        ended = all(v.departed is not None and day_of(v.departed) + APART < day for v in self.visits)
        if ended and self.clear_until < day and self.first_day < day and self.rng.random() < 0.08:
            self._stay(at(day, self.rng.uniform(1, 20)), "1", days=20, plain=True)

    # -- parts ---------------------------------------------------------------------------------------------------------

    def _other(self, ward: str) -> str:
        return self.rng.choice([each for each in self.hospitals if each != ward])

    def _stay(
        self,
        arrived: int,
        admission_type: str,
        days: int,
        ward: str = "",
        emergency_hours: float = 0.0,
        why: tuple[str, ...] = (),
        source: str = "1",
        plain: bool = False,
    ) -> Visit | None:
        """A stay; `plain`: it ends at home, without a follow-up."""
        rng = self.rng
        admitted = arrived + int(emergency_hours * HOUR)
        departed = at(day_of(admitted) + days, rng.uniform(8, 20))
        eventful = admission_type in "12" and not why and not plain
        codes = ("01", "02", "03", "64", "06", "81", "86", "07")
        disposition = rng.choices(codes, (48, 6, 20, 4, 8, 4, 2, 3))[0] if eventful else "01"
        return self._add(
            ward or rng.choice(self.hospitals),
            "inpatient",
            arrived,
            admitted=admitted,
            departed=departed,
            disposition=disposition,
            admission_type=admission_type,
            from_emergency=emergency_hours > 0,
            why=why,
            source=source,
        )

    def _add(
        self,
        sender: str,
        kind: str,
        arrived: int,
        admitted: int | None = None,
        departed: int | None = None,
        disposition: str = "",
        admission_type: str = "",
        from_emergency: bool = False,
        why: tuple[str, ...] = (),
        source: str = "1",
    ) -> Visit | None:
        """Add a visit, cut at the cutoff; None for one that begins later."""
        arrived = _whole(arrived)
        if arrived > self.cutoff:
            return None
        serial = f"{self.person.index:05d}{len(self.visits):03d}"
        prior = ""
        visit_number = f"V{serial}"
        if admitted is not None:
            admitted = max(_whole(admitted), arrived + HOUR) if from_emergency else arrived
            if admitted > self.cutoff:
                kind, admitted, departed = "emergency", None, None
        if departed is not None:
            departed = max(_whole(departed), (admitted or arrived) + HOUR)
            if departed > self.cutoff:
                departed = None
        if kind == "inpatient" and from_emergency and DIALECTS[sender].admits_by == "A06 renumbered":
            prior, visit_number = visit_number, f"W{serial}"
        visit = Visit(
            person=self.person.index,
            sender=sender,
            facility=DIALECTS[sender].facility,
            number=self.person.number(sender),
            visit=visit_number,
            kind=kind,
            arrived=arrived,
            admitted=admitted,
            departed=departed,
            from_emergency=from_emergency and kind != "emergency",
            admission_type=admission_type or ("1" if kind == "emergency" else ""),
            source=source,
            disposition=disposition if departed is not None else "",
            working=(self.rng.choice(BENIGN),),
            diagnoses=self._diagnoses(why) if departed is not None else (),
            prior=prior,
        )
        if departed is None:
            visit = _as_written(visit)
        self.visits.append(visit)
        return visit

    def _diagnoses(self, why: tuple[str, ...]) -> tuple[str, ...]:
        found = [*why] or [self.rng.choice(BENIGN)]
        if self.listed and self.rng.random() < 0.6:
            found.append(self.rng.choice(LISTED))
        if self.homeless:
            found.append("Z5902")
        return tuple(found)


def _whole(instant: int) -> int:
    """The instant to the second, moved out of the repeated hour of a time change."""
    return OFFSETS.unrepeated(instant - instant % 1000)


def _as_written(visit: Visit) -> Visit:
    """A visit that has not ended is not coded: it has its working diagnoses."""
    return msgspec.structs.replace(visit, diagnoses=visit.working)
