"""Add one record to a patient row. A fold returns the same object if the record adds nothing.

Every field of the row is a set or a claim of the greatest rank, so the order of the records has no influence. Rules:
docs/semantics.md#the-patient-stage.
"""

from __future__ import annotations

from typing import Any, Final

from domain.patient.events import (
    ACCOUNT,
    ACCOUNT_MOVE,
    DELETED,
    VISIT,
    VISIT_MOVE,
    AdtEvent,
    Merge,
    VisitStatement,
    When,
)
from domain.patient.row import (
    LINKED,
    Claim,
    CustodyStatement,
    Death,
    Guard,
    Hashes,
    PatientRow,
    claim_of,
    later,
    replace,
)
from domain.patient.statements import OUTSIDE_VISITS, add, statement_of
from domain.snapshots import Source
from domain.times import day_of, local_day

MOST_IDENTIFIERS: Final = 32
NEWBORN_DAYS: Final = 31
"""A patient born so many days before a visit, or fewer, is a newborn of it."""


def fold_event(row: PatientRow, event: AdtEvent, source: Source, received: int, hashes: Hashes) -> PatientRow:
    """The row after `event`; the same object if it adds nothing.

    `hashes` are of its demographics, `received` is ms UTC.
    """
    changes: dict[str, Any] = {}
    known = set(row.identifiers)
    others = {f"{i.authority}|{i.number}" for i in event.identifiers if i.authority and i.number} - {row.patient}
    if not others <= known:
        changes["identifiers"] = tuple(sorted(known | others)[:MOST_IDENTIFIERS])
    if event.cin is not None:
        cin = later(row.cin, claim_of(event, event.cin))
        if cin is not row.cin:
            changes["cin"] = cin
    elif event.bad_cin and not row.bad_cin:
        changes["bad_cin"] = True
    changes.update(_fold_person(row, event, source, hashes))
    if event.visit is not None and event.trigger not in OUTSIDE_VISITS:
        changes.update(_fold_visit(row, event, event.visit, source, received))
    for merge in event.merges:
        _fold_merge(row, changes, event, merge)
    if event.partner is not None and event.trigger in ("A24", "A37"):
        linked = fold_link(row, event.partner, claim_of(event, LINKED if event.trigger == "A24" else None))
        if linked is not row:
            changes |= {"partners": linked.partners, "survivors": linked.survivors, "grouped": True}
    return replace(row, **changes) if changes else row


def _fold_person(row: PatientRow, event: AdtEvent, source: Source, hashes: Hashes) -> dict[str, Any]:
    """Facts about the person: each has the value of the greatest rank (docs/semantics.md#facts-about-the-person)."""
    changes: dict[str, Any] = {}
    for field, value in (("birth", event.birth_date), ("sex", event.sex), ("name", hashes.name or None)):
        known: Claim | None = getattr(row, field)
        if value is None:
            continue
        claim = later(known, claim_of(event, None if value == DELETED else value))
        if claim is not known:
            changes[field] = claim
    if not set(hashes.demographics) <= set(row.demographics):
        changes["demographics"] = tuple(sorted({*row.demographics, *hashes.demographics})[:MOST_IDENTIFIERS])
    if event.died is not None:
        at = event.died if isinstance(event.died, When) else None
        claim = claim_of(event, None if at is None else f"{at.at}")
        if row.death is None or claim.rank > row.death.claim.rank:
            changes["death"] = Death(claim, at, source)
    if not row.newborn and event.visit is not None and _is_newborn(event):
        changes["newborn"] = True
    return changes


def _is_newborn(event: AdtEvent) -> bool:
    visit = event.visit
    assert visit is not None
    if visit.patient_class == "newborn" or visit.admission_type == "4":
        return True
    if event.birth_date is None or event.birth_date == DELETED:
        return False
    at = visit.admitted.at if isinstance(visit.admitted, When) else event.recorded
    return 0 <= local_day(at) - day_of(event.birth_date) <= NEWBORN_DAYS


def _fold_visit(
    row: PatientRow, event: AdtEvent, visit: VisitStatement, source: Source, received: int
) -> dict[str, Any]:
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
        _fold_claim(row, changes, "ties", visit.prior_visit, claim_of(event, visit.key))
    return changes


def _fold_claim(row: PatientRow, changes: dict[str, Any], field: str, key: str, claim: Claim) -> None:
    """Add the claim on `key` in the field `ties` or `moves` to `changes`, unless a later one is known."""
    claims: dict[str, Claim] = changes.get(field, getattr(row, field))
    known = claims.get(key)
    last = later(known, claim)
    if last is not known:
        changes[field] = {**claims, key: last}


def _fold_merge(row: PatientRow, changes: dict[str, Any], event: AdtEvent, merge: Merge) -> None:
    """Add the changes of a merge in the row of its survivor to `changes`; links carry it to other rows."""
    if merge.survivor != row.patient:
        return
    if merge.unit in (ACCOUNT, VISIT):
        if merge.former != merge.now:
            _fold_claim(row, changes, "ties", merge.former, claim_of(event, merge.now))
        return
    if merge.other != row.patient and not row.grouped:
        changes["grouped"] = True
    if merge.unit in (ACCOUNT_MOVE, VISIT_MOVE):
        _fold_claim(row, changes, "moves", move_key(merge), claim_of(event, row.patient))


def move_key(merge: Merge) -> str:
    """The key of a moved visit or account in `moves`."""
    return f"{merge.unit}:{merge.former}"


def fold_move(row: PatientRow, key: str, claim: Claim) -> PatientRow:
    """The row after the statement that the visit or account `key` belongs to the patient `claim.value`."""
    known = row.moves.get(key)
    tie = later(known, claim)
    return row if tie is known else replace(row, moves={**row.moves, key: tie}, grouped=True)


def fold_link(row: PatientRow, partner: str, claim: Claim) -> PatientRow:
    """The row after a link with `partner` (A24) or its removal (A37, value None), which also ends their merge."""
    if partner == row.patient:
        return row
    known = row.partners.get(partner)
    link = later(known, claim)
    survivors = row.survivors
    if claim.value is None and partner in survivors:
        apart = later(survivors[partner], claim)
        survivors = survivors if apart is survivors[partner] else {**survivors, partner: apart}
    if link is known and survivors is row.survivors:
        return row
    return replace(row, partners={**row.partners, partner: link}, survivors=survivors, grouped=True)


def fold_survivor(row: PatientRow, survivor: str, claim: Claim) -> PatientRow:
    """The row after a merge into `survivor`; a later A37 about the two ends it."""
    if survivor == row.patient:
        return row
    known = row.survivors.get(survivor)
    merged = later(known, claim)
    apart = row.partners.get(survivor)
    if apart is not None and apart.value is None:
        merged = later(merged, apart)
    return row if merged is known else replace(row, survivors={**row.survivors, survivor: merged}, grouped=True)


def fold_custody(row: PatientRow, record_id: str, statement: CustodyStatement, cin: str | None) -> PatientRow:
    """The row after one version of a custody record."""
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
    """The row after the roster named a member for one of its identifiers (None: names no member any more).

    `revision` is the time (ms UTC) of the roster statement.
    """
    known = row.roster.get(identifier)
    claim = later(known, Claim(member, revision))
    if claim is known:
        return row
    return replace(row, roster={**row.roster, identifier: claim})


def fold_guard(row: PatientRow, member: str, guard: Guard) -> PatientRow:
    """The row with the roster's hashes of a member, unless it has later ones."""
    known = row.guards.get(member)
    if known is not None and known.rev >= guard.rev:
        return row
    return replace(row, guards={**row.guards, member: guard})
