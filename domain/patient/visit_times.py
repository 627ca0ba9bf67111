"""The times of one visit: arrival, admission and departure, with the trigger and field that gave each.

Rules: docs/semantics.md#visit-times.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from domain.patient.events import DELETED, When
from domain.patient.reading import CONFIRMING, STAYS, Reading, value_of
from domain.patient.statements import ARRIVALS, CANCELS, PLANS, Statement
from domain.times import HOUR, day_start, local_day

REVISION_LIMIT: Final = 48 * HOUR
"""How far the PV1-44 or PV1-45 of an update may move a time that an arrival or departure message gave."""


class Times(msgspec.Struct, frozen=True, gc=False):
    """The times of a visit, ms UTC, with the trigger and field that gave each."""

    arrived: int | None
    departed: int | None
    how: dict[str, str]
    how_departed: str = ""
    overruled: tuple[str, ...] = ()
    precision: dict[str, str] = {}


def times_of(status: str, reading: Reading, statements: Sequence[Statement]) -> Times:
    """The times of a visit of that status.

    A date without a time is the first moment of the day as an arrival and the last second as a departure, so a visit
    never ends before it begins.
    """
    arrived, how, day, refused_arrival = _arrival(status, reading, statements)
    precision = {"arrived": "day"} if day else {}
    departed, how_departed, refused_departure = None, "", False
    if status in ("open", "closed"):
        departure = departs_at(reading)
        if departure is not None:
            when, how_departed, refused_departure = departure
            departed = when.at
            if when.whole_day:
                departed = day_start(local_day(when.at) + 1) - 1000
                precision["departed"] = "day"
            if arrived is not None and departed < arrived:
                # One of the two is wrong. The visit is closed, so its length is 0 and not negative.
                departed = arrived
    refused = (("PV1-44", refused_arrival), ("PV1-45", refused_departure))
    overruled = tuple(field for field, was_refused in refused if was_refused)
    return Times(arrived, departed, how, how_departed, overruled, precision)


def _arrival(
    status: str, reading: Reading, statements: Sequence[Statement]
) -> tuple[int | None, dict[str, str], bool, bool]:
    """(arrived, how, whether it is a day, whether the PV1-44 of an update was overruled)."""
    register = reading.winners
    revision: When | None = value_of(register, "arrival_revision")
    if status == "hearsay":
        assert revision is not None
        return revision.at, {"arrived": "A08 PV1-44"}, revision.whole_day, False
    if status in ("expected", "cancelled"):
        of = PLANS if status == "expected" else ARRIVALS | PLANS | CONFIRMING | frozenset(CANCELS)
        first = min((s for s in statements if s.trigger in of), key=lambda s: (s.when.at, s.rank))
        return first.when.at, _how(first), first.when.whole_day, False
    if not reading.arrivals:
        return (*_arrival_without_trigger(reading), False)
    first = min(reading.arrivals, key=lambda s: (s.when.at, s.rank))
    when = first.when
    deleted = register.get("arrival_revision") or register.get("arrival_claim")
    taken_back = deleted is not None and deleted[1] == DELETED and deleted[2].trigger not in CANCELS
    if deleted is not None and taken_back and deleted[0] > first.rank and when.source == "PV1-44":
        # A cancel of the admission alone leaves the arrival, and its time, as they are.
        when = When(first.recorded, False, "EVN-2")
    arrived, how = when.at, {"arrived": f"{first.trigger} {when.source}"}
    if revision is None or register["arrival_revision"][0] < first.rank or revision.at == arrived:
        return arrived, how, when.whole_day, False
    # An update repeats the system's current admission time. In a visit with an arrival and an admission it is about the
    # nearer of the two.
    admission = min((s.when.at for s in reading.arrivals if s.patient_class in STAYS), default=arrived)
    if abs(revision.at - admission) < abs(revision.at - arrived):
        return arrived, how, when.whole_day, abs(revision.at - admission) > REVISION_LIMIT
    if revision.whole_day and local_day(revision.at) == local_day(arrived):
        return arrived, how, when.whole_day, False
    if abs(revision.at - arrived) > REVISION_LIMIT:
        return arrived, how, when.whole_day, True
    return revision.at, {"arrived": "A08 PV1-44"}, revision.whole_day, False


def _arrival_without_trigger(reading: Reading) -> tuple[int, dict[str, str], bool]:
    """(arrived, how, whether it is a day) of a visit whose arrival message is not known."""
    register = reading.winners
    for name in ("arrival_claim", "arrival_revision"):
        value: When | None = value_of(register, name)
        if value is not None:
            return value.at, {"arrived": f"{register[name][2].trigger} PV1-44"}, value.whole_day
    first = min(reading.confirming, key=lambda s: (s.when.at, s.rank))
    departure = departs_at(reading)
    at = first.when.at if departure is None else min(first.when.at, departure[0].at)
    return at, _how(first), first.when.whole_day


def departs_at(reading: Reading) -> tuple[When, str, bool] | None:
    """(when, how, whether a PV1-45 was overruled) of the departure recorded last; None for a visit that is open.

    Where there is none, the PV1-45 of an update ends the stay if its sender announces stays by updates. An update with
    `""` in PV1-45 takes the departure back.
    """
    register = reading.winners.get("departure_revision")
    revision: When | None = value_of(reading.winners, "departure_revision")
    last = reading.departure
    if last is None:
        if revision is not None and register is not None and register[2].creates:
            return revision, "A08 PV1-45", False
        return None
    if register is not None and register[0] > last.rank and register[1] == DELETED and register[2].trigger != "A13":
        return None
    when, how = last.when, f"{last.trigger} {last.when.source}"
    if revision is None or register is None or register[0] < last.rank or revision.at == when.at:
        return when, how, False
    if abs(revision.at - when.at) > REVISION_LIMIT:
        return when, how, True
    return revision, f"{register[2].trigger} PV1-45", False


def admission_of(arrived: int | None, marks: Sequence[Statement]) -> tuple[int | None, str]:
    """(when the visit became inpatient, the trigger and field that gave it or "")."""
    inpatient = [s for s in marks if s.patient_class in STAYS]
    earliest = min(inpatient, key=lambda s: (s.when.at, s.rank), default=None)
    if earliest is None or (earliest.when.at == arrived and arrived is not None):
        return arrived, "" if earliest is None else f"{earliest.trigger} {earliest.when.source}"
    at = earliest.when.at if arrived is None else max(earliest.when.at, arrived)
    return at, f"{earliest.trigger} {earliest.when.source}"


def _how(statement: Statement) -> dict[str, str]:
    return {"arrived": f"{statement.trigger} {statement.when.source}"}
