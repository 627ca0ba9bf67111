"""A visit or custody record as a member's row holds it: small, and ready for counting.

What counting asks of a visit (its group, its day, a few marks) is worked out once, when its snapshot is taken in. None
of it depends on the rules in force.
"""

from __future__ import annotations

from typing import Final

import msgspec

from domain.facilities import CUSTODIAL, NURSING
from domain.identity import digest
from domain.snapshots import CustodySnapshot, Visit, VisitSnapshot
from domain.times import local_day

ED: Final = "ed"
STAY: Final = "stay"
SNF: Final = "snf"
OBSERVATION: Final = "obs"
CUSTODY: Final = "custody"
OTHER: Final = "other"
COUNTABLE: Final = frozenset({ED, STAY, SNF, OBSERVATION})

ELECTIVE: Final = 1
NEWBORN: Final = 2
LABOR: Final = 4
PLANNED_READMISSION: Final = 8
"""Left with a discharge status 81-95: a planned readmission follows."""
FROM_NF: Final = 16
FROM_COURT: Final = 32
HOMELESS: Final = 64
DIED: Final = 128
BECAME_INPATIENT: Final = 256
FROM_ED: Final = 512
WEAK: Final = 1024
IMPAIRED: Final = 2048
LONG_TERM: Final = 4096
"""A facility whose stays are never short-term (ICF)."""
YOUTH_FACILITY: Final = 8192
EMERGENT: Final = 16_384
"""Admission type emergency, urgent or trauma."""

_ADMISSION_TYPES: Final = {
    "1": EMERGENT,
    "2": EMERGENT,
    "5": EMERGENT,
    "3": ELECTIVE,
    "C": ELECTIVE,
    "4": NEWBORN,
    "N": NEWBORN,
    "L": LABOR,
}
_FLAGS: Final = {
    "homeless": HOMELESS,
    "died": DIED,
    "became_inpatient": BECAME_INPATIENT,
    "from_emergency": FROM_ED,
    "impaired": IMPAIRED,
}
_SOURCES: Final = {"5": FROM_NF, "8": FROM_COURT}
_encode = msgspec.msgpack.Encoder().encode


class MemberVisit(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One visit as the member's row holds it.

    `start` is the instant at which it counts (arrival; admission for a stay), `day` its California day (0: none known).
    `messages` is the msgpack of its sources, opened only when a document is written, and empty once they have gone to
    the archive (`domain.member.archive`); `face` digests all that evidence shows of the visit.
    """

    start: int
    patient: str
    visit: str
    revision: int
    status: str
    category: str
    patient_class: str
    flags: int
    day: int
    arrived: int | None
    departed: int | None
    facility: str
    disposition_group: str
    diagnoses: tuple[str, ...]
    received: int
    messages: bytes
    fingerprint: bytes

    @property
    def asserted(self) -> bool:
        """Whether it happened, as far as anyone says."""
        return self.status in ("open", "closed")

    @property
    def archived(self) -> bool:
        """Whether its messages have left the row. (Packed sources are never empty: none at all pack to one byte.)"""
        return not self.messages


class MemberPerson(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What one source patient's row knows of the member: `died` is ms UTC."""

    patient: str
    revision: int
    died: int
    received: int
    messages: bytes


class MemberCustody(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One custody record as the member's row holds it. `at` is when it happened (for a plan: when it was made)."""

    at: int
    patient: str
    record_id: str
    revision: int
    kind: str
    scheduled: int | None
    facility: str
    facility_type: str
    confidence: str
    received: int
    messages: bytes
    fingerprint: bytes


def category_of(visit: Visit) -> str:
    """The category that counting uses: an observation that began in the ED is an ED visit
    (docs/semantics.md#classes)."""
    kind, facility = visit.patient_class, visit.facility_type
    if kind == "custody" or facility in CUSTODIAL:
        return CUSTODY
    if kind == "snf" or (kind == "inpatient" and facility in NURSING):
        return SNF
    if kind in ("inpatient", "newborn", "obstetrics"):
        return STAY
    if kind == "emergency" or (kind == "observation" and "from_emergency" in visit.flags):
        return ED
    return OBSERVATION if kind == "observation" else OTHER


def from_snapshot(snapshot: VisitSnapshot) -> MemberVisit:
    """A snapshot in the row's form."""
    visit = snapshot.visit
    category = category_of(visit)
    start = visit.admitted if category == STAY and visit.admitted is not None else visit.arrived
    return MemberVisit(
        start=start or 0,
        patient=snapshot.patient,
        visit=snapshot.key,
        revision=snapshot.revision,
        status=visit.status,
        category=category,
        patient_class=visit.patient_class,
        flags=_flags_of(snapshot),
        day=0 if start is None else local_day(start),
        arrived=visit.arrived,
        departed=visit.departed,
        facility=visit.facility,
        disposition_group=visit.disposition_group,
        diagnoses=visit.diagnoses,
        received=snapshot.received,
        messages=_encode(visit.messages),
        fingerprint=digest(
            (
                snapshot.key,
                visit.patient_class,
                visit.facility,
                visit.arrived,
                visit.departed,
                [(source.sender, source.control_id) for source in visit.messages],
            )
        ),
    )


def from_custody_snapshot(snapshot: CustodySnapshot) -> MemberCustody:
    """A custody snapshot in the row's form; what has no time of its own counts from its receipt."""
    at = snapshot.occurred if snapshot.occurred is not None else snapshot.received
    return MemberCustody(
        at=at,
        patient=snapshot.patient,
        record_id=snapshot.record_id,
        revision=snapshot.revision,
        kind=snapshot.kind,
        scheduled=snapshot.scheduled,
        facility=snapshot.facility,
        facility_type=snapshot.facility_type,
        confidence=snapshot.confidence,
        received=snapshot.received,
        messages=_encode(snapshot.messages),
        fingerprint=digest(
            (
                snapshot.record_id,
                snapshot.kind,
                snapshot.facility,
                at,
                snapshot.confidence,
                [(source.sender, source.control_id) for source in snapshot.messages],
            )
        ),
    )


def _flags_of(snapshot: VisitSnapshot) -> int:
    visit = snapshot.visit
    flags = _ADMISSION_TYPES.get(visit.admission_type, 0) | _SOURCES.get(visit.source, 0)
    for name in visit.flags:
        flags |= _FLAGS.get(name, 0)
    if visit.patient_class == "newborn":
        flags |= NEWBORN
    if flags & NEWBORN:
        flags &= ~FROM_NF  # with admission type 4, point of origin 5 means born here (NUBC FL 15)
    if snapshot.weak:
        flags |= WEAK
    if len(visit.disposition) == 2 and "81" <= visit.disposition <= "95":
        flags |= PLANNED_READMISSION
    if visit.facility_type == "icf":
        flags |= LONG_TERM
    elif visit.facility_type == "youth-facility":
        flags |= YOUTH_FACILITY
    return flags
