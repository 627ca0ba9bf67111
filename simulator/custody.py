"""Custody in jail and youth facility: bookings and releases, and their documents for plans."""

from __future__ import annotations

from random import Random
from typing import Any

from simulator.people import Person
from simulator.world import DAY, Custody, at, months_back, rfc3339


def custody_of(person: Person, end_day: int, rng: Random) -> list[Custody]:
    """One or two times in custody in the last thirteen months, for members of the persona "justice".

    A second booking is more than forty days after the first release and lasts less than thirty. Some releases are a day
    inside or outside of a look-back of twelve months.
    """
    if person.persona != "justice" or not person.member:
        return []
    adult = end_day - person.birth >= 21 * 366
    facility, kind = ("cedar-county-jail", "jail") if adult else ("camp-alder", "youth-facility")
    edge = rng.random()
    if edge < 0.15:
        released = months_back(end_day, 12) + 1
    elif edge < 0.3:
        released = months_back(end_day, 12) - 1
    else:
        released = end_day - rng.randint(2, 390)
    events: list[Custody] = []
    for turn in range(2):
        record = f"J{person.index:05d}{turn}"
        freed = at(released, rng.uniform(7, 17))
        booked = freed - int(rng.uniform(1.5, 20) * DAY) // 1000 * 1000
        events.append(Custody(person.index, f"{record}B", "booked", facility, kind, booked))
        events.append(Custody(person.index, f"{record}R", "released", facility, kind, freed))
        released += rng.randint(70, 160)
        if released > end_day - 2 or rng.random() < 0.6:
            break
    if rng.random() < 0.15:
        planned = at(end_day + rng.randint(5, 60), 9)
        events.append(Custody(person.index, f"J{person.index:05d}S", "scheduled", facility, kind, None, planned))
    return events


def custody_row(event: Custody, person: Person) -> dict[str, Any]:
    """The custody document (docs/records.md#custodyrawv1)."""
    return {
        "record_id": event.record_id,
        "kind": event.kind,
        "facility": event.facility,
        "facility_type": event.facility_type,
        "occurred": None if event.occurred is None else rfc3339(event.occurred),
        "scheduled": None if event.scheduled is None else rfc3339(event.scheduled),
        "cin": person.cin,
        "identifiers": [{"authority": "JAIL", "number": f"B{person.index:06d}"}],
        "source": "mif",
    }
