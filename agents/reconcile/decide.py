"""The patient stage: what one hospital says about one of its patients becomes visits of a member.

Records in: ADT messages (`adt.raw.v1`), custody records (`custody.raw.v1`) and statements about identity
(`identity.links.v1`), all keyed by source patient. Out: whole snapshots to the member, links to other patients' rows,
the facts that groups of merged patients are resolved from, and which patients are unattributed. One decision folds the
record into the row and then derives what follows from the change.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from agents.graph import RECONCILE
from agents.links import link_record
from agents.reconcile.outputs import Identities, derive_outputs
from agents.reconcile.upcasters import UPCASTERS
from agents.runtime.contract import Context, Emit, Record, Stage, received_of
from agents.topics import ADT_RAW, CUSTODY_RAW, DEAD_LETTERS, IDENTITY_FACTS, LINKS, UNATTRIBUTED, VISITS
from domain.errors import Refusal
from domain.patient.demographics import demographic_keys, hash_name
from domain.patient.events import ACCOUNT_MOVE, DELETED, PATIENT, VISIT_MOVE, AdtEvent, Merge
from domain.patient.row import (
    LINKED,
    MERGED,
    SCHEMA,
    Claim,
    CustodyStatement,
    Guard,
    Hashes,
    PatientRow,
    claim_of,
    fold_custody,
    fold_event,
    fold_guard,
    fold_link,
    fold_move,
    fold_roster,
    fold_survivor,
    later,
    move_key,
    new_row,
    replace,
)
from domain.snapshots import Source
from parsers.hl7.adt import read_adt
from parsers.hl7.profiles import Profiles
from parsers.records.custody import CustodyRecord, read_custody
from parsers.records.links import Link, decode_link

TEST_KEY: Final = b"handoff"
"""The key of hashes where none is set: for replays and tests, which keep nothing."""
_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(PatientRow)
_REMEMBERED: Final = 4096
_GUARD: Final = "guard|"


def stage(profiles: Profiles, provisional: bool = False, key: bytes = TEST_KEY) -> Stage:
    """The patient stage, reading messages with `profiles`.

    With `provisional` each unmatched patient is a member of its own (`~authority|number`): for replays that have no
    roster. `key` is the key of hashes; the directory must have the same.
    """
    events = _Events(profiles)
    identities = Identities(key, provisional)

    def lookups(record: Record) -> Iterable[str]:
        return _questions(record, events, key)

    def decide(row: PatientRow | None, record: Record, context: Context) -> tuple[PatientRow | None, list[Emit]]:
        return _decide(row, record, context, events, identities)

    return Stage(
        name=RECONCILE.name,
        inputs=RECONCILE.reads,
        changelog=RECONCILE.changelog,
        outputs=(VISITS, LINKS, IDENTITY_FACTS, UNATTRIBUTED),
        dead_letters=DEAD_LETTERS,
        row_key=row_key,
        decide=decide,
        encode=_ENCODER.encode,
        decode=read_row,
        next_due=_never,
        lookups=lookups,
        ticks=False,
        impair=_impaired,
        schema=SCHEMA,
        upcasters=UPCASTERS,
    )


class _Events:
    """Reads each ADT record once, though both the look-ups and the decision need it."""

    def __init__(self, profiles: Profiles) -> None:
        self._profiles = profiles
        self._read: dict[tuple[int, int], AdtEvent] = {}

    def of(self, record: Record) -> AdtEvent:
        """The event of a record of `adt.raw.v1`. Raises Refusal."""
        position = (record.partition, record.offset)
        known = self._read.get(position)
        if known is None:
            sender = record.headers.get("sender", b"").decode("utf-8", "replace")
            known = read_adt(record.value or b"", self._profiles.named(sender))
            if len(self._read) >= _REMEMBERED:
                self._read.clear()
            self._read[position] = known
        return known


def row_key(record: Record) -> str:
    """The source patient a record is for: the record's key. Raises Refusal("no-key")."""
    if not record.key:
        raise Refusal("no-key")
    return record.key.decode("utf-8", "replace")


def read_row(value: bytes) -> PatientRow:
    """A row from what this version's stage encoded (`agents.runtime.store.row_of` reads earlier ones).

    Raises ValueError for another version's.
    """
    row = _DECODER.decode(value)
    if row.schema != SCHEMA:
        raise ValueError(f"a patient row of schema {row.schema}; this version reads {SCHEMA}")
    return row


def _impaired(row: PatientRow) -> PatientRow:
    return row if row.impaired else replace(row, impaired=True)


def _never(_: Any) -> None:
    return None


def _questions(record: Record, events: _Events, key: bytes) -> Iterable[str]:
    """What to ask the directory: the guard of the member that a record names, else its identifiers and demographics."""
    if record.topic == ADT_RAW:
        try:
            event = events.of(record)
        except Refusal:
            return ()
        if event.cin is not None:
            return (_GUARD + event.cin,)
        own = {event.patient, *(f"{i.authority}|{i.number}" for i in event.identifiers if i.authority)}
        return own | set(_hashes(event, key).demographics)
    if record.topic == CUSTODY_RAW and record.value:
        try:
            custody = read_custody(record.value)
        except Refusal:
            return ()
        return () if custody.cin else {row_key(record), *custody.identifiers}
    return ()


def _hashes(event: AdtEvent, key: bytes) -> Hashes:
    birth = None if event.birth_date == DELETED else event.birth_date
    name = hash_name(key, event.family_name, event.given_name)
    asked = demographic_keys(key, event.family_name, event.given_name, birth, event.sex, event.zip, event.phone)
    return Hashes(name, asked)


def _decide(
    row: PatientRow | None, record: Record, context: Context, events: _Events, identities: Identities
) -> tuple[PatientRow | None, list[Emit]]:
    received = received_of(record)
    patient = row_key(record)
    before = row if row is not None else new_row(patient, received)
    emits: list[Emit] = []
    if record.topic == ADT_RAW:
        event = events.of(record)
        if not event.patient:  # about a bed: accepted, and nothing follows
            return row, []
        if event.patient != patient:
            raise Refusal("key-mismatch", "PID-3")
        source = Source(event.sender, event.control_id, record.coordinates)
        after = fold_event(before, event, source, received, _hashes(event, identities.key))
        emits += _links_of(event, patient, received)
        after = _fold_answers(after, _questions(record, events, identities.key), context)
    elif record.topic == CUSTODY_RAW:
        after = _fold_custody(before, record, received)
        after = _fold_answers(after, _questions(record, events, identities.key), context)
    elif record.topic == LINKS:
        after = _fold_link(before, decode_link(record.value or b""), row is None)
    else:
        raise Refusal("unexpected-topic")
    if after is before and row is not None:
        return row, emits
    away = context.lookups is None and record.topic != LINKS
    return derive_outputs(row, after, received, away, identities, emits)


def _links_of(event: AdtEvent, patient: str, received: int) -> list[Emit]:
    """Links to the other patients that a message names: merges, moves and partners. A repeat links again, which their
    rows ignore.
    """
    links: list[Link] = []
    for merge in event.merges:
        links += _links_of_merge(event, merge, patient, received)
    if event.partner is not None and event.trigger in ("A24", "A37") and event.partner != patient:
        claim = claim_of(event, LINKED if event.trigger == "A24" else None)
        links.append(Link("partner", event.partner, received, survivor=patient, claim=claim))
    return [link_record(link) for link in links]


def _links_of_merge(event: AdtEvent, merge: Merge, patient: str, received: int) -> list[Link]:
    if merge.other == merge.survivor:
        return []
    if merge.unit == PATIENT:
        claim = claim_of(event, MERGED)
        found = [Link("merge", merge.other, received, survivor=merge.survivor, claim=claim)]
        return found if merge.survivor == patient else [*found, Link("group", merge.survivor, received)]
    if merge.unit in (ACCOUNT_MOVE, VISIT_MOVE):
        claim = claim_of(event, merge.survivor)
        named = {merge.other, merge.survivor} - {patient}
        return [Link("move", each, received, identifier=move_key(merge), claim=claim) for each in sorted(named)]
    return []


def _fold_answers(row: PatientRow, questions: Iterable[str], context: Context) -> PatientRow:
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
    if not identifier.startswith(_GUARD):
        row = fold_roster(row, identifier, member, guard.rev)
    else:
        member = identifier.removeprefix(_GUARD)
    return row if member is None else fold_guard(row, member, guard)


def _fold_custody(row: PatientRow, record: Record, received: int) -> PatientRow:
    custody: CustodyRecord = read_custody(record.value or b"")
    statement = CustodyStatement(
        kind=custody.kind,
        received=received,
        occurred=custody.occurred,
        scheduled=custody.scheduled,
        facility=custody.facility,
        facility_type=custody.facility_type,
        origin=custody.source,
        source=Source(custody.source, custody.record_id, record.coordinates),
        deleted=custody.kind == "deleted",
    )
    others = set(custody.identifiers) - {row.patient}
    if not others <= set(row.identifiers):
        row = replace(row, identifiers=tuple(sorted({*row.identifiers, *others})[:32]))
    return fold_custody(row, custody.record_id, statement, custody.cin)


def _fold_link(row: PatientRow, link: Link, unknown: bool) -> PatientRow:
    """The row once a link is known. `unknown`: no message has named the patient yet."""
    if link.kind == "merge" and link.survivor and link.claim is not None:
        return fold_survivor(row, link.survivor, link.claim)
    if link.kind == "partner" and link.survivor and link.claim is not None:
        return fold_link(row, link.survivor, link.claim)
    if link.kind == "move" and link.identifier and link.claim is not None:
        return fold_move(row, link.identifier, link.claim)
    if link.kind == "group":
        return row if row.grouped else replace(row, grouped=True)
    if link.kind == "absorb":
        return row if row.grouped else replace(row, grouped=True)
    if link.kind == "owner" and link.survivor and link.owner is not None:
        return _fold_owner(row, link)
    if link.method == "operator":
        return _fold_operator(row, link)
    if link.kind in ("waiting-match", "release"):
        if unknown:
            return row  # the directory names a patient whom no message has named: it is asked when one does
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
