"""The patient stage: what one hospital says about one of its patients becomes visits of a member.

Records in: ADT messages (`adt.raw.v1`), custody records (`custody.raw.v1`) and statements about identity
(`identity.links.v1`), all keyed by source patient. Out: whole snapshots to the member, links to other patients' rows,
and who is still nobody's. One decision is: fold the record into the row, then *settle* what follows from the change.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from agents.graph import RECONCILE
from agents.links import link_record
from agents.reconcile.outputs import derive_outputs
from agents.runtime.contract import Context, Emit, Record, Stage, Upcaster, received_of
from agents.topics import ADT_RAW, CUSTODY_RAW, DEAD_LETTERS, LINKS, UNATTRIBUTED, VISITS
from domain.errors import Refusal
from domain.patient.events import AdtEvent
from domain.patient.ownership import fold_announcement
from domain.patient.row import (
    SCHEMA,
    Claim,
    CustodyStatement,
    PatientRow,
    claim_of,
    fold_custody,
    fold_event,
    fold_roster,
    later,
    new_row,
    replace,
)
from domain.snapshots import Source
from parsers.hl7.adt import read_adt
from parsers.hl7.profiles import Profiles
from parsers.records.custody import CustodyRecord, read_custody
from parsers.records.links import Link, decode_link

_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(PatientRow)
_REMEMBERED: Final = 4096


def _from_1(body: bytes) -> bytes:
    """Statements gained `creates`, at their end: those of version 1 never did, which is what a missing one reads as."""
    _, *rest = msgspec.msgpack.decode(body)
    return msgspec.msgpack.encode([2, *rest])


UPCASTERS: Final[tuple[Upcaster, ...]] = (_from_1,)
"""One step for each row version before `domain.patients.SCHEMA`, oldest first."""


def stage(profiles: Profiles, provisional: bool = False) -> Stage:
    """The patient stage, reading messages with `profiles`.

    With `provisional` each unmatched patient is a member of its own (`~authority|number`): for replays that have no
    roster.
    """
    events = _Events(profiles)

    def lookups(record: Record) -> Iterable[str]:
        return _questions(record, events)

    def decide(row: PatientRow | None, record: Record, context: Context) -> tuple[PatientRow | None, list[Emit]]:
        return _decide(row, record, context, events, provisional)

    return Stage(
        name=RECONCILE.name,
        inputs=RECONCILE.reads,
        changelog=RECONCILE.changelog,
        outputs=(VISITS, LINKS, UNATTRIBUTED),
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
    """A row from what this version's stage encoded (`agents.rows.row_of` reads earlier ones). Raises ValueError for
    another version's.
    """
    row = _DECODER.decode(value)
    if row.schema != SCHEMA:
        raise ValueError(f"a patient row of schema {row.schema}; this version reads {SCHEMA}")
    return row


def _impaired(row: PatientRow) -> PatientRow:
    return row if row.impaired else replace(row, impaired=True)


def _never(_: Any) -> None:
    return None


def _questions(record: Record, events: _Events) -> Iterable[str]:
    """The identifiers to ask the directory about; none when the record names the member itself."""
    if record.topic == ADT_RAW:
        try:
            event = events.of(record)
        except Refusal:
            return ()
        if event.cin is not None:
            return ()
        return {event.patient, *(f"{i.authority}|{i.number}" for i in event.identifiers if i.authority)}
    if record.topic == CUSTODY_RAW and record.value:
        try:
            custody = read_custody(record.value)
        except Refusal:
            return ()
        return () if custody.cin else {row_key(record), *custody.identifiers}
    return ()


def _decide(
    row: PatientRow | None, record: Record, context: Context, events: _Events, provisional: bool
) -> tuple[PatientRow | None, list[Emit]]:
    received = received_of(record)
    patient = row_key(record)
    before = row if row is not None else new_row(patient, received)
    emits: list[Emit] = []
    if record.topic == ADT_RAW:
        event = events.of(record)
        if not event.patient:  # about a bed or a person's absence of one: accepted, and nothing follows
            return row, []
        if event.patient != patient:
            raise Refusal("key-mismatch", "PID-3")
        source = Source(event.sender, event.control_id, record.coordinates)
        after = fold_event(before, event, source, received)
        emits += _absorbed_elsewhere(event, patient, received)
        after = _fold_answers(after, _questions(record, events), context)
    elif record.topic == CUSTODY_RAW:
        after = _fold_custody(before, record, received)
        after = _fold_answers(after, _questions(record, events), context)
    elif record.topic == LINKS:
        after = _fold_link(before, decode_link(record.value or b""), row is None)
    else:
        raise Refusal("unexpected-topic")
    if after is before and row is not None:
        return row, emits
    away = context.lookups is None and record.topic != LINKS
    return derive_outputs(row, after, received, away, provisional, emits)


def _absorbed_elsewhere(event: AdtEvent, patient: str, received: int) -> list[Emit]:
    """Links for the merges of a message whose survivors are other patients (a message may hold several pairs)."""
    return [
        link_record(
            Link(
                kind="absorb",
                patient=merge.survivor,
                retired=merge.retired,
                claim=claim_of(event, "merged"),
                received=received,
            )
        )
        for merge in event.merges
        if merge.survivor != patient and merge.survivor != merge.retired
    ]


def _fold_answers(row: PatientRow, questions: Iterable[str], context: Context) -> PatientRow:
    """The row once the directory has answered: an answer is the member, a unit separator, the roster row's time."""
    if context.lookups is None:
        return row
    for question in sorted(questions):
        answer = context.lookups.get(question)
        if answer:
            member, _, revision = answer.partition("\x1f")
            row = fold_roster(row, question, member or None, int(revision or 0))
    return row


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
    if link.kind == "merge" and link.survivor and link.claim is not None and link.told is not None:
        return fold_announcement(row, link.survivor, link.claim, link.told)
    if link.kind == "absorb" and link.retired and link.claim is not None:
        known = row.absorbed.get(link.retired)
        claim = later(known, link.claim)
        return row if claim is known else replace(row, absorbed={**row.absorbed, link.retired: claim})
    if link.method == "operator" and link.kind in ("assign", "release"):
        claim = later(row.operator, Claim(link.member if link.kind == "assign" else None, link.rev))
        return row if claim is row.operator else replace(row, operator=claim)
    if link.kind in ("waiting-match", "release"):
        if unknown:
            return row  # the directory speaks of a patient whom no message has named: asked when one does
        return fold_roster(row, link.identifier or row.patient, link.member, link.rev)
    raise Refusal("bad-link")
