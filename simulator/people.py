"""The people of the county: members with their roster rows, and others."""

from __future__ import annotations

from datetime import date
from random import Random
from typing import Any, Final

import msgspec

from simulator.places import DIALECTS

_FAMILIES: Final = (
    "Abarca", "Bellweather", "Castellane", "Dunmore", "Eastgrove", "Fairwind", "Gallindo", "Hartsong",
    "Ibarrola", "Juniper", "Kestrell", "Larkspur", "Moreau", "Nightingale", "Okonjo", "Peñaflor",
    "Quillfeather", "Rosenthorn", "Santibanez", "Tamarind", "Underhill", "Valdespino", "Winterbourne",
    "Xanthis", "Yarrow", "Zamorano", "O'Malveny", "Nuñez", "Threlkeld", "Vandermoor",
)  # fmt: skip
_GIVEN: Final = (
    "Ana", "Bruno", "Celia", "Dario", "Elena", "Felix", "Gloria", "Hugo", "Inés", "Joaquin", "Karla", "Leon",
    "Maya", "Nico", "Olga", "Pablo", "Rosa", "Simon", "Teresa", "Ugo", "Vera", "Walter", "Ximena", "Yusef",
    "Zora",
)  # fmt: skip
_LETTERS: Final = "ACDEFGHMNTUVWXYZ"
_PLANS: Final = {
    "Los Angeles": ("lacare", "healthnet"),
    "San Joaquin": ("hpsj", "healthnet"),
    "Fresno": ("calviva",),
    "San Bernardino": ("iehp",),
    "Imperial": ("chpiv",),
}
_COUNTIES: Final = ("Los Angeles",) * 5 + ("San Joaquin",) * 3 + ("Fresno", "San Bernardino", "Imperial")
_EXCLUDING: Final = ("pace", "hospice")
_HARMLESS: Final = ("ihss", "cbas")

_ADULTS: Final = (
    *("quiet", "quiet", "quiet", "frequent", "frequent"),
    *("complex", "complex", "justice", "elective", "mother"),
)
_YOUTHS: Final = ("quiet", "quiet", "frequent", "frequent", "complex", "justice")


class Program(msgspec.Struct, frozen=True):
    """A program on a roster row; days are YYYY-MM-DD, `to` None: open."""

    id: str
    start: str
    to: str | None
    verified: bool


class Person(msgspec.Struct, frozen=True):
    """One person. `birth` is a day (ordinal). `found_by`: `cin` in messages, or `roster` for numbers on the roster
    alone."""

    index: int
    family: str
    given: str
    birth: int
    sex: str
    zip: str
    phone: str
    street: str
    county: str
    persona: str
    cin: str = ""
    """Empty for people without a plan."""
    plan: str = ""
    enrolled_from: str | None = None
    enrolled_to: str | None = None
    aid_codes: tuple[str, ...] = ()
    programmes: tuple[Program, ...] = ()
    ecm: tuple[str, str, str | None] | None = None
    """(status, from, to) as the plan states it."""
    found_by: str = "cin"
    exchanged: bool = False
    """Whether the exchange repeats this person's visits."""

    @property
    def member(self) -> str:
        """The member ID; "" for a person who is not on the roster."""
        return self.cin

    def number(self, sender: str) -> str:
        """The person's own patient number at a sender."""
        return f"{100_000 + self.index}" if sender != "golden-exchange" else f"G{self.index:07d}"

    def wrong_number(self) -> str:
        """A second patient number that was given to the same person by mistake."""
        return f"{800_000 + self.index}"


def cin_of(index: int) -> str:
    """A well-formed CIN, unique below a million people."""
    return f"9{(index * 7_919 + 1_234_567) % 10_000_000:07d}{_LETTERS[index % len(_LETTERS)]}"


def make_person(index: int, end_day: int, rng: Random, member: bool) -> Person:
    """A person of the county; `end_day` (ordinal) is the day of the true result."""
    county = rng.choice(_COUNTIES)
    youth = rng.random() < 0.32
    turning = rng.random() < 0.02
    if turning:  # a 21st birthday shortly before or after `end_day`
        age_days = 7_670 + rng.randint(-40, 160)
    elif youth:
        age_days = rng.randint(200, 7_200)
    else:
        age_days = rng.randint(8_100, 31_000)
    persona = rng.choice(_YOUTHS if youth and not turning else _ADULTS)
    if turning:
        persona = "frequent"
    sex = "F" if persona == "mother" else rng.choice("FM")
    if persona == "mother":
        age_days = rng.randint(8_100, 15_000)
    born = date.fromordinal(end_day - age_days)
    if (born.month, born.day) == (2, 29):  # the rules leave the birthday of such a person open
        age_days += 1
    person = Person(
        index=index,
        family=rng.choice(_FAMILIES),
        given=rng.choice(_GIVEN),
        birth=end_day - age_days,
        sex=sex,
        zip=f"9{rng.randint(0, 5)}{rng.randint(100, 999)}",
        phone=f"213-555-01{rng.randint(0, 99):02d}",
        street=f"{rng.randint(10, 9_999)} {rng.choice(('Alder St', 'Oak & 4th', 'Mission Way', 'Harbor Rd'))}",
        county=county,
        persona=persona,
        exchanged=rng.random() < 0.5,
    )
    return _enroll(person, end_day, rng) if member else person


def _enroll(person: Person, end_day: int, rng: Random) -> Person:
    enrolled_from, enrolled_to = "2022-01-01", None
    chance = rng.random()
    if chance < 0.04:  # left the plan long before anything below happened
        enrolled_to = date.fromordinal(end_day - 1_000).isoformat()
        enrolled_from = "2020-01-01"
    elif chance < 0.08:  # joined, or left, somewhere on the way
        day = date.fromordinal(end_day - rng.randint(40, 200)).isoformat()
        if rng.random() < 0.5:
            enrolled_from = day
        else:
            enrolled_to = day
    former_foster = 6_700 < end_day - person.birth < 8_900 and rng.random() < 0.3
    return msgspec.structs.replace(
        person,
        cin=cin_of(person.index),
        plan=rng.choice(_PLANS[person.county]),
        enrolled_from=enrolled_from,
        enrolled_to=enrolled_to,
        aid_codes=("4M",) if former_foster else (rng.choice(("M1", "M3", "60")),),
        programmes=_programs(end_day, rng),
        ecm=_ecm(end_day, rng),
        found_by="roster" if rng.random() < 0.15 else "cin",
    )


def _programs(end_day: int, rng: Random) -> tuple[Program, ...]:
    chance = rng.random()
    start = date.fromordinal(end_day - rng.randint(100, 700)).isoformat()
    if chance < 0.03:
        return (Program(rng.choice(_EXCLUDING), start, None, True),)
    if chance < 0.05:
        return (Program(rng.choice(_EXCLUDING), start, None, False),)
    if chance < 0.06:  # it is over
        return (Program("pace", "2022-01-01", date.fromordinal(end_day - rng.randint(5, 90)).isoformat(), True),)
    if chance < 0.10:
        return (Program(rng.choice(_HARMLESS), start, None, True),)
    return ()


def _ecm(end_day: int, rng: Random) -> tuple[str, str, str | None] | None:
    if rng.random() >= 0.06:
        return None
    return "enrolled", date.fromordinal(end_day - rng.randint(60, 400)).isoformat(), None


def roster_row(person: Person) -> dict[str, Any]:
    """The member's roster document (docs/records.md#membersrosterv1)."""
    identifiers = (
        [{"authority": dialect.authority, "number": person.number(sender)} for sender, dialect in DIALECTS.items()]
        if person.found_by == "roster"
        else []
    )
    return {
        "member_id": person.member,
        "cin": person.cin,
        "birth_date": date.fromordinal(person.birth).isoformat(),
        "plan": person.plan,
        "county": person.county,
        "enrolled_from": person.enrolled_from,
        "enrolled_to": person.enrolled_to,
        "identifiers": identifiers,
        "aid_codes": list(person.aid_codes),
        "name": f"{person.family}, {person.given}",
        "sex": person.sex,
        "zip": person.zip,
        "phone": person.phone,
        "programmes": [
            {"id": each.id, "from": each.start, "to": each.to, "verified": each.verified} for each in person.programmes
        ],
        "ecm": None
        if person.ecm is None
        else {"status": person.ecm[0], "from": person.ecm[1], "to": person.ecm[2], "provider": "Meadowlark Care"},
        "delegate": None,
    }
