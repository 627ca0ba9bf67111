"""The member stage's row: the union of what all source patients say about one member, and what went out about it.

The row holds facts (visits, custody records, roster, dispositions) and a memory of what was emitted. The folds here
take one fact in; each returns the same object when it changes nothing, so repeats cost nothing, and the greater
revision wins, so order does not matter. A visit is held in the compact form that counting needs.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Final

import msgspec

from domain.snapshots import CustodySnapshot, RosterFacts, VisitSnapshot
from domain.times import local_day

SCHEMA: Final = 1

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
TWIN: Final = 8
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

_ADMISSION_TYPES: Final = {"3": ELECTIVE, "C": ELECTIVE, "4": NEWBORN, "N": NEWBORN, "L": LABOR}
_FLAGS: Final = {
    "homeless": HOMELESS,
    "died": DIED,
    "became_inpatient": BECAME_INPATIENT,
    "from_emergency": FROM_ED,
    "impaired": IMPAIRED,
}
_SOURCES: Final = {"5": FROM_NF, "8": FROM_COURT}
_CUSTODIAL: Final = frozenset({"jail", "prison", "youth-facility"})
_encode = msgspec.msgpack.Encoder().encode


class Held(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One visit as the member's row holds it.

    `start` is the instant at which it counts (arrival; admission for a stay), `day` its California day (0: none known).
    `messages` is the msgpack of its sources, opened only when a document is written; `face` digests all that evidence
    shows of the visit.
    """

    start: int
    patient: str
    visit: str
    revision: int
    status: str
    group: str
    patient_class: str
    marks: int
    day: int
    arrived: int | None
    departed: int | None
    facility: str
    to: str
    diagnoses: tuple[str, ...]
    received: int
    messages: bytes
    face: bytes

    @property
    def asserted(self) -> bool:
        """Whether it happened, as far as anyone says."""
        return self.status in ("open", "closed")


class HeldCustody(msgspec.Struct, frozen=True, array_like=True, gc=False):
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
    face: bytes


class Disposition(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What care management answered about a candidate: the latest answer, by its own time `at` (ms UTC)."""

    at: int
    status: str
    actor: str
    reason: str


class Told(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What was last said about one transition. `alerted`: the revision that an alert told of (0: none)."""

    revision: int
    asserted: bool
    occurred: int
    digest: bytes
    alerted: int = 0


class Said(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What was said about one visit or custody record: its transitions by kind.

    `sight` sums up what they were derived from; while it is the same there is nothing to say.
    """

    sight: int
    kinds: dict[str, Told]


class Emitted(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What was last said about one candidate or watch. `line` is its population and major rule version."""

    revision: int
    status: str
    digest: bytes
    line: str
    supersedes: str | None = None


class MemberRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """All that is known about a member. `schema` first, so that an upgrade can tell rows apart."""

    schema: int
    visits: tuple[Held, ...] = ()
    """In the order of (start, patient, visit)."""
    custody: tuple[HeldCustody, ...] = ()
    gone: dict[str, int] = {}
    """Withdrawn visits and records: the revision that withdrew them, so that an earlier one cannot bring them back."""
    roster: RosterFacts | None = None
    roster_received: int = 0
    dispositions: dict[str, Disposition] = {}
    said: dict[str, Said] = {}
    emitted: dict[str, Emitted] = {}
    utilization: Emitted | None = None
    impaired: bool = False
    next_due: int | None = None
    """The earliest instant (ms UTC) at which something would change though nobody said anything."""
    rules: int = 0
    """The rule set by which the row was last judged."""


def new_row() -> MemberRow:
    """A row that knows nothing."""
    return MemberRow(SCHEMA)


def fold_visit(row: MemberRow, snapshot: VisitSnapshot) -> MemberRow:
    """The row once a visit snapshot is known; the same object for one that is known or older."""
    key = gone_key(snapshot.patient, snapshot.visit)
    place = _visit_place(row, snapshot.patient, snapshot.visit)
    known = row.visits[place].revision if place is not None else row.gone.get(key, -1)
    if snapshot.revision <= known:
        return row
    if snapshot.status == "withdrawn":
        return _withdraw(row, snapshot.patient, snapshot.visit, snapshot.revision)
    held = hold(snapshot)
    rest = [visit for index, visit in enumerate(row.visits) if index != place]
    rest.append(held)
    rest.sort(key=_order)
    return msgspec.structs.replace(row, visits=tuple(rest), gone=_without(row.gone, key))


def fold_custody(row: MemberRow, snapshot: CustodySnapshot) -> MemberRow:
    """The row once a custody snapshot is known; the same object for one that is known or older."""
    key = gone_key(snapshot.patient, snapshot.record_id)
    place = _custody_place(row, snapshot.patient, snapshot.record_id)
    known = row.custody[place].revision if place is not None else row.gone.get(key, -1)
    if snapshot.revision <= known:
        return row
    if snapshot.status == "withdrawn":
        return _withdraw(row, snapshot.patient, snapshot.record_id, snapshot.revision)
    rest = [record for index, record in enumerate(row.custody) if index != place]
    rest.append(_hold_custody(snapshot))
    rest.sort(key=lambda record: (record.at, record.patient, record.record_id))
    return msgspec.structs.replace(row, custody=tuple(rest), gone=_without(row.gone, key))


def fold_roster(row: MemberRow, roster: RosterFacts | None, received: int) -> MemberRow:
    """The row once the roster says `roster` (None: the member left it); the same object when it said so before."""
    if roster == row.roster:
        return row
    return msgspec.structs.replace(row, roster=roster, roster_received=received)


def fold_disposition(row: MemberRow, candidate: str, answer: Disposition) -> MemberRow:
    """The row once care management answered; the later answer holds, equal times are decided by the content."""
    known = row.dispositions.get(candidate)
    if known is not None and _rank(answer) <= _rank(known):
        return row
    return msgspec.structs.replace(row, dispositions={**row.dispositions, candidate: answer})


def is_empty(row: MemberRow) -> bool:
    """Whether the row knows nothing and has said nothing: it need not be kept."""
    return row.roster is None and not (
        row.visits or row.custody or row.gone or row.dispositions or row.said or row.emitted or row.utilization
    )


def group_of(snapshot: VisitSnapshot) -> str:
    """What kind of visit counting sees: an observation that began in the ED stays an ED visit (ecm-rules, 6)."""
    kind, facility = snapshot.patient_class, snapshot.facility_type
    if kind == "custody" or facility in _CUSTODIAL:
        return CUSTODY
    if kind == "snf" or (kind == "inpatient" and facility in ("snf", "icf")):
        return SNF
    if kind in ("inpatient", "newborn"):
        return STAY
    if kind == "emergency" or (kind == "observation" and "from_emergency" in snapshot.flags):
        return ED
    return OBSERVATION if kind == "observation" else OTHER


def hold(snapshot: VisitSnapshot) -> Held:
    """A snapshot in the row's form."""
    group = group_of(snapshot)
    start = snapshot.admitted if group == STAY and snapshot.admitted is not None else snapshot.arrived
    return Held(
        start=start or 0,
        patient=snapshot.patient,
        visit=snapshot.visit,
        revision=snapshot.revision,
        status=snapshot.status,
        group=group,
        patient_class=snapshot.patient_class,
        marks=_marks(snapshot),
        day=0 if start is None else local_day(start),
        arrived=snapshot.arrived,
        departed=snapshot.departed,
        facility=snapshot.facility,
        to=snapshot.disposition_group,
        diagnoses=snapshot.diagnoses,
        received=snapshot.received,
        messages=_encode(snapshot.messages),
        face=digest(
            (
                snapshot.visit,
                snapshot.patient_class,
                snapshot.facility,
                snapshot.arrived,
                snapshot.departed,
                [(source.sender, source.control_id) for source in snapshot.messages],
            )
        ),
    )


def digest(content: Any) -> bytes:
    """Eight bytes over plain content: two contents that a consumer can tell apart differ in them."""
    return blake2b(_encode(content), digest_size=8).digest()


def gone_key(patient: str, key: str) -> str:
    """How a visit or record of one source patient is named in a row."""
    return f"{patient}\x1f{key}"


def _hold_custody(snapshot: CustodySnapshot) -> HeldCustody:
    at = snapshot.occurred if snapshot.occurred is not None else snapshot.received
    return HeldCustody(
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
        face=digest(
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


def _marks(snapshot: VisitSnapshot) -> int:
    marks = _ADMISSION_TYPES.get(snapshot.admission_type, 0) | _SOURCES.get(snapshot.source, 0)
    for flag in snapshot.flags:
        marks |= _FLAGS.get(flag, 0)
    if snapshot.patient_class == "newborn":
        marks |= NEWBORN
    if snapshot.weak:
        marks |= WEAK
    if len(snapshot.disposition) == 2 and "81" <= snapshot.disposition <= "95":
        marks |= TWIN
    if snapshot.facility_type == "icf":
        marks |= LONG_TERM
    elif snapshot.facility_type == "youth-facility":
        marks |= YOUTH_FACILITY
    return marks


def _withdraw(row: MemberRow, patient: str, key: str, revision: int) -> MemberRow:
    """The row without a visit or record of that name: a withdrawal may not know which of the two it was."""
    return msgspec.structs.replace(
        row,
        visits=tuple(v for v in row.visits if v.visit != key or v.patient != patient),
        custody=tuple(r for r in row.custody if r.record_id != key or r.patient != patient),
        gone={**row.gone, gone_key(patient, key): revision},
    )


def _visit_place(row: MemberRow, patient: str, key: str) -> int | None:
    for index, visit in enumerate(row.visits):
        if visit.visit == key and visit.patient == patient:
            return index
    return None


def _custody_place(row: MemberRow, patient: str, key: str) -> int | None:
    for index, record in enumerate(row.custody):
        if record.record_id == key and record.patient == patient:
            return index
    return None


def _without(gone: dict[str, int], key: str) -> dict[str, int]:
    return {name: revision for name, revision in gone.items() if name != key} if key in gone else gone


def _order(visit: Held) -> tuple[int, str, str]:
    return (visit.start, visit.patient, visit.visit)


def _rank(answer: Disposition) -> tuple[int, str, str, str]:
    return (answer.at, answer.status, answer.actor, answer.reason)
