"""Deaths, deaths that were none, and newborns under their mother's CIN.

Each function makes one of them, if it can, and says whether it did.
"""

from __future__ import annotations

from typing import Final

import msgspec

from simulator.case import Case
from simulator.conditions import BENIGN, DELIVERY
from simulator.people import Person
from simulator.world import DAY, HOUR, Death, Visit, day_of

_ILL: Final = ("frequent", "complex", "justice")
"""Personas of which many are candidates, so that a death changes something."""


def _last_of_all(case: Case) -> Visit | None:
    """The last visit, if it has ended under the right number and none is open."""
    last = max(case.found.visits, key=lambda visit: visit.departed or visit.arrived, default=None)
    if last is None or last not in case.settled() or case.person.persona not in _ILL:
        return None
    return last if all(visit.departed is not None or visit.cancelled for visit in case.found.visits) else None


def died(case: Case) -> bool:
    """A death after the last visit."""
    last = _last_of_all(case)
    if last is None or last.departed is None:
        return False
    moment = case.moment(last.departed, 3)
    case.found.deaths.append(_told(case, last, moment))
    return True


def _told(case: Case, last: Visit, moment: int) -> Death:
    """A death told by A31 or by an A08, with or without its time."""
    when = moment - case.rng.randint(1, 5) * HOUR if case.rng.random() < 0.5 else None
    visit = last if case.rng.random() < 0.5 else None
    return Death(case.person.index, last.sender, moment, "Y", when, visit)


def death_taken_back(case: Case) -> bool:
    """A death that was told by mistake."""
    choices = case.settled()
    if not choices or case.person.persona not in _ILL:
        return False
    last = case.rng.choice(choices)
    assert last.departed is not None
    first = case.moment(last.departed, 3)
    back = Death(case.person.index, last.sender, case.moment(first, 5), case.rng.choice(("N", '""')))
    case.found.deaths += [_told(case, last, first), back]
    return True


def newborn(case: Case) -> bool:
    """A child under its mother's CIN: its stay and an attendance count for nobody."""
    births = [visit for visit in case.settled() if any(code.startswith(DELIVERY) for code in visit.diagnoses)]
    if not births or not case.person.member:
        return False
    mother, rng = births[0], case.rng
    sex = rng.choice("FM")
    child = msgspec.structs.replace(
        case.person,
        given="Babygirl" if sex == "F" else "Babyboy",
        sex=sex,
        birth=day_of(mother.arrived),
        persona="newborn",
        found_by="cin",
        exchanged=False,
    )
    assert mother.departed is not None
    stay = msgspec.structs.replace(
        mother,
        kind=rng.choice(("inpatient", "newborn")),
        arrived=mother.arrived + HOUR,
        admitted=mother.arrived + HOUR,
        admission_type="4",
        working=("Z3800",),
        diagnoses=("Z3800",),
        course="",
        nobodys=True,
    )
    seen = case.moment(mother.departed + 3 * DAY, 14)
    attendance = msgspec.structs.replace(
        stay,
        kind="emergency",
        arrived=seen,
        admitted=None,
        departed=seen + 2 * HOUR,
        admission_type="1",
        working=(BENIGN[0],),
        diagnoses=(BENIGN[0],),
    )
    last = case.cutoff - DAY
    case.found.newborns.append((child, [each for each in (stay, attendance) if (each.departed or 0) < last]))
    return True


def born(child: Person, visits: list[Visit], index: int) -> tuple[Person, list[Visit]]:
    """The child and its visits under its own index and numbers."""
    child = msgspec.structs.replace(child, index=index)
    return child, [
        msgspec.structs.replace(
            visit, person=index, number=child.number(visit.sender), visit=f"V{index:05d}{place:03d}", prior=""
        )
        for place, visit in enumerate(visits)
    ]
