"""Read one visit out of the statements about it.

`read_visit` turns a set of statements (`domain.patient.statements`) into a `Visit`, or None when they do not amount to
one. It is a function of the set, so the order in which messages came has no influence. Rules:
docs/semantics.md#visit-status, #visit-times, #classes and #cancels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from domain.discharge import disposition_group
from domain.patient.events import DELETED
from domain.patient.reading import CONFIRMING, STAYS, Reading, sort_out, text_of, value_of
from domain.patient.statements import (
    ARRIVALS,
    CANCELS,
    CLASS_MARKS,
    PLANS,
    Statement,
    Winners,
)
from domain.patient.visit_times import admission_of, departs_at, times_of
from domain.snapshots import Source, Visit

_ANNOUNCED: Final = frozenset({"emergency", "inpatient", "observation", "snf", "custody", "obstetrics"})
"""Classes that an update may announce a visit with."""


def read_visit(statements: Sequence[Statement], numbered: bool = True) -> Visit | None:
    """The visit that `statements` amount to, or None.

    `numbered`: the visit has a number of its own; only such a one can be hearsay of an A08.
    """
    reading = sort_out(statements)
    status = status_of(reading, numbered)
    if status is None:
        return None
    times = times_of(status, reading, statements)
    patient_class, marks = class_of(reading)
    how, admitted = times.how, None
    if patient_class in STAYS:
        admitted, source = admission_of(times.arrived, marks)
        how = {**how, "admitted": source or how.get("arrived", "")}
    if times.departed is not None:
        how = {**how, "departed": times.how_departed}
    left = times.departed is not None
    register = reading.winners
    disposition = text_of(register, "disposition") if left else ""
    return Visit(
        status=status,
        patient_class=patient_class,
        arrived=times.arrived,
        admitted=admitted,
        departed=times.departed,
        facility=text_of(register, "facility"),
        facility_type=text_of(register, "facility_type"),
        admission_type=text_of(register, "admission_type"),
        source=text_of(register, "admit_source"),
        disposition=disposition,
        disposition_group=disposition_group(disposition),
        destination=text_of(register, "destination") if left else "",
        diagnoses=tuple(sorted(set(value_of(register, "diagnoses") or ()))),
        flags=_flags(status, patient_class, reading, marks),
        how=how,
        messages=_messages(reading, statements),
        overruled=times.overruled,
        precision=times.precision,
    )


def status_of(reading: Reading, numbered: bool) -> str | None:
    """The status of a visit: the first line of docs/semantics.md#visit-status that applies; None for no visit."""
    closed = "open" if departs_at(reading) is None else "closed"
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

    An update later than a cancel restates what the cancel took back.
    """
    register = reading.winners.get("arrival_revision")
    if not numbered or register is None or register[1] == DELETED:
        return False
    return value_of(reading.winners, "class") in ("emergency", *STAYS) and any(
        s.trigger == "A08" for s in reading.standing
    )


def is_announced(register: Winners, numbered: bool) -> bool:
    """Whether the A08 that gives the arrival is of a sender that sends whole stays as updates.

    It needs a number, a PV1-44, and a class of `_ANNOUNCED`. The flag `creates` is on the statement that set PV1-44, so
    the result does not depend on the order of receipt.
    """
    if not numbered or value_of(register, "arrival_revision") is None or not register["arrival_revision"][2].creates:
        return False
    return value_of(register, "class") in _ANNOUNCED


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
    """The flags of docs/semantics.md#classes, in alphabetical order."""
    arrivals = reading.arrivals
    from_emergency = any(s.patient_class == "emergency" for s in marks)
    conditions = {
        "inferred": not arrivals and bool(reading.confirming) and status in ("open", "closed"),
        "became_inpatient": patient_class in STAYS and from_emergency,
        "from_emergency": patient_class == "observation" and from_emergency,
        "homeless": value_of(reading.winners, "homeless") is True,
        "arrival_by_fallback": bool(arrivals) and all(s.when.source in ("EVN-2", "MSH-7") for s in arrivals),
        "whole_day": status != "expected" and any(s.when.whole_day for s in arrivals),
    }
    return tuple(sorted(name for name, applies in conditions.items() if applies))


def _messages(reading: Reading, statements: Iterable[Statement]) -> tuple[Source, ...]:
    """The sources of arrivals, departures, class marks, plans and cancels; without any, those of all statements."""
    matter = ARRIVALS | PLANS | CONFIRMING
    chosen = {s.source for s in (*reading.standing, *reading.cancelled) if s.trigger in matter}
    chosen |= {s.source for s in statements if s.trigger in CANCELS}
    return tuple(sorted(chosen or {s.source for s in statements}))
