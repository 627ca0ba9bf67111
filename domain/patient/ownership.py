"""Resolve a source patient's member from competing claims; order does not matter (docs/semantics.md#ownership).

First an operator's decision. Else the group of merged and linked patients, as the directory resolved it. Else the row's
own evidence: the CIN stated last; the member that the roster names for its identifiers, if they agree; the member whose
demographics match. A CIN or roster number is accepted only if the roster's birth date of that member agrees
(`domain.patient.demographics`).
"""

from __future__ import annotations

from typing import Final

import msgspec

from domain.patient.demographics import CONFLICT, DEMOGRAPHICS_KEY, GUARD_KEY, compare
from domain.patient.facts import CIN, OPERATOR, Evidence, PatientFacts
from domain.patient.row import Claim, PatientRow

ROSTER: Final = "roster"
DEMOGRAPHICS: Final = "demographics"
MERGE: Final = "merge"
CHILD: Final = "child_of"
IDENTITY_CONFLICT: Final = "identity-conflict"


class Owner(msgspec.Struct, frozen=True, gc=False):
    """`member` (None: unattributed); `method` is the kind of evidence, or the reason for None."""

    member: str | None
    method: str


def own_evidence(row: PatientRow, key: bytes) -> tuple[Claim | None, str]:
    """(claim whose value is the member, method) by this row's own evidence; (None, reason) without any.

    `key` is the key of hashes. The reasons are those of docs/records.md#adtunattributedv1.
    """
    refused = ""
    if row.cin is not None and row.cin.value is not None:
        refused = _refused(row, row.cin.value, key)
        if not refused:
            return row.cin, CIN
    for method, named in (
        (ROSTER, [claim for name, claim in row.roster.items() if not name.startswith(DEMOGRAPHICS_KEY)]),
        (DEMOGRAPHICS, [claim for name, claim in row.roster.items() if name.startswith(DEMOGRAPHICS_KEY)]),
    ):
        members = {claim.value for claim in named if claim.value is not None}
        if len(members) > 1:
            return None, "ambiguous"
        if method == DEMOGRAPHICS and refused:
            break  # a number says one person, name and birth date another: an operator decides
        if members:
            claim = max((c for c in named if c.value in members), key=lambda c: c.rank)
            why_not = _refused(row, str(claim.value), key) if method == ROSTER else ""
            if not why_not:
                return claim, method
            refused = refused or why_not
    return None, refused or ("bad-cin" if row.bad_cin else "no-match")


def _refused(row: PatientRow, member: str, key: bytes) -> str:
    """The reason for which a number of `member` is refused for this patient; "" for an accepted one."""
    guard = row.guards.get(member)
    if guard is None:
        return ""
    birth = None if row.birth is None else row.birth.value
    name = "" if row.name is None else row.name.value or ""
    sex = None if row.sex is None else row.sex.value
    if compare(key, guard, birth, name, sex) != CONFLICT:
        return ""
    return CHILD if row.newborn else IDENTITY_CONFLICT


def owner(row: PatientRow, key: bytes) -> Owner:
    """The member of this patient. `key` is the key of hashes."""
    if row.operator is not None and row.operator.value is not None:
        return Owner(row.operator.value, OPERATOR)
    claim, method = own_evidence(row, key)
    if row.group is not None and row.grouped and row.group.member is not None:
        return Owner(row.group.member, method if claim is not None and claim.value == row.group.member else MERGE)
    return Owner(None if claim is None else claim.value, method)


def facts_of(row: PatientRow, key: bytes) -> PatientFacts:
    """The edges and the evidence that this row publishes for its group; nothing in them depends on a resolution."""
    claim, method = own_evidence(row, key)
    void = -1 if row.unmerged is None or row.unmerged.value is None else row.unmerged.recorded
    merges = [
        Claim(survivor, merge.recorded, merge.built, merge.sequence, merge.control_id)
        for survivor, merge in row.survivors.items()
        if merge.value is not None and merge.recorded > void
    ]
    follows = {move.value for move in row.moves.values() if move.value is not None} - {row.patient}
    operator = row.operator if row.operator is not None and row.operator.value is not None else None
    return PatientFacts(
        patient=row.patient,
        parent=max(merges, key=lambda merge: merge.rank, default=None),
        partners=row.partners,
        evidence=None if claim is None else Evidence(claim, method),
        operator=None if operator is None else Evidence(operator, OPERATOR),
        follows=tuple(sorted(follows)),
        asks={} if claim is None else asks_of(row),
    )


def asks_of(row: PatientRow) -> dict[str, int]:
    """The identifiers whose owners decide about this row, with the revision of the answer that it has (0: none).

    With a CIN, only the guard of its member does, which needs a birth date to compare; else all identifiers do. Which
    ones it asks depends on statements alone, so no answer leads to another question.
    """
    if row.cin is not None and row.cin.value is not None:
        if row.birth is None or row.birth.value is None:
            return {}
        guard = row.guards.get(row.cin.value)
        return {GUARD_KEY + row.cin.value: 0 if guard is None else guard.rev}
    asked = (row.patient, *row.identifiers, *row.demographics)
    return {name: row.roster[name].recorded if name in row.roster else 0 for name in asked if name.isprintable()}
