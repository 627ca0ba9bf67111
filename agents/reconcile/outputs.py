"""What follows from a change of a source patient's row: who is told what.

Whole snapshots to the member whose it is (and to the one whose it was), links to the patients it absorbed, and the list
of those who are nobody's yet.
"""

from __future__ import annotations

import msgspec

from agents.links import link_record
from agents.runtime.contract import Emit
from agents.topics import UNATTRIBUTED, VISITS
from domain.patient.ownership import Owner, owner
from domain.patient.publish import publish
from domain.patient.row import OwnerAnnouncement, PatientRow, replace
from parsers.records.links import Link
from parsers.records.unattributed import Unattributed
from parsers.records.visits import encode_snapshot


def derive_outputs(
    row: PatientRow | None, after: PatientRow, received: int, away: bool, provisional: bool, emits: list[Emit]
) -> tuple[PatientRow, list[Emit]]:
    """What follows from a change: snapshots to members, links to absorbed patients, and whether it is nobody's."""
    is_now = _owner(after, provisional)
    was = _owner(row, provisional).member if row is not None else None
    after, told = publish(row, after, is_now.member, was, received)
    stamp = ("received", str(received).encode())
    emits += [Emit(VISITS, member.encode(), encode_snapshot(snapshot, member), (stamp,)) for member, snapshot in told]
    after = _announce_owner(row, after, is_now, received, emits)
    after = _emit_unattributed(after, is_now, away, stamp, emits)
    return after, emits


def _owner(row: PatientRow, provisional: bool) -> Owner:
    found = owner(row)
    if provisional and found.member is None:
        return Owner("~" + found.path[-1][0], "provisional", found.path, found.cycle)
    return found


def _announce_owner(
    row: PatientRow | None, after: PatientRow, now: Owner, received: int, emits: list[Emit]
) -> PatientRow:
    """Tells those whom this patient absorbed whose it is, when that is news to them."""
    if not after.absorbed:
        return after
    known = after.announced
    news = known is None or known.owner != now.member or known.path != now.path
    told = OwnerAnnouncement(known.epoch + 1 if known else 1, now.member, now.path) if news or known is None else known
    for retired, claim in sorted(after.absorbed.items()):
        if news or row is None or row.absorbed.get(retired) != claim:
            emits.append(
                link_record(
                    Link(
                        kind="merge",
                        patient=retired,
                        survivor=after.patient,
                        claim=claim,
                        told=told,
                        received=received,
                    )
                )
            )
    return replace(after, announced=told) if news else after


def _emit_unattributed(
    row: PatientRow, now: Owner, away: bool, stamp: tuple[str, bytes], emits: list[Emit]
) -> PatientRow:
    """Keeps `adt.unattributed.v1` true: a record while the patient has visits and no member, a tombstone afterwards."""
    reason: str | None = None
    if now.member is None and (row.visits or row.custody):
        reason = "directory-unavailable" if away and now.method == "no-match" else now.method
    # Identifiers only grow, so their number tells whether the directory has to be told of more.
    standing = None if reason is None else f"{reason}:{len(row.identifiers)}"
    if standing == row.unattributed:
        return row
    value = None
    if reason is not None:
        value = msgspec.json.encode(
            Unattributed(row.patient, tuple(sorted({row.patient, *row.identifiers})), reason, row.since)
        )
    emits.append(Emit(UNATTRIBUTED, row.patient.encode(), value, (stamp,)))
    return replace(row, unattributed=standing)
