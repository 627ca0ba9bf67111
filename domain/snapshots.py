"""What the patient stage tells the member stage: whole visits and custody records, never deltas.

These travel on `member.visits.v1` as JSON. Times inside are milliseconds since the epoch, UTC, in the row's own codec;
`agents.documents` writes them as RFC 3339 for the topic.
"""

from __future__ import annotations

import msgspec


class Source(msgspec.Struct, frozen=True, array_like=True, gc=False, order=True):
    """The message a fact came from: sender, control ID, and its coordinates `topic/partition/offset`."""

    sender: str
    control_id: str
    at: str


class VisitSnapshot(msgspec.Struct, frozen=True, gc=False):
    """One visit of one source patient as it stands now.

    `status`: expected, open, closed, cancelled, hearsay, withdrawn. `arrived` is the earliest arrival; `admitted` when
    it became inpatient, or None; all milliseconds UTC. `local_day` is the local day (America/Los_Angeles) on which it
    counts: the day of arrival of an ED visit, the day of admission of a stay.
    """

    patient: str
    visit: str
    revision: int
    status: str
    patient_class: str
    """emergency, inpatient, outpatient, observation, snf, custody, newborn, other. A visit that became inpatient is
    inpatient."""
    received: int
    weak: bool = False
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
    """HOME, ACUTE_TRANSFER, TO_NF, AMBIGUOUS_RESIDENTIAL, POST_ACUTE, AMA, ADMITTED_HERE, EXPIRED, INTO_CUSTODY,
    HOSPICE, STILL_PATIENT, OTHER, or "" when none is known."""
    destination: str = ""
    diagnoses: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    """homeless, inferred, became_inpatient, from_emergency, weak_time, died ..."""
    how: dict[str, str] = {}
    """Which trigger and field gave each time: {"arrived": "A04 EVN-6"}."""
    messages: tuple[Source, ...] = ()


class CustodySnapshot(msgspec.Struct, frozen=True, gc=False):
    """One custody record of one person as it stands now; `status`: asserted or withdrawn.

    `kind`: booked, scheduled, released, transferred. `confidence`: confirmed, high, medium, low (docs/semantics.md#custody).
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
    """A programme a member is in, with dates (YYYY-MM-DD, end included, None: open) and whether that is verified."""

    id: str
    start: str | None = None
    end: str | None = None
    verified: bool = True


class EcmStatus(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The member's ECM enrolment as the plan states it."""

    status: str
    start: str | None = None
    end: str | None = None
    provider: str = ""


class RosterFacts(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What the member stage needs of a roster row. No names, no phone, no address."""

    birth_date: str | None = None
    plan: str = ""
    county: str = ""
    enrolled_from: str | None = None
    enrolled_to: str | None = None
    aid_codes: tuple[str, ...] = ()
    programmes: tuple[Program, ...] = ()
    ecm: EcmStatus | None = None
    delegate: str = ""
