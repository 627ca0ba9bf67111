"""Publish the difference between the current visits of a row and the published ones.

A visit or custody record goes out whole, with a revision that counts up, whenever it or its owner changes; to a former
owner it goes out as withdrawn. `domain.patient.current` has the current ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from domain.identity import digest
from domain.patient.current import END_MARK, PERSON, Snapshot, buckets_of, custody_of, person_of, visits_of_bucket
from domain.patient.row import PatientRow, Published
from domain.snapshots import CustodySnapshot, PersonSnapshot, Source, Visit, VisitSnapshot

_WITHDRAWN: Final = b"withdrawn"


def publish(
    before: PatientRow | None,
    row: PatientRow,
    owner: str | None,
    owner_before: str | None,
    received: int,
    *,
    provisional: bool = False,
) -> tuple[PatientRow, list[tuple[str, Snapshot]]]:
    """(row with `published` updated, [(member, snapshot)] to publish) for the owner `owner` (None: unattributed).

    `before` is the row at its last publication and `owner_before` its owner then: visits that did not change since are
    skipped. A visit or account that was moved (A44, A45) belongs to the member of the patient it was moved to.
    `received` (ms UTC) becomes the receipt of the snapshots. `provisional`: a patient without a member is one of its
    own, `~` and the patient key.
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
    """(member or "", snapshot) of each current visit and custody record, by key, with its last published revision."""
    for key, snapshot, _ in _current(None, row, None, True, row.since, False):
        if snapshot is not None:
            known = row.published.get(key)
            live = known is not None and known.digest != _WITHDRAWN
            member = known.member if known is not None and live else ""
            yield member, msgspec.structs.replace(snapshot, revision=known.revision if known is not None else 0)


def _current(
    before: PatientRow | None, row: PatientRow, owner: str | None, everything: bool, received: int, provisional: bool
) -> Iterator[tuple[str, Snapshot | None, str | None]]:
    """(key, current snapshot or None, member) of all keys that may differ from what was published."""
    buckets = buckets_of(row)
    everything = everything or before is None or row.ties is not before.ties or row.impaired != before.impaired
    everything = everything or before is None or row.weak is not before.weak or row.unnumbered is not before.unnumbered
    by_bucket = _published_by_bucket(row, buckets)
    for bucket in sorted(buckets):
        if everything or buckets[bucket] is not before.visits.get(bucket):  # type: ignore[union-attr]
            yield from visits_of_bucket(
                row, bucket, buckets[bucket], owner, by_bucket.get(bucket, []), received, provisional
            )
    for key in sorted(row.custody):
        if everything or row.custody[key] is not before.custody.get(key):  # type: ignore[union-attr]
            statement = row.custody[key]
            yield key, None if statement.deleted else custody_of(row, key, statement, received), owner
    if everything or before is None or row.death is not before.death:
        yield from person_of(row, owner, received)
    if everything:
        for key in by_bucket.get("", []):
            yield key, None, owner


def _published_by_bucket(row: PatientRow, buckets: Iterable[str]) -> dict[str, list[str]]:
    """Keys of published visits by the bucket that they were cut from; "" has those whose bucket no longer exists."""
    found: dict[str, list[str]] = {}
    known = set(buckets)
    for key in row.published:
        if key in row.custody or key == PERSON:
            continue
        bucket = key.partition(END_MARK)[0]
        while bucket and bucket not in known:
            bucket = bucket.rpartition("~")[0]
        found.setdefault(bucket, []).append(key)
    return found


def _next(
    key: str,
    snapshot: Snapshot | None,
    before: Published | None,
    owner: str | None,
    received: int,
    row: PatientRow,
    outgoing: list[tuple[str, Snapshot]],
) -> Published | None:
    """The memory of `key` after this publication; None if nothing changed. Snapshots are added to `outgoing`."""
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


def _withdrawal(row: PatientRow, key: str, revision: int, received: int) -> Snapshot:
    """The snapshot that withdraws a visit or record from a former owner: its key and no facts."""
    if key == PERSON:
        return PersonSnapshot(row.patient, revision, received, None)
    if key in row.custody or END_MARK in key:
        kind = row.custody[key].kind if key in row.custody else key.partition(END_MARK)[2]
        return CustodySnapshot(row.patient, key, revision, "withdrawn", kind, received)
    return VisitSnapshot(row.patient, key, revision, received, Visit("withdrawn", "other"))


def _digest(snapshot: Snapshot) -> bytes:
    """Eight bytes over all that a consumer can see, without receipt, revision and log coordinates.

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
    return digest(content)


def _without_coordinates(messages: tuple[Source, ...]) -> tuple[Source, ...]:
    return tuple(Source(source.sender, source.control_id, "") for source in messages)
