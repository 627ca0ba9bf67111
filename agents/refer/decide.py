"""The member stage: derive transitions, counts, candidates and watches from all visits of a member.

Records in: visit, custody and person snapshots, the roster, answers of care management, ticks; all keyed by member. One
decision folds the record into the row's facts and, if they changed or something became due, emits the difference
between what follows from the row now and what was emitted before (docs/semantics.md#what-goes-out). A row that nears
its limit then gives the messages of old visits to the archive (`agents.refer.archive`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from agents.graph import REFER
from agents.refer.archive import ARCHIVE_AT, VisitArchive
from agents.refer.compress import pack, unpack
from agents.refer.events import Emission
from agents.refer.outputs import derive_outputs
from agents.refer.upcasters import UPCASTERS
from agents.runtime.contract import Context, Doubtful, Emit, Record, Stage, received_of
from agents.runtime.rows import check_schema, mark_impaired, row_key
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
from domain.member.evidence import complete_since
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
from domain.rules.vocabulary import Vocabulary
from domain.snapshots import PersonSnapshot, VisitSnapshot
from parsers.records.dispositions import read_disposition
from parsers.records.roster import read_facts
from parsers.records.visits import decode_snapshot

_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(MemberRow)


def stage(rules: RuleSet, *, source: str = "handoff", archive_at: int = ARCHIVE_AT) -> Stage:
    """The member stage over a rule set. `source` is the CloudEvents source; a row of more than `archive_at` bytes gives
    the messages of its old visits to the archive.
    """
    book = Rulebook(rules)
    archive = VisitArchive(book, archive_at, _ENCODER.encode)

    def decide(row: MemberRow | None, record: Record, context: Context) -> tuple[MemberRow | None, list[Emit]]:
        return _decide(row, record, context, book, source, archive)

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
        impair=mark_impaired,
        schema=SCHEMA,
        upcasters=UPCASTERS,
        foreign=(DISPOSITIONS,),
    )


def _decide(
    row: MemberRow | None, record: Record, context: Context, book: Rulebook, source: str, archive: VisitArchive
) -> tuple[MemberRow | None, list[Emit]]:
    now, member = context.now, row_key(record)
    if record.topic == TICKS:
        due = row is not None and row.next_due is not None and row.next_due <= now
        if row is None or (row.rules == book.stamp and not due and not context.all_due):
            return row, []
        return derive_outputs(row, row, Emission(member, now, now, complete_since(row), source), book)
    before = row if row is not None else new_row()
    after, received = _fold(before, record, book.rules.vocabulary)
    if after is before:
        return row, []
    emission = Emission(member, now, received, complete_since(after), source)
    after, emits = derive_outputs(before, after, emission, book)
    after, archived = archive.keep(before, after, emission)
    kept, emits = None if is_empty(after) else after, [*emits, *archived]
    if after.dispositions.keys() - before.dispositions.keys() - after.emitted.keys():
        # Kept, since inputs have no order among them. But whoever answered has read a candidate, so it should be here.
        raise Doubtful("unknown-candidate", "candidate_id", kept, emits)
    return kept, emits


def _fold(row: MemberRow, record: Record, words: Vocabulary) -> tuple[MemberRow, int]:
    """(the row with the record folded in, when its content was received: ms UTC). Raises Refusal."""
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
        return fold_roster(row, None if not record.value else read_facts(record.value, words), received), received
    if record.topic == DISPOSITIONS:
        candidate, answer = read_disposition(record.value or b"")
        return fold_response(row, candidate, answer), received
    raise Refusal("unexpected-topic")


def _decode(value: bytes) -> MemberRow:
    return check_schema(_DECODER.decode(unpack(value)), SCHEMA)


def _nothing(_: Record) -> Iterable[str]:
    return ()
