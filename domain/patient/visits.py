"""Read one visit out of the statements about it.

`read_visit` turns a set of statements (`domain.patient.statements`) into a `Visit`, or None when they do not amount to
one. It is a function of the set, so the order in which messages came has no influence. Rules:
docs/semantics.md#visit-status, #visit-times, #classes and #cancels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from domain.discharge import disposition_group
from domain.patient.events import DELETED, When
from domain.patient.statements import (
    ARRIVALS,
    CANCELS,
    CLASS_MARKS,
    PLANS,
    Statement,
    Winners,
    is_interim,
    winners,
)
from domain.snapshots import Source, Visit
from domain.times import HOUR, MINUTE, day_start, local_day

REVISION_LIMIT: Final = 48 * HOUR
"""How far the PV1-44 or PV1-45 of an update may move a time that an arrival or departure message gave."""

_ANNOUNCED: Final = frozenset({"emergency", "inpatient", "observation", "snf", "custody", "obstetrics"})
"""Classes that an update may announce a visit with."""
_CONFIRMING: Final = CLASS_MARKS | {"A02", "A03"}
_STAYS: Final = ("inpatient", "obstetrics")


class Reading(msgspec.Struct, frozen=True, gc=False):
    """The statements of one visit, sorted out: what stands, and what was taken back."""

    winners: Winners
    standing: list[Statement]
    cancelled: list[Statement]
    arrivals: list[Statement]
    confirming: list[Statement]
    """A02, A03, A06, A07 that are later than every cancel of an arrival."""
    departure: Statement | None
    """The departure recorded last, interim ones aside."""
    plans: list[Statement]
    revoked: bool
    """An arrival was taken back, or an A11 denies one that is not known."""


def read_visit(statements: Sequence[Statement], numbered: bool = True) -> Visit | None:
    """The visit that `statements` amount to, or None.

    `numbered`: the visit has a number of its own; only such a one can be hearsay of an A08.
    """
    reading = _sort_out(statements)
    status = status_of(reading, numbered)
    if status is None:
        return None
    times = times_of(status, reading, statements)
    patient_class, marks = class_of(reading)
    how, admitted = times.how, None
    if patient_class in _STAYS:
        admitted, source = _admission(times.arrived, marks)
        how = {**how, "admitted": source or how.get("arrived", "")}
    if times.departed is not None:
        how = {**how, "departed": times.how_departed}
    left = times.departed is not None
    register = reading.winners
    disposition = _text(register, "disposition") if left else ""
    return Visit(
        status=status,
        patient_class=patient_class,
        arrived=times.arrived,
        admitted=admitted,
        departed=times.departed,
        facility=_text(register, "facility"),
        facility_type=_text(register, "facility_type"),
        admission_type=_text(register, "admission_type"),
        source=_text(register, "admit_source"),
        disposition=disposition,
        disposition_group=disposition_group(disposition),
        destination=_text(register, "destination") if left else "",
        diagnoses=tuple(sorted(set(_value(register, "diagnoses") or ()))),
        flags=_flags(status, patient_class, reading, marks),
        how=how,
        messages=_messages(reading, statements),
        overruled=times.overruled,
        precision=times.precision,
    )


def _sort_out(statements: Sequence[Statement]) -> Reading:
    last = _last_of_each_trigger(statements)
    standing, cancelled = split_by_cancels(statements, last)
    arrivals = [s for s in standing if s.trigger in ARRIVALS]
    # An arrival that was taken back, and an A11 of one that is not known, deny the visit up to their own rank.
    denials = [s.rank for s in statements if s.trigger == "A11"]
    denials += [s.rank for s in statements if s.trigger == "A23"]
    denied = max(denials, default=None)
    named = [s for s in standing if s.trigger in _CONFIRMING]
    confirming = [s for s in named if denied is None or s.rank > denied]
    taken_back = any(s.trigger in ARRIVALS for s in cancelled) or (denied is not None and bool(named))
    left = [s for s in standing if s.trigger == "A03" and not is_interim(s)]
    return Reading(
        winners=winners(statements),
        standing=standing,
        cancelled=cancelled,
        arrivals=arrivals,
        confirming=confirming,
        departure=max(left, key=lambda s: (s.rank, s.when.at), default=None),
        plans=[s for s in standing if s.trigger in PLANS],
        revoked=taken_back and not arrivals and not confirming,
    )


def _last_of_each_trigger(statements: Iterable[Statement]) -> dict[str, Statement]:
    """Of the arrivals, and of the plans, of one trigger the statement recorded last: a time that was sent again is
    corrected. (Of departures too, but there cancels are looked at first: `Reading.departure`.)
    """
    last: dict[str, Statement] = {}
    for statement in statements:
        known = last.get(statement.trigger)
        if statement.trigger in ARRIVALS and (
            known is None or (statement.rank, statement.when.at) >= (known.rank, known.when.at)
        ):
            last[statement.trigger] = statement
    return last


def split_by_cancels(
    statements: Sequence[Statement], last: dict[str, Statement]
) -> tuple[list[Statement], list[Statement]]:
    """(statements that stand, statements that a cancel took back). Superseded arrivals are in neither.

    A cancel takes back statements of its triggers up to its own rank. Its EVN-6 names one, compared to the minute; if
    it is empty or names none, it takes back all. An A11 that leaves the visit in class emergency takes back the
    admission alone.
    """
    candidates = [
        s for s in statements if s.trigger not in CANCELS and (s.trigger not in ARRIVALS or last[s.trigger] is s)
    ]
    taken: set[int] = set()
    for cancel in statements:
        if cancel.trigger in CANCELS:
            taken.update(id(s) for s in _taken_back(cancel, candidates))
    return [s for s in candidates if id(s) not in taken], [s for s in candidates if id(s) in taken]


def _taken_back(cancel: Statement, candidates: Sequence[Statement]) -> list[Statement]:
    kinds = CANCELS[cancel.trigger]
    of_kind = [s for s in candidates if s.trigger in kinds]
    before = [s for s in of_kind if s.rank <= cancel.rank]
    if cancel.trigger == "A23":
        return before
    if cancel.occurred is not None:
        minute = cancel.occurred.at // MINUTE
        named = [s for s in before if s.when.at // MINUTE == minute]
        if named or any(s.when.at // MINUTE == minute for s in of_kind):
            return named
    if cancel.trigger == "A11" and cancel.patient_class == "emergency":
        admissions = [s for s in before if s.patient_class in _STAYS]
        if admissions and len(admissions) < len(before):
            return admissions
    return before


def status_of(reading: Reading, numbered: bool) -> str | None:
    """The status of a visit: the first line of docs/semantics.md#visit-status that applies; None for no visit."""
    closed = "open" if _departs_at(reading) is None else "closed"
    lines: tuple[tuple[bool, str], ...] = (
        (bool(reading.arrivals), closed),
        (bool(reading.confirming), closed),
        (not reading.revoked and is_announced(reading.winners, numbered), closed),
        (not reading.revoked and bool(reading.plans), "expected"),
        (is_hearsay(reading, numbered), "hearsay"),
        (reading.revoked or any(s.trigger in PLANS or s.trigger in ARRIVALS for s in reading.cancelled), "cancelled"),
    )
    return next((status for applies, status in lines if applies), None)


def is_hearsay(reading: Reading, numbered: bool) -> bool:
    """An A08 alone makes a visit only with a number, a PV1-44 and class E or I; another trigger must confirm it.

    An update that is later than a cancel says again what the cancel took back.
    """
    register = reading.winners.get("arrival_revision")
    if not numbered or register is None or register[1] == DELETED:
        return False
    return _value(reading.winners, "class") in ("emergency", *_STAYS) and any(
        s.trigger == "A08" for s in reading.standing
    )


def is_announced(register: Winners, numbered: bool) -> bool:
    """Whether the A08 that gives the arrival is of a sender that sends whole stays as updates.

    Then it needs a number and a PV1-44, as hearsay does, and any class that is a visit of its own; it counts. Since the
    mark is on the statement that holds PV1-44, neither the order of arrival nor what came before shows.
    """
    if not numbered or _value(register, "arrival_revision") is None or not register["arrival_revision"][2].creates:
        return False
    return _value(register, "class") in _ANNOUNCED


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

    A value that is a day stands for all of it: as an arrival for its first moment, as a departure for its last, so a
    visit never ends before it begins.
    """
    arrived, how, day, refused_arrival = _arrival(status, reading, statements)
    precision = {"arrived": "day"} if day else {}
    departed, how_departed, refused_departure = None, "", False
    if status in ("open", "closed"):
        departure = _departs_at(reading)
        if departure is not None:
            when, how_departed, refused_departure = departure
            departed = when.at
            if when.whole_day:
                departed = day_start(local_day(when.at) + 1) - 1000
                precision["departed"] = "day"
            if arrived is not None and departed < arrived:
                # Both cannot be right. The visit is over, so it is given no length rather than a negative one.
                departed = arrived
    refused = (("PV1-44", refused_arrival), ("PV1-45", refused_departure))
    overruled = tuple(field for field, was_refused in refused if was_refused)
    return Times(arrived, departed, how, how_departed, overruled, precision)


def _arrival(
    status: str, reading: Reading, statements: Sequence[Statement]
) -> tuple[int | None, dict[str, str], bool, bool]:
    """(arrived, how, whether it is a day, whether the PV1-44 of an update was overruled)."""
    register = reading.winners
    revision: When | None = _value(register, "arrival_revision")
    if status == "hearsay":
        assert revision is not None
        return revision.at, {"arrived": "A08 PV1-44"}, revision.whole_day, False
    if status in ("expected", "cancelled"):
        of = PLANS if status == "expected" else ARRIVALS | PLANS | _CONFIRMING | frozenset(CANCELS)
        first = min((s for s in statements if s.trigger in of), key=lambda s: (s.when.at, s.rank))
        return first.when.at, _how(first), first.when.whole_day, False
    if not reading.arrivals:
        return (*_arrival_without_trigger(reading), False)
    first = min(reading.arrivals, key=lambda s: (s.when.at, s.rank))
    when = first.when
    deleted = register.get("arrival_revision") or register.get("arrival_claim")
    if deleted is not None and deleted[1] == DELETED and deleted[0] > first.rank and when.source == "PV1-44":
        when = When(first.recorded, False, "EVN-2")
    arrived, how = when.at, {"arrived": f"{first.trigger} {when.source}"}
    if revision is None or register["arrival_revision"][0] < first.rank or revision.at == arrived:
        return arrived, how, when.whole_day, False
    # An update repeats the system's current admission time. In a visit with an arrival and an admission it is about the
    # nearer of the two.
    admission = min((s.when.at for s in reading.arrivals if s.patient_class in _STAYS), default=arrived)
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
        value: When | None = _value(register, name)
        if value is not None:
            return value.at, {"arrived": f"{register[name][2].trigger} PV1-44"}, value.whole_day
    first = min(reading.confirming, key=lambda s: (s.when.at, s.rank))
    departure = _departs_at(reading)
    at = first.when.at if departure is None else min(first.when.at, departure[0].at)
    return at, _how(first), first.when.whole_day


def _departs_at(reading: Reading) -> tuple[When, str, bool] | None:
    """(when, how, whether a PV1-45 was overruled) of the departure recorded last; None for a visit that is open.

    Where there is none, the PV1-45 of an update ends the stay if its sender announces stays by updates. An update with
    `""` in PV1-45 takes the departure back.
    """
    register = reading.winners.get("departure_revision")
    revision: When | None = _value(reading.winners, "departure_revision")
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


def _admission(arrived: int | None, marks: Sequence[Statement]) -> tuple[int | None, str]:
    """(when the visit became inpatient, the trigger and field that gave it or "")."""
    inpatient = [s for s in marks if s.patient_class in _STAYS]
    earliest = min(inpatient, key=lambda s: (s.when.at, s.rank), default=None)
    if earliest is None or (earliest.when.at == arrived and arrived is not None):
        return arrived, "" if earliest is None else f"{earliest.trigger} {earliest.when.source}"
    at = earliest.when.at if arrived is None else max(earliest.when.at, arrived)
    return at, f"{earliest.trigger} {earliest.when.source}"


def class_of(reading: Reading) -> tuple[str, list[Statement]]:
    """(the class that was stated last, the arrivals and class marks that stand and state one)."""
    standing = reading.standing
    marks = [s for s in standing if s.patient_class and (s.trigger in ARRIVALS or s.trigger in CLASS_MARKS)]
    latest = max(marks, key=lambda s: (s.rank, s.when.at), default=None)
    register = reading.winners.get("class")
    if register is not None and register[1] != DELETED and (latest is None or register[0] > latest.rank):
        return str(register[1]), marks
    if latest is not None:
        return str(latest.patient_class), marks
    plan = max((s for s in standing if s.patient_class), key=lambda s: s.rank, default=None)
    return (str(plan.patient_class) if plan else "unknown"), marks


def _flags(status: str, patient_class: str, reading: Reading, marks: Iterable[Statement]) -> tuple[str, ...]:
    """Marks that the member stage and a reader need, in alphabetical order."""
    arrivals = reading.arrivals
    from_emergency = any(s.patient_class == "emergency" for s in marks)
    conditions = {
        "inferred": not arrivals and bool(reading.confirming) and status in ("open", "closed"),
        "became_inpatient": patient_class in _STAYS and from_emergency,
        "from_emergency": patient_class == "observation" and from_emergency,
        "homeless": _value(reading.winners, "homeless") is True,
        "arrival_by_fallback": bool(arrivals) and all(s.when.source in ("EVN-2", "MSH-7") for s in arrivals),
        "whole_day": status != "expected" and any(s.when.whole_day for s in arrivals),
    }
    return tuple(sorted(name for name, applies in conditions.items() if applies))


def _messages(reading: Reading, statements: Iterable[Statement]) -> tuple[Source, ...]:
    """The messages that the visit rests on: arrivals, departures, class marks and cancels; else all there are."""
    matter = ARRIVALS | PLANS | _CONFIRMING
    chosen = {s.source for s in (*reading.standing, *reading.cancelled) if s.trigger in matter}
    chosen |= {s.source for s in statements if s.trigger in CANCELS}
    return tuple(sorted(chosen or {s.source for s in statements}))


def _how(statement: Statement) -> dict[str, str]:
    return {"arrived": f"{statement.trigger} {statement.when.source}"}


def _value(register: Winners, name: str) -> Any:
    entry = register.get(name)
    return None if entry is None or entry[1] == DELETED else entry[1]


def _text(register: Winners, name: str) -> str:
    return _value(register, name) or ""
