"""The member stage: what all visits of a member add up to, and what therefore has to be said.

Records in: visit and custody snapshots, the roster, answers of care management, ticks; all keyed by member. One
decision is: fold the record into the row's facts; if they changed, or something became due, say the difference between
what the row should have emitted by now and what it remembers (docs/semantics.md#what-goes-out). A row that nears
its limit then gives up proofs of old visits (`agents.archive`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from agents.graph import REFER
from agents.refer.archive import ARCHIVE_AT, VisitArchive
from agents.refer.compress import pack, unpack
from agents.refer.outputs import derive_outputs
from agents.runtime.contract import Context, Emit, Record, Stage, Upcaster, received_of
from agents.topics import (
    ALERTS,
    ARCHIVE,
    CANDIDATES,
    DEAD_LETTERS,
    DISPOSITIONS,
    ROSTER,
    TICKS,
    TRANSITIONS,
    UTILIZATION,
    VISITS,
    WATCHLIST,
)
from domain.errors import Refusal
from domain.member.row import (
    SCHEMA,
    MemberRow,
    fold_custody,
    fold_person,
    fold_response,
    fold_roster,
    fold_visit,
    is_empty,
    new_row,
)
from domain.rules.rulebook import Rulebook
from domain.rules.ruleset import RuleSet
from domain.snapshots import PersonSnapshot, VisitSnapshot
from parsers.records.dispositions import read_disposition
from parsers.records.roster import read_facts
from parsers.records.visits import decode_snapshot

_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(MemberRow)


def _from_1(body: bytes) -> bytes:
    """Version 2 may write a row packed, and messages of a visit may be empty; version 1 did neither."""
    _, *rest = msgspec.msgpack.decode(body)
    return msgspec.msgpack.encode([2, *rest])


def _from_2(body: bytes) -> bytes:
    """Version 3 knows deaths apart from visits; a row of version 2 knows of none."""
    _, *rest = msgspec.msgpack.decode(unpack(body))
    return msgspec.msgpack.encode([3, *rest])


UPCASTERS: Final[tuple[Upcaster, ...]] = (_from_1, _from_2)
"""One step for each row version before `domain.member.row.SCHEMA`, oldest first."""


def stage(rules: RuleSet, *, source: str = "handoff", archive_at: int = ARCHIVE_AT) -> Stage:
    """The member stage, judging by `rules`; `source` names this system in CloudEvents headers.

    A row that takes more than `archive_at` bytes gives the proofs of its old visits to the archive.
    """
    book = Rulebook(rules)
    archivist = VisitArchive(book, source, archive_at, _ENCODER.encode)

    def decide(row: MemberRow | None, record: Record, context: Context) -> tuple[MemberRow | None, list[Emit]]:
        return _decide(row, record, context, book, source, archivist)

    def next_due(row: MemberRow) -> int | None:
        return row.next_due if row.rules == book.stamp else 0

    def encode(row: MemberRow) -> bytes:
        body = _ENCODER.encode(row)
        packs = len(body) > archive_at and any(visit.archived for visit in row.visits)
        return pack(body) if packs else body

    return Stage(
        name=REFER.name,
        inputs=REFER.reads,
        changelog=REFER.changelog,
        outputs=(TRANSITIONS, UTILIZATION, CANDIDATES, WATCHLIST, ALERTS, ARCHIVE),
        dead_letters=DEAD_LETTERS,
        row_key=row_key,
        decide=decide,
        encode=encode,
        decode=_decode,
        next_due=next_due,
        lookups=_nothing,
        ticks=True,
        impair=_impaired,
        schema=SCHEMA,
        upcasters=UPCASTERS,
    )


def row_key(record: Record) -> str:
    """The member a record is for: the record's key. Raises Refusal("no-key")."""
    if not record.key:
        raise Refusal("no-key")
    return record.key.decode("utf-8", "replace")


def _decide(
    row: MemberRow | None, record: Record, context: Context, book: Rulebook, source: str, archivist: VisitArchive
) -> tuple[MemberRow | None, list[Emit]]:
    now = context.now
    if record.topic == TICKS:
        due = row is not None and row.next_due is not None and row.next_due <= now
        if row is None or (row.rules == book.stamp and not due and not context.again):
            return row, []
        return derive_outputs(row, row, row_key(record), now, now, book, source)
    before = row if row is not None else new_row()
    after, received = _fold(before, record)
    if after is before:
        return row, []
    after, emits = derive_outputs(before, after, row_key(record), now, received, book, source)
    after, moved = archivist.keep(before, after, row_key(record), now)
    emits += moved
    return None if is_empty(after) else after, emits


def _fold(row: MemberRow, record: Record) -> tuple[MemberRow, int]:
    """(the row with what the record says, when that was received). Raises Refusal."""
    received = received_of(record)
    if record.topic == VISITS:
        member, snapshot = decode_snapshot(record.value or b"")
        if member != row_key(record):
            raise Refusal("key-mismatch", "member_id")
        if isinstance(snapshot, VisitSnapshot):
            return fold_visit(row, snapshot), snapshot.received
        if isinstance(snapshot, PersonSnapshot):
            return fold_person(row, snapshot), snapshot.received
        return fold_custody(row, snapshot), snapshot.received
    if record.topic == ROSTER:
        return fold_roster(row, None if not record.value else read_facts(record.value), received), received
    if record.topic == DISPOSITIONS:
        candidate, answer = read_disposition(record.value or b"")
        return fold_response(row, candidate, answer), received
    raise Refusal("unexpected-topic")


def _decode(value: bytes) -> MemberRow:
    row = _DECODER.decode(unpack(value))
    if row.schema != SCHEMA:
        raise ValueError(f"a member row of schema {row.schema}; this version reads {SCHEMA}")
    return row


def _impaired(row: MemberRow) -> MemberRow:
    return row if row.impaired else msgspec.structs.replace(row, impaired=True)


def _nothing(_: Record) -> Iterable[str]:
    return ()
