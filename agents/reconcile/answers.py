"""What the directory, other rows and operators state about a patient, folded into its row (docs/records.md)."""

from __future__ import annotations

from collections.abc import Iterable

from agents.runtime.contract import Context
from domain.errors import Refusal
from domain.patient.demographics import GUARD_KEY
from domain.patient.fold import fold_guard, fold_link, fold_move, fold_roster, fold_survivor
from domain.patient.row import Claim, Guard, PatientRow, later, replace
from parsers.records.links import ANSWERED, Link


def fold_answers(row: PatientRow, questions: Iterable[str], context: Context) -> PatientRow:
    """The row once the directory has answered: member, time of the roster row, hashes of birth date, name and sex."""
    if context.lookups is None:
        return row
    for question in sorted(questions):
        answer = context.lookups.get(question)
        if answer:
            member, revision, *hashes = answer.split("\x1f")
            row = _fold_answer(row, question, member or None, Guard(int(revision or 0), *hashes))
    return row


def _fold_answer(row: PatientRow, identifier: str, member: str | None, guard: Guard) -> PatientRow:
    if not identifier.startswith(GUARD_KEY):
        row = fold_roster(row, identifier, member, guard.rev)
    else:
        member = identifier.removeprefix(GUARD_KEY)
    return row if member is None else fold_guard(row, member, guard)


def fold_link_record(row: PatientRow, link: Link, unknown: bool) -> PatientRow:
    """The row once a link is known. `unknown`: no message has named the patient yet."""
    if link.kind == "merge" and link.survivor and link.claim is not None:
        return fold_survivor(row, link.survivor, link.claim)
    if link.kind == "partner" and link.survivor and link.claim is not None:
        return fold_link(row, link.survivor, link.claim)
    if link.kind == "move" and link.identifier and link.claim is not None:
        return fold_move(row, link.identifier, link.claim)
    if link.kind == ANSWERED:
        return row
    if link.kind in ("group", "absorb"):  # `absorb` is of earlier versions
        return row if row.grouped else replace(row, grouped=True)
    if link.kind == "owner" and link.survivor and link.owner is not None:
        return _fold_owner(row, link)
    if link.method == "operator":
        return _fold_operator(row, link)
    if link.kind in ("waiting-match", "release"):
        if unknown:
            return row  # no message of this patient yet: its first one looks the directory up
        guard = link.guard if link.guard is not None else Guard(link.rev)
        return _fold_answer(row, link.identifier or row.patient, link.member, guard)
    raise Refusal("bad-link")


def _fold_owner(row: PatientRow, link: Link) -> PatientRow:
    announced = link.owner
    assert announced is not None
    assert link.survivor is not None
    if link.survivor == row.patient:
        known = row.group
        return row if known is not None and known.rev >= announced.rev else replace(row, group=announced)
    known = row.owners.get(link.survivor)
    if known is not None and known.rev >= announced.rev:
        return row
    return replace(row, owners={**row.owners, link.survivor: announced})


def _fold_operator(row: PatientRow, link: Link) -> PatientRow:
    if link.kind in ("assign", "release"):
        claim = later(row.operator, Claim(link.member if link.kind == "assign" else None, link.rev))
        return row if claim is row.operator else replace(row, operator=claim)
    if link.kind == "unmerge":
        claim = later(row.unmerged, Claim(link.actor or "operator", link.rev))
        return row if claim is row.unmerged else replace(row, unmerged=claim, grouped=True)
    raise Refusal("bad-link")
