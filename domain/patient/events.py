"""What one message says, once it has been read: the facts that parsers hand to the domain.

Times are integers: milliseconds since 1970-01-01 UTC. A sender's zone has already been applied (semantics: a
sender's zone comes from its profile unless the message carries an offset). `None` means that the message said nothing;
`DELETED` (HL7's `""`) means that it said "there is none".
"""

from __future__ import annotations

from typing import Final

import msgspec

DELETED: Final = '""'
"""HL7 v2 section 2.4.3.1: two double quotes in a field delete the value that the receiver holds."""


class When(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A point in time as a feed gave it.

    `at` is milliseconds since the epoch, UTC. When `whole_day` is set the feed gave a date only: the value stands for
    that whole day in the sender's zone and `at` is its first millisecond. `source` names the field ("EVN-6").
    """

    at: int
    whole_day: bool = False
    source: str = ""


class Identifier(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One repetition of a patient identifier list (PID-3, CX): who assigned which number, of which type (0203)."""

    authority: str
    number: str
    type: str = ""


PATIENT: Final = "patient"
ACCOUNT: Final = "account"
VISIT: Final = "visit"
ACCOUNT_MOVE: Final = "account-move"
VISIT_MOVE: Final = "visit-move"


class Merge(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One statement of a {PID, MRG} pair about its unit (docs/semantics.md#merges).

    `survivor` and `other` are patient keys: of PID-3 and of MRG-1. Unit `patient`: the other is retired into the
    survivor. `account`, `visit`: within the survivor, `former` is now called `now` (account or visit keys).
    `account-move`, `visit-move`: account or visit `former` of the other belongs to the survivor.
    """

    survivor: str
    other: str
    unit: str
    former: str = ""
    now: str = ""


class VisitStatement(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What one message says about one visit (PV1, PV2, DG1 and the profile's place for the homelessness flag)."""

    key: str
    """Visit key: `authority|PV1-19.1`, else the account, else built and `weak` (docs/semantics.md#which-visit)."""
    weak: bool = False
    patient_class: str | None = None
    """emergency, inpatient, outpatient, observation, preadmit, recurring, obstetrics, newborn, snf, custody, other."""
    facility: str | None = None
    admitted: When | str | None = None
    """PV1-44; DELETED takes it back."""
    departed: When | str | None = None
    """PV1-45; DELETED takes it back."""
    admission_type: str | None = None
    """PV1-4 in the profile's common dialect (NUBC: 1 emergency, 2 urgent, 3 elective, 4 newborn, 5 trauma)."""
    admit_source: str | None = None
    """PV1-14 in NUBC point-of-origin codes."""
    disposition: str | None = None
    """PV1-36 as sent (trimmed); `domain.codes` turns it into a group."""
    destination: str | None = None
    """PV1-37."""
    diagnoses: tuple[str, ...] | None = None
    """DG1-3 codes, dots removed, upper case: the whole snapshot of this message. None: no DG1 at all."""
    homeless: bool | None = None
    prior_visit: str | None = None
    """A06/A07: the visit key this visit had before (MRG-5, else MRG-3)."""
    numbered: bool = False
    """The message carried a visit number of its own (PV1-19): needed for an A08 to be hearsay of a new visit."""
    facility_type: str | None = None
    """From the profile's facility map: hospital, snf, icf, jail, youth-facility, psychiatric, other."""
    creates: bool = False
    """An A08 of a sender that announces stays by updates alone: it counts without another trigger."""
    account: str | None = None
    """Account key: PID-18, else PV1-50. A44 moves the visits of one."""


class AdtEvent(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One ADT message, read."""

    trigger: str
    """MSH-9.2, never EVN-1: "A01"."""
    sender: str
    """The sender profile's name."""
    control_id: str
    """MSH-10, or "" when the message had none."""
    built: int
    """MSH-7: when the message was built."""
    recorded: int
    """EVN-2, else MSH-7: when it was entered. This orders statements (the later one wins)."""
    occurred: When | None
    """EVN-6: when it really happened; on a cancel, the time of the event that is cancelled."""
    patient: str
    """Patient key: `authority|number` (the medical record number's)."""
    sequence: int | None = None
    """MSH-13."""
    identifiers: tuple[Identifier, ...] = ()
    cin: str | None = None
    """The Medi-Cal client index number, nine characters, when one with a valid shape is in PID-3 or IN1/IN2."""
    bad_cin: bool = False
    """A Medicaid number was there but does not have the shape of a CIN."""
    birth_date: str | None = None
    """PID-7 as YYYY-MM-DD."""
    sex: str | None = None
    family_name: str | None = None
    given_name: str | None = None
    zip: str | None = None
    phone: str | None = None
    died: When | str | None = None
    """PID-29; when only PID-30 = Y was given, the event's own time with source "PID-30"; DELETED when PID-30 = N, or
    `""` in either, takes a death back."""
    visit: VisitStatement | None = None
    merges: tuple[Merge, ...] = ()
    partner: str | None = None
    """A24, A37: the second patient's key (link, unlink); A17: the one swapped with."""
    notes: tuple[str, ...] = ()
    """Feed-quality marks, e.g. "charset-fallback", "zone-from-profile", "evn-1-differs"."""
