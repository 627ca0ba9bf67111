"""Publish the difference between what stands and what was published.

A visit or custody record goes out whole, with a revision that counts up, whenever it or its owner changes; to a former
owner it goes out as withdrawn. Statements under a visit number that was replaced (A06, A07, A42) are of the visit under
the number that replaced it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Final

import msgspec

from domain.patient.cut import cut
from domain.patient.events import ACCOUNT_MOVE, VISIT_MOVE
from domain.patient.row import CustodyStatement, PatientRow, Published
from domain.patient.statements import Statement, union_of
from domain.patient.visits import read_visit
from domain.snapshots import CustodySnapshot, PersonSnapshot, Source, Visit, VisitSnapshot

Snapshot = VisitSnapshot | CustodySnapshot | PersonSnapshot

_WITHDRAWN: Final = b"withdrawn"
_CUSTODIAL: Final = frozenset({"jail", "prison", "youth-facility"})
_END: Final = "#"
"""Between the key of a stay in custody and the end of it that a record is about."""
PERSON: Final = "person"
"""The key of what is published about the person, not about a visit."""


def publish(
    before: PatientRow | None,
    row: PatientRow,
    owner: str | None,
    owner_before: str | None,
    received: int,
    *,
    provisional: bool = False,
) -> tuple[PatientRow, list[tuple[str, Snapshot]]]:
    """(row with its memory, [(member, snapshot)]): what to publish now that `owner` owns the row.

    `before` is the row as it was when it last published, `owner_before` its owner then: what did not change since is
    not looked at again. A visit or account that was moved (A44, A45) belongs to the member of the patient it was moved
    to. `received` (ms UTC) is stamped on what goes out. `provisional`: a patient without a member is one of its own.
    """
    outgoing: list[tuple[str, Snapshot]] = []
    published: dict[str, Published] = {}
    moved = before is None or row.moves is not before.moves or row.owners is not before.owners
    everything = owner != owner_before or moved
    for key, snapshot, member in _current(before, row, owner, everything, received, provisional):
        after = _next(key, snapshot, row.published.get(key), member, received, row, outgoing)
        if after is not None:
            published[key] = after
    if not published:
        return row, []
    return msgspec.structs.replace(row, published={**row.published, **published}), outgoing


def current_snapshots(row: PatientRow) -> Iterator[tuple[str, Snapshot]]:
    """(member or "", snapshot) of each visit and custody record as it stands, by key, with its last revision."""
    for key, snapshot, _ in _current(None, row, None, True, row.since, False):
        if snapshot is not None:
            known = row.published.get(key)
            live = known is not None and known.digest != _WITHDRAWN
            member = known.member if known is not None and live else ""
            yield member, msgspec.structs.replace(snapshot, revision=known.revision if known is not None else 0)


def _current(
    before: PatientRow | None, row: PatientRow, owner: str | None, everything: bool, received: int, provisional: bool
) -> Iterator[tuple[str, Snapshot | None, str | None]]:
    """(key, how it stands now or None, its member) of all that may differ from what was published."""
    buckets = _roots(row)
    everything = everything or before is None or row.ties is not before.ties or row.impaired != before.impaired
    everything = everything or before is None or row.weak is not before.weak or row.unnumbered is not before.unnumbered
    by_bucket = _published_by_bucket(row, buckets)
    for bucket in sorted(buckets):
        if everything or buckets[bucket] is not before.visits.get(bucket):  # type: ignore[union-attr]
            yield from _of_bucket(row, bucket, buckets[bucket], owner, by_bucket.get(bucket, []), received, provisional)
    for key in sorted(row.custody):
        if everything or row.custody[key] is not before.custody.get(key):  # type: ignore[union-attr]
            statement = row.custody[key]
            yield key, None if statement.deleted else _custody(row, key, statement, received), owner
    if everything or before is None or row.death is not before.death:
        yield from _of_person(row, owner, received)
    if everything:
        for key in by_bucket.get("", []):
            yield key, None, owner


def _published_by_bucket(row: PatientRow, buckets: Iterable[str]) -> dict[str, list[str]]:
    """Keys of published visits by the bucket that they were cut from; "" holds those of a bucket that is no more."""
    found: dict[str, list[str]] = {}
    known = set(buckets)
    for key in row.published:
        if key in row.custody or key == PERSON:
            continue
        bucket = key.partition(_END)[0]
        while bucket and bucket not in known:
            bucket = bucket.rpartition("~")[0]
        found.setdefault(bucket, []).append(key)
    return found


def _of_bucket(
    row: PatientRow,
    bucket: str,
    statements: tuple[Statement, ...],
    owner: str | None,
    published: list[str],
    received: int,
    provisional: bool,
) -> Iterator[tuple[str, Snapshot | None, str | None]]:
    """The visits that a bucket is cut into, and those that it no longer holds."""
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


def _of_person(row: PatientRow, owner: str | None, received: int) -> Iterator[tuple[str, Snapshot | None, str | None]]:
    """What the row knows of the person: a death, or that there is none any more."""
    if row.death is None:
        return
    at = row.death.at
    if at is None:
        if PERSON in row.published:
            yield PERSON, None, owner
        return
    yield PERSON, PersonSnapshot(row.patient, 0, received, at.at, (row.death.source,)), owner


def _next(
    key: str,
    snapshot: Snapshot | None,
    before: Published | None,
    owner: str | None,
    received: int,
    row: PatientRow,
    outgoing: list[tuple[str, Snapshot]],
) -> Published | None:
    """What to remember about `key` after publishing what has changed; None when nothing has."""
    live = before is not None and before.digest != _WITHDRAWN
    digest = _digest(snapshot) if snapshot is not None else _WITHDRAWN
    if snapshot is None or owner is None:
        if before is None or not live:
            return None
        outgoing.append((before.member, _withdrawal(row, key, before.revision + 1, received)))
        return Published(before.member, before.revision + 1, _WITHDRAWN)
    if before is not None and live and before.member == owner and before.digest == digest:
        return None
    revision = before.revision + 1 if before is not None else 1
    if before is not None and live and before.member != owner:
        outgoing.append((before.member, _withdrawal(row, key, revision, received)))
    outgoing.append((owner, msgspec.structs.replace(snapshot, revision=revision)))
    return Published(owner, revision, digest)


def _roots(row: PatientRow) -> dict[str, tuple[Statement, ...]]:
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
    row: PatientRow, key: str, statements: tuple[Statement, ...], numbered: bool, weak: bool, received: int
) -> Iterator[tuple[str, Snapshot | None]]:
    """A visit as itself; a stay in a jail, prison or youth facility as a booking and a release.

    Such a stay's end is a release unless the person went to a hospital or to other custody (disposition groups
    ACUTE_TRANSFER, INTO_CUSTODY). It is believed less than a plan's own file: confidence "high", not "confirmed".
    """
    visit = read_visit(statements, numbered)
    if visit is not None and row.impaired:
        visit = msgspec.structs.replace(visit, flags=(*visit.flags, "impaired"))
    snapshot = None if visit is None else VisitSnapshot(row.patient, key, 0, received, visit, weak)
    custody = visit is not None and (visit.patient_class == "custody" or visit.facility_type in _CUSTODIAL)
    yield key, None if custody else snapshot
    for kind in ("booked", "released"):
        name = f"{key}{_END}{kind}"
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
    if key == PERSON:
        return PersonSnapshot(row.patient, revision, received, None)
    if key in row.custody or _END in key:
        kind = row.custody[key].kind if key in row.custody else key.partition(_END)[2]
        return CustodySnapshot(row.patient, key, revision, "withdrawn", kind, received)
    return VisitSnapshot(row.patient, key, revision, received, Visit("withdrawn", "other"))


def _digest(snapshot: Snapshot) -> bytes:
    """Eight bytes over all that a consumer can see, the time of receipt and the log coordinates aside.

    Rows keep these bytes. Another content or order would publish every visit once more after an upgrade.
    """
    if isinstance(snapshot, PersonSnapshot):
        content: object = ("person", snapshot.died, _without_coordinates(snapshot.messages))
    elif isinstance(snapshot, CustodySnapshot):
        content = msgspec.structs.replace(
            snapshot, revision=0, received=0, messages=_without_coordinates(snapshot.messages)
        )
    else:
        visit = snapshot.visit
        content = fields = {
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
        if visit.precision:
            fields["precision"] = visit.precision
    return blake2b(msgspec.msgpack.encode(content), digest_size=8).digest()


def _without_coordinates(messages: tuple[Source, ...]) -> tuple[Source, ...]:
    return tuple(Source(source.sender, source.control_id, "") for source in messages)
