"""What the patient stage publishes for the member stage: whole visits and custody records, never deltas.

Times are milliseconds since 1970-01-01 UTC; `parsers.records.visits` writes them as RFC 3339 for `member.visits.v1`.
"""

from __future__ import annotations

import msgspec


class Source(msgspec.Struct, frozen=True, array_like=True, gc=False, order=True):
    """The message a fact came from: sender, control ID, and its coordinates `topic/partition/offset`."""

    sender: str
    control_id: str
    at: str


class Visit(msgspec.Struct, frozen=True, gc=False):
    """One visit as the statements about it read. Times are ms UTC.

    `status`: expected, open, closed, cancelled, hearsay, withdrawn. `patient_class`: emergency, inpatient, outpatient,
    observation, preadmit, recurring, obstetrics, newborn, snf, custody, commercial, other, unknown. `arrived` is the
    earliest arrival; `admitted` is when the visit became inpatient, or None.
    """

    status: str
    patient_class: str
    arrived: int | None = None
    admitted: int | None = None
    departed: int | None = None
    facility: str = ""
    facility_type: str = ""
    """From the sender profile's facility map: hospital, snf, icf, jail, youth-facility, psychiatric, other, ""."""
    admission_type: str = ""
    source: str = ""
    disposition: str = ""
    disposition_group: str = ""
    """A group of `domain.discharge`, or "" when none is known."""
    destination: str = ""
    diagnoses: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    """homeless, inferred, became_inpatient, from_emergency, arrival_by_fallback, died ..., in alphabetical order."""
    how: dict[str, str] = {}
    """The trigger and field that gave each time: {"arrived": "A04 EVN-6"}."""
    messages: tuple[Source, ...] = ()
    overruled: tuple[str, ...] = ()
    """Fields whose value was overruled, for feed quality: "PV1-44". Not published."""
    precision: dict[str, str] = {}
    """Times of which only the day is known: {"departed": "day"}. An arrival is then the first moment of the day, a
    departure the last second."""


class VisitSnapshot(msgspec.Struct, frozen=True, gc=False):
    """One visit of one source patient as the patient stage publishes it, whole.

    `key` is the visit key, `weak`: the key is not a number of the sender. `received` is ms UTC.
    """

    patient: str
    key: str
    revision: int
    received: int
    visit: Visit
    weak: bool = False


class PersonSnapshot(msgspec.Struct, frozen=True, gc=False):
    """The death of one source patient: `died` is ms UTC, or None for a withdrawn death."""

    patient: str
    revision: int
    received: int
    died: int | None
    messages: tuple[Source, ...] = ()


class CustodySnapshot(msgspec.Struct, frozen=True, gc=False):
    """One custody record of one person, whole; `status`: asserted or withdrawn.

    `kind`: booked, scheduled, released, transferred. `confidence`: confirmed, high, medium, low
    (docs/semantics.md#custody).
    """

    patient: str
    record_id: str
    revision: int
    status: str
    kind: str
    received: int
    occurred: int | None = None
    scheduled: int | None = None
    facility: str = ""
    facility_type: str = ""
    confidence: str = "confirmed"
    messages: tuple[Source, ...] = ()


class Program(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A program of a member. Days are YYYY-MM-DD, both included, None: open; `verified`: not only suspected."""

    id: str
    start: str | None = None
    end: str | None = None
    verified: bool = True


class EcmStatus(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The member's ECM enrollment as the plan states it. Days as in `Program`."""

    status: str
    start: str | None = None
    end: str | None = None
    provider: str = ""


class Enrollment(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One span of enrollment in a plan. Days as in `Program`."""

    plan: str = ""
    county: str = ""
    start: str | None = None
    end: str | None = None
    delegate: str = ""


class RosterFacts(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The fields of a roster row that the member stage uses: no name, phone or address."""

    birth_date: str | None = None
    plan: str = ""
    county: str = ""
    enrolled_from: str | None = None
    enrolled_to: str | None = None
    aid_codes: tuple[str, ...] = ()
    programmes: tuple[Program, ...] = ()
    ecm: EcmStatus | None = None
    delegate: str = ""
    enrolment: tuple[Enrollment, ...] = ()
    """All spans of enrollment in the order of time, where there are several; none overlap. `plan`, `county`,
    `enrolled_from`, `enrolled_to` and `delegate` are those of the last one."""
