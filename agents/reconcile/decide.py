"""Decisions of the patient stage: statements of hospitals about their patients become visits of members.

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
from agents.reconcile.answers import fold_answers, fold_link_record
from agents.reconcile.outputs import Identities, asks, derive_outputs
from agents.reconcile.upcasters import UPCASTERS
from agents.runtime.contract import Context, Emit, Record, Stage, received_of
from agents.runtime.rows import check_schema, mark_impaired, row_key
from agents.topics import ADT_RAW, CUSTODY_RAW, DEAD_LETTERS, IDENTITY_FACTS, LINKS, UNATTRIBUTED, VISITS
from domain.errors import Refusal
from domain.patient.demographics import GUARD_KEY, demographic_keys, hash_name
from domain.patient.events import ACCOUNT_MOVE, DELETED, PATIENT, VISIT_MOVE, AdtEvent, Merge
from domain.patient.fold import (
    fold_custody,
    fold_event,
    move_key,
)
from domain.patient.row import (
    LINKED,
    MERGED,
    SCHEMA,
    CustodyStatement,
    Hashes,
    PatientRow,
    claim_of,
    new_row,
    replace,
)
from domain.snapshots import Source
from parsers.hl7.adt import read_adt
from parsers.hl7.profiles import Profiles
from parsers.records.custody import CustodyRecord, read_custody
from parsers.records.links import ANSWERED, Link, decode_link

TEST_KEY: Final = b"handoff"
"""The key of hashes where none is set: for replays and tests, which keep nothing."""
_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(PatientRow)
_REMEMBERED: Final = 4096


def stage(profiles: Profiles, provisional: bool = False, key: bytes = TEST_KEY) -> Stage:
    """The patient stage, reading messages with `profiles`.

    With `provisional` each unmatched patient is a member of its own (`~authority|number`): for replays that have no
    roster. `key` is the key of hashes; the directory must have the same.
    """
    messages = _Messages(profiles, key)
    identities = Identities(key, provisional)

    def lookups(record: Record) -> Iterable[str]:
        return _lookup_keys(record, messages)

    def decide(row: PatientRow | None, record: Record, context: Context) -> tuple[PatientRow | None, list[Emit]]:
        return _decide(row, record, context, messages, identities)

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
        impair=mark_impaired,
        schema=SCHEMA,
        upcasters=UPCASTERS,
    )


class _Message(msgspec.Struct, frozen=True, gc=False):
    """An ADT record: its event, the hashes of its demographics, and the keys to look up in the directory."""

    event: AdtEvent
    hashes: Hashes
    lookups: frozenset[str]


class _Messages:
    """Parses and hashes each ADT record once, for its look-ups and its decision."""

    def __init__(self, profiles: Profiles, key: bytes) -> None:
        self._profiles, self._key = profiles, key
        self._read: dict[tuple[int, int], _Message] = {}

    def of(self, record: Record) -> _Message:
        """A record of `adt.raw.v1`, read. Raises Refusal."""
        position = (record.partition, record.offset)
        known = self._read.get(position)
        if known is None:
            sender = record.headers.get("sender", b"").decode("utf-8", "replace")
            event = read_adt(record.value or b"", self._profiles.named(sender))
            hashes = _hashes(event, self._key)
            known = _Message(event, hashes, _keys_of_event(event, hashes))
            if len(self._read) >= _REMEMBERED:
                self._read.clear()
            self._read[position] = known
        return known


def read_row(value: bytes) -> PatientRow:
    """A row from what this version's stage encoded (`agents.runtime.store.row_of` reads earlier ones).

    Raises ValueError for another version's.
    """
    return check_schema(_DECODER.decode(value), SCHEMA)


def _never(_: Any) -> None:
    return None


def _lookup_keys(record: Record, messages: _Messages) -> Iterable[str]:
    """The keys to look up in the directory; none for a record that cannot be read."""
    try:
        if record.topic == ADT_RAW:
            return messages.of(record).lookups
        if record.topic == CUSTODY_RAW and record.value:
            return _keys_of_custody(record, read_custody(record.value))
    except Refusal:
        pass
    return ()


def _keys_of_event(event: AdtEvent, hashes: Hashes) -> frozenset[str]:
    """The guard of a message's CIN, else its identifiers and demographics."""
    if event.cin is not None:
        return frozenset((GUARD_KEY + event.cin,))
    numbers = (f"{i.authority}|{i.number}" for i in event.identifiers if i.authority)
    return frozenset((event.patient, *numbers, *hashes.demographics))


def _keys_of_custody(record: Record, custody: CustodyRecord) -> frozenset[str]:
    """The identifiers of a custody record that has no CIN."""
    return frozenset() if custody.cin else frozenset((row_key(record), *custody.identifiers))


def _hashes(event: AdtEvent, key: bytes) -> Hashes:
    birth = None if event.birth_date == DELETED else event.birth_date
    name = hash_name(key, event.family_name, event.given_name)
    asked = demographic_keys(key, event.family_name, event.given_name, birth, event.sex, event.zip, event.phone)
    return Hashes(name, asked)


def _decide(
    row: PatientRow | None, record: Record, context: Context, messages: _Messages, identities: Identities
) -> tuple[PatientRow | None, list[Emit]]:
    received = received_of(record)
    patient = row_key(record)
    before = row if row is not None else new_row(patient, received)
    emits: list[Emit] = []
    away = context.lookups is None
    if record.topic == ADT_RAW:
        message = messages.of(record)
        event = message.event
        if not event.patient:  # about a bed: accepted, and nothing follows
            return row, []
        if event.patient != patient:
            raise Refusal("key-mismatch", "PID-3")
        source = Source(event.sender, event.control_id, record.coordinates)
        after = fold_event(before, event, source, received, message.hashes)
        emits += _links_of(event, patient, received)
        after = fold_answers(after, message.lookups, context)
    elif record.topic == CUSTODY_RAW:
        custody = read_custody(record.value or b"")
        asked = _keys_of_custody(record, custody)
        away = away and bool(asked)
        after = fold_answers(_fold_custody(before, custody, record, received), asked, context)
    elif record.topic == LINKS:
        link = decode_link(record.value or b"")
        away = asks(row) and link.kind != ANSWERED
        after = fold_link_record(before, link, row is None)
        if link.kind == ANSWERED and not asks(row):
            return row, []  # a repeat, or the row has asked something else since
    else:
        raise Refusal("unexpected-topic")
    answered = asks(row) and not away
    if after is before and row is not None and not answered:
        return row, emits
    return derive_outputs(row, after, received, away, identities, emits)


def _links_of(event: AdtEvent, patient: str, received: int) -> list[Emit]:
    """Links to the other patients that a message names: merges, moves and partners. A repeat emits them
    again without effect.
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


def _fold_custody(row: PatientRow, custody: CustodyRecord, record: Record, received: int) -> PatientRow:
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
