"""Derive what a change of a source patient's row publishes.

Whole snapshots to the member it belongs to (and withdrawals to the one it belonged to), its facts for the group of
merged patients, and whether it is still unattributed.
"""

from __future__ import annotations

from hashlib import blake2b

import msgspec

from agents.runtime.contract import Emit
from agents.topics import IDENTITY_FACTS, UNATTRIBUTED, VISITS
from domain.patient.demographics import GUARD_KEY
from domain.patient.facts import CIN, PatientFacts
from domain.patient.ownership import Owner, asks_of, facts_of, own_evidence, owner
from domain.patient.publish import publish
from domain.patient.row import PatientRow, replace
from parsers.records.facts import encode_facts
from parsers.records.unattributed import OPEN_QUESTIONS, UNAVAILABLE, UNCHECKED, Unattributed
from parsers.records.visits import encode_snapshot


class Identities(msgspec.Struct, frozen=True):
    """How identities are compared: the key of hashes, and whether an unmatched patient is a member of its own."""

    key: bytes
    provisional: bool = False

    def owner(self, row: PatientRow) -> Owner:
        """The member that a row belongs to."""
        found = owner(row, self.key)
        if self.provisional and found.member is None:
            root = row.group.root if row.group is not None and row.grouped and row.group.root else row.patient
            return Owner("~" + root, "provisional")
        return found


def derive_outputs(
    row: PatientRow | None, after: PatientRow, received: int, away: bool, identities: Identities, emits: list[Emit]
) -> tuple[PatientRow, list[Emit]]:
    """(the row with its memory, `emits` and what follows from the change). `received` is ms UTC.

    `away`: the directory has not answered yet for what the row asks.
    """
    now = identities.owner(after)
    before = identities.owner(row).member if row is not None else None
    after, outgoing = publish(row, after, now.member, before, received, provisional=identities.provisional)
    stamp = ("received", str(received).encode())
    emits += [Emit(VISITS, member.encode(), encode_snapshot(each, member), (stamp,)) for member, each in outgoing]
    after = _emit_facts(after, identities, stamp, emits)
    after = _emit_unattributed(after, now, away, stamp, emits)
    return after, emits


def asks(row: PatientRow | None) -> bool:
    """Whether the row waits for an answer of the directory."""
    return row is not None and (row.unattributed or "").partition(":")[0] in OPEN_QUESTIONS


def _emit_facts(row: PatientRow, identities: Identities, stamp: tuple[str, bytes], emits: list[Emit]) -> PatientRow:
    """Publish the row's edges and evidence when they changed and a group has use for them, and what it asks the
    directory. The revisions of the answers that it has are no change: answers lead to no facts.
    """
    if row.grouped:
        facts = facts_of(row, identities.key)
    else:
        asks = asks_of(row) if own_evidence(row, identities.key)[0] is not None else {}
        if not asks:
            return row
        facts = PatientFacts(row.patient, asks=asks)
    content = encode_facts(msgspec.structs.replace(facts, asks=dict.fromkeys(facts.asks, 0)))
    digest = blake2b(content, digest_size=8).digest()
    if digest == row.facts:
        return row
    emits.append(Emit(IDENTITY_FACTS, row.patient.encode(), encode_facts(facts), (stamp,)))
    return replace(row, facts=digest)


def _emit_unattributed(
    row: PatientRow, now: Owner, away: bool, stamp: tuple[str, bytes], emits: list[Emit]
) -> PatientRow:
    """Keep `adt.unattributed.v1` true: a record while the patient has visits and no member, or a member by a CIN that
    could not be checked; a tombstone afterwards."""
    reason: str | None = None
    if row.visits or row.custody:
        if now.member is None:
            reason = UNAVAILABLE if away and now.method == "no-match" else now.method
        elif away and now.method == CIN and now.member not in row.guards:
            reason = UNCHECKED
    identifiers = {row.patient, *row.identifiers, *row.demographics}
    if row.cin is not None and row.cin.value is not None:
        identifiers.add(GUARD_KEY + row.cin.value)
    # Identifiers are only added, so a new number means that the directory has to get the new list.
    current = None if reason is None else f"{reason}:{len(identifiers)}"
    if current == row.unattributed:
        return row
    value = None
    if reason is not None:
        value = msgspec.json.encode(Unattributed(row.patient, tuple(sorted(identifiers)), reason, row.since))
    emits.append(Emit(UNATTRIBUTED, row.patient.encode(), value, (stamp,)))
    return replace(row, unattributed=current)
