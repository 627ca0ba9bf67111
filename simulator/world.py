"""True facts: visits, custody and merges, before messages are written about them.

Instants are milliseconds UTC. Codes are NUBC (admission type, point of origin, discharge status), before translation to
a sender's dialect.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from simulator.people import Person

ZONE: Final = ZoneInfo("America/Los_Angeles")
MINUTE: Final = 60_000
HOUR: Final = 3_600_000
DAY: Final = 86_400_000
_EPOCH: Final = date(1970, 1, 1).toordinal()


class Visit(msgspec.Struct, frozen=True):
    """One true visit at the end of the simulation.

    `kind`: emergency, inpatient, observation, snf, outpatient, expected. `departed` None: the person is still there
    (or, for an expected one, never came). `number` is the patient number in its messages, `visit` the last visit
    number, `prior` the one that an admission replaced. `course` is the irregularity of its messages.
    """

    person: int
    sender: str
    facility: str
    number: str
    visit: str
    kind: str
    arrived: int
    admitted: int | None = None
    departed: int | None = None
    from_emergency: bool = False
    admission_type: str = ""
    source: str = ""
    disposition: str = ""
    working: tuple[str, ...] = ()
    """Diagnoses as first entered; `diagnoses` are the final ones."""
    diagnoses: tuple[str, ...] = ()
    cancelled: bool = False
    course: str = ""
    prior: str = ""
    registered: int | None = None
    """The person under whose record it was entered, if that is another one; `number` is that person's."""
    account: str = ""
    """PID-18, where it is sent."""
    shared: str = ""
    """The number in its messages, where other visits have it too; `visit` is then the name that the rules give it."""
    nobodys: bool = False
    """Its number is refused, so that it counts for no member."""


def number_sent(visit: Visit) -> str:
    """The last visit number in the messages of a visit."""
    return visit.shared or visit.visit


class Custody(msgspec.Struct, frozen=True):
    """One true custody event: booked, scheduled, released."""

    person: int
    record_id: str
    kind: str
    facility: str
    facility_type: str
    occurred: int | None
    scheduled: int | None = None


class Merger(msgspec.Struct, frozen=True):
    """An entry about two patient numbers, recorded at `at` (ms UTC); `person` has the number `survivor`.

    By `trigger`: A40 merges `retired` into `survivor`, A24 links the two, A37 takes either back, A45 moves `visit` and
    A44 `account` from `retired` to `survivor`. `other` is the person of `retired`, if that is another one.
    """

    person: int
    sender: str
    survivor: str
    retired: str
    at: int
    trigger: str = "A40"
    other: int | None = None
    visit: str = ""
    account: str = ""


class Death(msgspec.Struct, frozen=True):
    """An entry about the death of a person, recorded at `at` (ms UTC).

    `when` is PID-29 (ms UTC), `flag` PID-30: Y, or N and `""` to take it back. `visit`: told by an A08 about that
    visit, else by an A31.
    """

    person: int
    sender: str
    at: int
    flag: str
    when: int | None = None
    visit: Visit | None = None


class World(msgspec.Struct, frozen=True):
    """Everything that is true at `end` (ms UTC)."""

    people: tuple[Person, ...]
    visits: tuple[Visit, ...]
    custody: tuple[Custody, ...]
    mergers: tuple[Merger, ...]
    end: int
    deaths: tuple[Death, ...] = ()
    shown: dict[tuple[int, str], Person] = {}
    """(person, sender) -> the person as that sender writes them, where birth date or CIN are wrong."""

    def as_written(self, person: int, sender: str) -> Person:
        """The person as a sender writes them."""
        return self.shown.get((person, sender), self.people[person])

    def died(self, person: int) -> bool:
        """Whether the person is dead by what was told last."""
        told = [death for death in self.deaths if death.person == person]
        return bool(told) and max(told, key=lambda death: death.at).flag == "Y"


class Offsets:
    """California's offset from UTC by a table, which is faster than `zoneinfo` for each message."""

    def __init__(self, first_year: int = 1969, last_year: int = 2060) -> None:
        self.changes: list[int] = []
        self.offsets: list[int] = []
        moment = datetime(first_year, 1, 1, tzinfo=UTC)
        last = datetime(last_year, 1, 1, tzinfo=UTC)
        before: int | None = None
        while moment < last:  # one look-up a day, then a search for the change within the day
            offset = self._at(moment)
            if offset != before:
                change = moment
                while before is not None and self._at(change - timedelta(minutes=15)) == offset:
                    change -= timedelta(minutes=15)
                self.changes.append(int(change.timestamp()) * 1000)
                self.offsets.append(offset)
                before = offset
            moment += timedelta(days=1)

    @staticmethod
    def _at(moment: datetime) -> int:
        offset = moment.astimezone(ZONE).utcoffset()
        assert offset is not None
        return int(offset.total_seconds()) * 1000

    def at(self, instant: int) -> int:
        """The offset in milliseconds at `instant` (ms UTC)."""
        return self.offsets[bisect_right(self.changes, instant) - 1]

    def unrepeated(self, instant: int) -> int:
        """`instant`, or a later instant if its wall time is in the repeated hour of a time change."""
        place = bisect_right(self.changes, instant + HOUR) - 1
        change = self.changes[place]
        if place and abs(instant - change) <= HOUR and self.offsets[place] < self.offsets[place - 1]:
            return change + HOUR + 1 + instant % HOUR
        return instant


OFFSETS: Final = Offsets(2015, 2045)


def day_of(instant: int) -> int:
    """The California day (ordinal) of an instant."""
    return _EPOCH + (instant + OFFSETS.at(instant)) // DAY


def at(day: int, hour: float) -> int:
    """The instant (ms UTC, whole seconds) at which California clocks show `hour` on `day` (ordinal)."""
    wall = (day - _EPOCH) * DAY + int(hour * 3600) * 1000
    guess = wall - OFFSETS.at(wall)
    return OFFSETS.unrepeated(wall - OFFSETS.at(guess))


@lru_cache(maxsize=16_384)
def months_back(day: int, months: int) -> int:
    """The day `months` calendar months before `day` (ordinals); clamped to the last day of its month."""
    given = date.fromordinal(day)
    year, month = given.year, given.month - months
    year, month = year + (month - 1) // 12, (month - 1) % 12 + 1
    for last in range(given.day, 27, -1):
        try:
            return date(year, month, last).toordinal()
        except ValueError:
            continue
    return date(year, month, given.day).toordinal()


def rfc3339(instant: int) -> str:
    """An instant (ms UTC) with California's offset: 2026-11-23T10:00:00-08:00 (milliseconds if there are any)."""
    offset = OFFSETS.at(instant)
    day, rest = divmod(instant + offset, DAY)
    second, thousandths = divmod(rest, 1000)
    fraction = f".{thousandths:03d}" if thousandths else ""
    hours = -offset // HOUR
    return f"{_iso(day)}T{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}{fraction}-{hours:02d}:00"


@lru_cache(maxsize=4096)
def _iso(day: int) -> str:
    return date.fromordinal(day + _EPOCH).isoformat()
