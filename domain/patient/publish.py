"""What the patient stage tells the member stage: the difference between what stands and what was published.

A visit or custody record goes out whole, with a revision that counts up, whenever it or its owner changes; to a former
owner it goes out as withdrawn. A visit number that was replaced (A06, A07) speaks through the number that replaced it.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Final

import msgspec

from domain.patient.row import CustodyStatement, PatientRow, Published
from domain.patient.statements import Statement, union_of
from domain.patient.visits import read_visit
from domain.snapshots import CustodySnapshot, Source, Visit, VisitSnapshot

Snapshot = VisitSnapshot | CustodySnapshot

_WITHDRAWN: Final = b"withdrawn"
_CUSTODIAL: Final = frozenset({"jail", "prison", "youth-facility"})
_PART: Final = "#"
"""Between the key of a stay in custody and which end of it a record is about."""


def publish(
    before: PatientRow | None, row: PatientRow, owner: str | None, owner_before: str | None, received: int
) -> tuple[PatientRow, list[tuple[str, Snapshot]]]:
    """(row that remembers, [(member, snapshot)]): what has to be told now that `owner` owns the row.

    `before` is the row as it was when it last published, `owner_before` its owner then: what did not change since is
    not looked at again. `received` (ms UTC) is stamped on what goes out.
    """
    told: list[tuple[str, Snapshot]] = []
    published: dict[str, Published] = {}
    for key, snapshot in _current(before, row, owner != owner_before, received):
        known = row.published.get(key)
        after = _next(key, snapshot, known, owner, received, row, told)
        if after is not None:
            published[key] = after
    if not published:
        return row, []
    return msgspec.structs.replace(row, published={**row.published, **published}), told


def current_snapshots(row: PatientRow) -> Iterator[tuple[str, Snapshot]]:
    """(member or "", snapshot) of each visit and custody record as it stands, by key, with its last revision."""
    for key, snapshot in _current(None, row, True, row.since):
        if snapshot is not None:
            known = row.published.get(key)
            held = known is not None and known.digest != _WITHDRAWN
            member = known.member if known is not None and held else ""
            yield member, msgspec.structs.replace(snapshot, revision=known.revision if known is not None else 0)


def _current(
    before: PatientRow | None, row: PatientRow, everything: bool, received: int
) -> Iterator[tuple[str, Snapshot | None]]:
    """(key, how it stands now or None) of all that may differ from what was published."""
    visits = _roots(row)
    everything = everything or before is None or row.ties is not before.ties or row.impaired != before.impaired
    for key in sorted(visits):
        if everything or row.weak is not before.weak or visits[key] is not before.visits.get(key):  # type: ignore[union-attr]
            yield from _of_visit(row, key, visits[key], received)
    for key in sorted(row.custody):
        if everything or row.custody[key] is not before.custody.get(key):  # type: ignore[union-attr]
            statement = row.custody[key]
            yield key, None if statement.deleted else _custody(row, key, statement, received)
    if everything:
        for key in sorted(row.published.keys() - visits.keys() - row.custody.keys()):
            if key.partition(_PART)[0] not in visits:
                yield key, None


def _next(
    key: str,
    snapshot: Snapshot | None,
    before: Published | None,
    owner: str | None,
    received: int,
    row: PatientRow,
    told: list[tuple[str, Snapshot]],
) -> Published | None:
    """What to remember about `key` after telling whoever must be told; None when nothing is to be said."""
    current_snapshots = before is not None and before.digest != _WITHDRAWN
    digest = _digest(snapshot) if snapshot is not None else _WITHDRAWN
    if snapshot is None or owner is None:
        if before is None or not current_snapshots:
            return None
        told.append((before.member, _withdrawal(row, key, before.revision + 1, received)))
        return Published(before.member, before.revision + 1, _WITHDRAWN)
    if before is not None and current_snapshots and before.member == owner and before.digest == digest:
        return None
    revision = before.revision + 1 if before is not None else 1
    if before is not None and current_snapshots and before.member != owner:
        told.append((before.member, _withdrawal(row, key, revision, received)))
    told.append((owner, msgspec.structs.replace(snapshot, revision=revision)))
    return Published(owner, revision, digest)


def _roots(row: PatientRow) -> dict[str, tuple[Statement, ...]]:
    """Each visit that speaks for itself, with the statements of the numbers it replaced."""
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


def _snapshot(row: PatientRow, key: str, statements: tuple[Statement, ...], received: int) -> VisitSnapshot | None:
    visit = read_visit(statements, numbered=key not in row.unnumbered)
    if visit is None:
        return None
    if row.impaired:
        visit = msgspec.structs.replace(visit, flags=(*visit.flags, "impaired"))
    return VisitSnapshot(row.patient, key, 0, received, visit, key in row.weak)


def _custody(row: PatientRow, record_id: str, statement: CustodyStatement, received: int) -> CustodySnapshot:
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
    row: PatientRow, key: str, statements: tuple[Statement, ...], received: int
) -> Iterator[tuple[str, Snapshot | None]]:
    """A visit as itself; a stay in a jail, prison or youth facility as a booking and a release.

    Such a stay's end is a release unless the person went to a hospital or to other custody (disposition groups
    ACUTE_TRANSFER, INTO_CUSTODY). It is believed less than a plan's own file: confidence "high", not "confirmed".
    """
    snapshot = _snapshot(row, key, statements, received)
    visit = None if snapshot is None else snapshot.visit
    custody = visit is not None and (visit.patient_class == "custody" or visit.facility_type in _CUSTODIAL)
    yield key, None if custody else snapshot
    for kind in ("booked", "released"):
        name = f"{key}{_PART}{kind}"
        if not custody or visit is None:
            if name in row.published:
                yield name, None
            continue
        at = visit.arrived if kind == "booked" else visit.departed
        elsewhere = kind == "released" and visit.disposition_group in ("ACUTE_TRANSFER", "INTO_CUSTODY")
        current_snapshots = visit.status in ("open", "closed") and at is not None
        yield (
            name,
            CustodySnapshot(
                patient=row.patient,
                record_id=name,
                revision=0,
                status="asserted",
                kind="transferred" if elsewhere else kind,
                received=received,
                occurred=at,
                facility=visit.facility,
                facility_type=visit.facility_type,
                confidence="high",
                messages=_about(visit.messages, statements, departure=kind == "released"),
            )
            if current_snapshots
            else None,
        )


def _about(messages: tuple[Source, ...], statements: tuple[Statement, ...], *, departure: bool) -> tuple[Source, ...]:
    """Those of a stay's messages that are about its end, or about its beginning."""
    ends = {statement.source for statement in statements if statement.trigger in ("A03", "A13")}
    return tuple(source for source in messages if (source in ends) is departure)


def _withdrawal(row: PatientRow, key: str, revision: int, received: int) -> Snapshot:
    """What tells a former owner that a visit or custody record is no longer its own: nothing of it but its name."""
    if key in row.custody or _PART in key:
        kind = row.custody[key].kind if key in row.custody else key.partition(_PART)[2]
        return CustodySnapshot(row.patient, key, revision, "withdrawn", kind, received)
    return VisitSnapshot(row.patient, key, revision, received, Visit("withdrawn", "other"))


def _digest(snapshot: Snapshot) -> bytes:
    """Eight bytes over all that a consumer can see, the time of receipt and the log coordinates aside.

    Rows keep these bytes. Another content or order would publish every visit once more after an upgrade.
    """
    if isinstance(snapshot, CustodySnapshot):
        content: object = msgspec.structs.replace(
            snapshot, revision=0, received=0, messages=_without_coordinates(snapshot.messages)
        )
    else:
        visit = snapshot.visit
        content = {
            "patient": snapshot.patient,
            "visit": snapshot.key,
            "revision": 0,
            "status": visit.status,
            "patient_class": visit.patient_class,
            "received": 0,
            "weak": snapshot.weak,
            "arrived": visit.arrived,
            "admitted": visit.admitted,
            "departed": visit.departed,
            "facility": visit.facility,
            "facility_type": visit.facility_type,
            "admission_type": visit.admission_type,
            "source": visit.source,
            "disposition": visit.disposition,
            "disposition_group": visit.disposition_group,
            "destination": visit.destination,
            "diagnoses": visit.diagnoses,
            "flags": visit.flags,
            "how": visit.how,
            "messages": _without_coordinates(visit.messages),
        }
    return blake2b(msgspec.msgpack.encode(content), digest_size=8).digest()


def _without_coordinates(messages: tuple[Source, ...]) -> tuple[Source, ...]:
    return tuple(Source(source.sender, source.control_id, "") for source in messages)
