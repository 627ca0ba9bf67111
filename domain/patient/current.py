"""The current visits, custody records and death of a row, as snapshots with revision 0.

Statements under a visit number that was replaced (A06, A07, A42) are of the visit under the number that replaced it. A
visit that was moved (A44, A45) belongs to the member of the patient it was moved to.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from domain.discharge import NOT_RELEASED
from domain.facilities import CUSTODIAL
from domain.patient.cut import cut
from domain.patient.events import ACCOUNT_MOVE, VISIT_MOVE
from domain.patient.row import CustodyStatement, PatientRow
from domain.patient.statements import Statement, union_of
from domain.patient.visits import read_visit
from domain.snapshots import CustodySnapshot, PersonSnapshot, Source, VisitSnapshot

Snapshot = VisitSnapshot | CustodySnapshot | PersonSnapshot

END_MARK: Final = "#"
"""Between the key of a stay in custody and the end of it that a record is about."""
PERSON: Final = "person"
"""The key of what is published about the person, not about a visit."""


def visits_of_bucket(
    row: PatientRow,
    bucket: str,
    statements: tuple[Statement, ...],
    owner: str | None,
    published: list[str],
    received: int,
    provisional: bool,
) -> Iterator[tuple[str, Snapshot | None, str | None]]:
    """The visits that a bucket is cut into, then None for published ones that it no longer contains."""
    numbered, weak = bucket not in row.unnumbered, bucket in row.weak
    names: set[str] = set()
    for key, part in cut(bucket, statements, numbered=numbered, dated=weak):
        member = _member_of(row, key, part, owner, provisional)
        for name, snapshot in _of_visit(row, key, part, numbered, weak, received):
            names.add(name)
            yield name, snapshot, member
    for name in sorted(published):
        if name not in names:
            yield name, None, owner


def _member_of(
    row: PatientRow, key: str, statements: tuple[Statement, ...], owner: str | None, provisional: bool
) -> str | None:
    """The member of one visit: that of the patient it was moved to, else the row's."""
    if not row.moves:
        return owner
    accounts = {statement.account for statement in statements if statement.account is not None}
    names = [f"{VISIT_MOVE}:{key}", *(f"{ACCOUNT_MOVE}:{account}" for account in accounts)]
    claims = [claim for name in names if (claim := row.moves.get(name)) is not None]
    moved = max(claims, key=lambda claim: claim.rank, default=None)
    if moved is None or moved.value is None or moved.value == row.patient:
        return owner
    known = row.owners.get(moved.value)
    if provisional and (known is None or known.member is None):
        return "~" + (known.root if known is not None and known.root else moved.value)
    return None if known is None else known.member


def _end_of_custody(group: str) -> str:
    if group == "EXPIRED":
        return "died"
    return "transferred" if group in NOT_RELEASED else "released"


def person_of(row: PatientRow, owner: str | None, received: int) -> Iterator[tuple[str, Snapshot | None, str | None]]:
    """The death of the patient, or None for one that was taken back."""
    if row.death is None:
        return
    at = row.death.at
    if at is None:
        if PERSON in row.published:
            yield PERSON, None, owner
        return
    yield PERSON, PersonSnapshot(row.patient, 0, received, at.at, (row.death.source,)), owner


def buckets_of(row: PatientRow) -> dict[str, tuple[Statement, ...]]:
    """The buckets, each with the statements of the keys that it replaced."""
    if not row.ties:
        return row.visits
    gathered: dict[str, list[tuple[Statement, ...]]] = {}
    for key, statements in row.visits.items():
        root, seen = key, {key}
        while (tie := row.ties.get(root)) is not None and tie.value is not None and tie.value not in seen:
            root = tie.value
            seen.add(root)
        gathered.setdefault(root, []).append(statements)
    return {root: sets[0] if len(sets) == 1 else union_of(*sets) for root, sets in gathered.items()}


def custody_of(row: PatientRow, record_id: str, statement: CustodyStatement, received: int) -> CustodySnapshot:
    """The custody record of a roster, a plan file or a custody feed."""
    return CustodySnapshot(
        patient=row.patient,
        record_id=record_id,
        revision=0,
        status="asserted",
        kind=statement.kind,
        received=received,
        occurred=statement.occurred,
        scheduled=statement.scheduled,
        facility=statement.facility,
        facility_type=statement.facility_type,
        confidence="confirmed",
        messages=(statement.source,),
    )


def _of_visit(
    row: PatientRow, key: str, statements: tuple[Statement, ...], numbered: bool, weak: bool, received: int
) -> Iterator[tuple[str, Snapshot | None]]:
    """A visit as itself; a stay in a jail, prison or youth facility as a booking and a release.

    Such a stay's end is a release unless the person died or went to a hospital or to other custody (disposition groups
    EXPIRED, ACUTE_TRANSFER, INTO_CUSTODY). Its confidence is "high"; "confirmed" is kept for a plan's own file.
    """
    visit = read_visit(statements, numbered)
    if visit is not None and row.impaired:
        visit = msgspec.structs.replace(visit, flags=(*visit.flags, "impaired"))
    snapshot = None if visit is None else VisitSnapshot(row.patient, key, 0, received, visit, weak)
    custody = visit is not None and (visit.patient_class == "custody" or visit.facility_type in CUSTODIAL)
    yield key, None if custody else snapshot
    for kind in ("booked", "released"):
        name = f"{key}{END_MARK}{kind}"
        if not custody or visit is None:
            if name in row.published:
                yield name, None
            continue
        at = visit.arrived if kind == "booked" else visit.departed
        asserted = visit.status in ("open", "closed") and at is not None
        yield (
            name,
            CustodySnapshot(
                patient=row.patient,
                record_id=name,
                revision=0,
                status="asserted",
                kind=_end_of_custody(visit.disposition_group) if kind == "released" else kind,
                received=received,
                occurred=at,
                facility=visit.facility,
                facility_type=visit.facility_type,
                confidence="high",
                messages=_about(visit.messages, statements, departure=kind == "released"),
            )
            if asserted
            else None,
        )


def _about(messages: tuple[Source, ...], statements: tuple[Statement, ...], *, departure: bool) -> tuple[Source, ...]:
    """The messages of a stay about its end (`departure`), else those about its beginning."""
    ends = {statement.source for statement in statements if statement.trigger in ("A03", "A13")}
    return tuple(source for source in messages if (source in ends) is departure)
