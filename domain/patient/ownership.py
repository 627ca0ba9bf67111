"""Whose patient it is: one answer from all that was claimed, the same whatever the order of the claims.

An operator's word wins; then the owner of the patient this one was merged into; then the CIN that its messages carried
last; then the member that the roster names for its identifiers, if they agree. Chains of merges are followed as the
survivors announce them. Two rows that were merged into each other form a cycle: the merge with the smallest rank in it
is refused, so every row of the cycle comes to the same answer.
"""

from __future__ import annotations

from typing import Final

import msgspec

from domain.patient.row import Claim, OwnerAnnouncement, PatientRow

MAX_CHAIN: Final = 32


class Owner(msgspec.Struct, frozen=True, gc=False):
    """`member` (None: nobody yet), how it was found, and `path`: the chain of merges that led there, this row first."""

    member: str | None
    method: str
    path: tuple[tuple[str, str], ...]
    cycle: bool = False


def rank_text(claim: Claim) -> str:
    """A claim's rank as text that sorts like the rank (the order decides which merge of a cycle is refused)."""
    return f"{claim.recorded:020d}.{claim.built:020d}.{claim.sequence + 1:012d}.{claim.control_id}"


def own_evidence(row: PatientRow) -> tuple[str | None, str]:
    """The member that this row's own evidence names, and how; (None, reason) when it names none."""
    if row.cin is not None:
        return row.cin.value, "cin"
    named = {claim.value for claim in row.roster.values() if claim.value is not None}
    if len(named) == 1:
        return named.pop(), "roster"
    if named:
        return None, "ambiguous"
    return None, "bad-cin" if row.bad_cin else "no-match"


def owner(row: PatientRow) -> Owner:
    """Whose patient this is now."""
    root = ((row.patient, ""),)
    if row.operator is not None and row.operator.value is not None:
        return Owner(row.operator.value, "operator", root)
    member, method = own_evidence(row)
    if row.merged is None or row.merged.value is None:
        return Owner(member, method, root)
    mine = (row.patient, rank_text(row.merged))
    told = row.announcements.get(row.merged.value)
    if told is None:
        return Owner(member, method, (mine, (row.merged.value, "")))
    keys = [key for key, _ in told.path]
    if row.patient in keys:
        cycle = told.path[: keys.index(row.patient)]
        if all((mine[1], mine[0]) < (rank, key) for key, rank in cycle):
            return Owner(member, method, root, cycle=True)
        return Owner(told.owner, "merge", (mine, *cycle), cycle=True)
    path = (mine, *told.path)[:MAX_CHAIN]
    return Owner(told.owner, "merge", path) if told.owner is not None else Owner(member, method, path)


def fold_announcement(row: PatientRow, survivor: str, merge: Claim, told: OwnerAnnouncement) -> PatientRow:
    """The row once `survivor` said that it absorbed this patient (by `merge`) and whose it is itself."""
    changes: dict[str, object] = {}
    claim = Claim(survivor, merge.recorded, merge.built, merge.sequence, merge.control_id)
    if row.merged is None or claim.rank > row.merged.rank:
        changes["merged"] = claim
    known = row.announcements.get(survivor)
    if known is None or told.epoch > known.epoch:
        changes["announcements"] = {**row.announcements, survivor: told}
    return msgspec.structs.replace(row, **changes) if changes else row
