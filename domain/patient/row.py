"""The patient stage's row: what one hospital says about one of its patients, and whose patient that is.

The row holds three things: the statements of each visit, the claims about who the patient is, and what was published to
which member. Folding returns the same object when nothing changed. `domain.ownership` answers whose it is;
`domain.publishing` says what to tell which member. Rules: docs/semantics.md#the-patient-stage.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from domain.patient.events import AdtEvent, Merge
from domain.patient.ranks import Rank, natural_order
from domain.patient.statements import OUTSIDE_VISITS, Statement, add, statement_of
from domain.snapshots import Source

SCHEMA: Final = 2
"""1: statements did not say whether an update announces its visit by itself."""


class Claim(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A value somebody stated about the patient, with the rank that decides between claims."""

    value: str | None
    recorded: int
    built: int = 0
    sequence: int = -1
    control_id: str = ""

    @property
    def rank(self) -> tuple[Rank, str]:
        """Ties between equal ranks are broken by the value."""
        return ((self.recorded, self.built, self.sequence, natural_order(self.control_id)), self.value or "")


class OwnerAnnouncement(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a surviving patient's row last said about itself to one it absorbed.

    `path` leads from the survivor upwards: (patient key, rank of its own merge as text or "" at the root).
    """

    epoch: int
    owner: str | None
    path: tuple[tuple[str, str], ...]


class Published(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The last snapshot of one visit or custody record that went out: to whom, its revision and its digest."""

    member: str
    revision: int
    digest: bytes


class CustodyStatement(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One version of a custody record. The one received last holds; equal times are decided by the content."""

    kind: str
    received: int
    occurred: int | None
    scheduled: int | None
    facility: str
    facility_type: str
    origin: str
    """Where it came from: mif, roster file, feed."""
    source: Source
    deleted: bool = False

    @property
    def rank(self) -> tuple[int, bytes]:
        return (self.received, msgspec.msgpack.encode(msgspec.structs.replace(self, source=Source("", "", ""))))


class PatientRow(msgspec.Struct, frozen=True, array_like=True):
    """All that is known about `authority|number`. `schema` first, so that an upgrade can tell rows apart."""

    schema: int
    patient: str
    visits: dict[str, tuple[Statement, ...]] = {}
    weak: tuple[str, ...] = ()
    """Keys of visits that were built from patient, facility, day and class."""
    unnumbered: tuple[str, ...] = ()
    """Keys of visits that no PV1-19 gave (an account or a built key): an A08 cannot make one."""
    ties: dict[str, Claim] = {}
    """Old visit key -> the key that replaced it (A06, A07)."""
    custody: dict[str, CustodyStatement] = {}
    cin: Claim | None = None
    operator: Claim | None = None
    roster: dict[str, Claim] = {}
    """Identifier -> the member that the roster names for it."""
    identifiers: tuple[str, ...] = ()
    merged: Claim | None = None
    """The patient this one was merged into (value None: that merge was taken back)."""
    announcements: dict[str, OwnerAnnouncement] = {}
    absorbed: dict[str, Claim] = {}
    """Patients merged into this one; value "merged"."""
    announced: OwnerAnnouncement | None = None
    """What the absorbed were last told about this row."""
    published: dict[str, Published] = {}
    unattributed: str | None = None
    """The reason that stands on adt.unattributed.v1, or None when nothing stands there."""
    since: int = 0
    """When the first record for this patient was received."""
    bad_cin: bool = False
    impaired: bool = False


def new_row(patient: str, received: int) -> PatientRow:
    """An empty row."""
    return PatientRow(schema=SCHEMA, patient=patient, since=received)


def replace(row: PatientRow, **changes: Any) -> PatientRow:
    """The row with some fields changed."""
    return msgspec.structs.replace(row, **changes)


def later(known: Claim | None, new: Claim) -> Claim:
    """The greater of two claims; `known` itself when it holds."""
    return new if known is None or new.rank > known.rank else known


def claim_of(event: AdtEvent, value: str | None) -> Claim:
    """What `event` says, as a claim that ranks like its other statements."""
    sequence = -1 if event.sequence is None else event.sequence
    return Claim(value, event.recorded, event.built, sequence, event.control_id)


def fold_event(row: PatientRow, event: AdtEvent, source: Source, received: int) -> PatientRow:
    """The row once `event` is known; the same object when it says nothing new."""
    changes: dict[str, Any] = {}
    known = set(row.identifiers)
    others = {f"{i.authority}|{i.number}" for i in event.identifiers if i.authority and i.number} - {row.patient}
    if not others <= known:
        changes["identifiers"] = tuple(sorted(known | others)[:32])
    if event.cin is not None:
        cin = later(row.cin, claim_of(event, event.cin))
        if cin is not row.cin:
            changes["cin"] = cin
    elif event.bad_cin and not row.bad_cin:
        changes["bad_cin"] = True
    if event.visit is not None and event.trigger not in OUTSIDE_VISITS:
        changes.update(_fold_visit(row, event, source, received))
    for merge in event.merges:
        absorbed = _fold_merge(row, event, merge)
        if absorbed is not None:
            changes["absorbed"] = {**changes.get("absorbed", row.absorbed), merge.retired: absorbed}
    return replace(row, **changes) if changes else row


def _fold_visit(row: PatientRow, event: AdtEvent, source: Source, received: int) -> dict[str, Any]:
    visit = event.visit
    assert visit is not None
    changes: dict[str, Any] = {}
    before = row.visits.get(visit.key, ())
    after = add(before, statement_of(event, visit, source, received))
    if after is not before:
        changes["visits"] = {**row.visits, visit.key: after}
    if visit.weak and visit.key not in row.weak:
        changes["weak"] = tuple(sorted({*row.weak, visit.key}))
    if not visit.numbered and visit.key not in row.unnumbered:
        changes["unnumbered"] = tuple(sorted({*row.unnumbered, visit.key}))
    if visit.prior_visit and visit.prior_visit != visit.key:
        known = row.ties.get(visit.prior_visit)
        tie = later(known, claim_of(event, visit.key))
        if tie is not known:
            changes["ties"] = {**row.ties, visit.prior_visit: tie}
    return changes


def _fold_merge(row: PatientRow, event: AdtEvent, merge: Merge) -> Claim | None:
    """The claim that `merge.retired` was absorbed, when that is news to this row."""
    if merge.survivor != row.patient or merge.retired == row.patient:
        return None
    known = row.absorbed.get(merge.retired)
    claim = later(known, claim_of(event, "merged"))
    return None if claim is known else claim


def fold_custody(row: PatientRow, record_id: str, statement: CustodyStatement, cin: str | None) -> PatientRow:
    """The row once a custody record is known."""
    changes: dict[str, Any] = {}
    known = row.custody.get(record_id)
    if known is None or statement.rank > known.rank:
        changes["custody"] = {**row.custody, record_id: statement}
    if cin is not None:
        claim = later(row.cin, Claim(cin, statement.received))
        if claim is not row.cin:
            changes["cin"] = claim
    return replace(row, **changes) if changes else row


def fold_roster(row: PatientRow, identifier: str, member: str | None, revision: int) -> PatientRow:
    """The row once the roster names (or, None, no longer names) a member for one of its identifiers.

    `revision` is the time (ms UTC) of the roster statement.
    """
    known = row.roster.get(identifier)
    claim = later(known, Claim(member, revision))
    if claim is known:
        return row
    return replace(row, roster={**row.roster, identifier: claim})
