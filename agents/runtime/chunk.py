"""Deciding one chunk: records of one partition, in log order, on an overlay over the committed rows.

Pure: the same rows and records give the same result, with or without Kafka. The worker commits the result and then
folds it into the rows; a replay folds it at once. Cutting the records into other chunks gives the same rows and the
same emits in the same order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from traceback import extract_tb
from typing import Any, Final

import msgspec

from agents.runtime.contract import Context, Emit, Record, Stage, received_of
from agents.runtime.store import ChunkResult, Fault, RowStore, envelope, row_of
from domain.errors import Refusal
from domain.times import MINUTE
from parsers.records.ticks import read_tick

ROW_LIMIT: Final = 512 * 1024
"""Bytes a row may take, encoded."""
RECORD_LIMIT: Final = 900_000
"""Bytes one record that we write may take: Kafka's default limit of about a megabyte, less keys and headers."""
AHEAD: Final = 5 * MINUTE
"""How far a `received` stamp may lie ahead of the append time."""
_UNREAD: Final = object()


class TooLarge(Exception):
    """What a decision made cannot be kept or written; `code` says which."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def decide_chunk(
    stage: Stage,
    rows: RowStore,
    records: Sequence[Record],
    *,
    under: ChunkResult | None = None,
    lookups: Mapping[str, str | None] | None = None,
    row_limit: int = ROW_LIMIT,
) -> ChunkResult:
    """Decide `records`, all of one partition, and change nothing.

    `under` is the result of the chunk before, when its transaction has not been folded into `rows` yet. `lookups` holds
    the answers to the questions of all these records, None when the directory did not answer.

    Rows are encoded and measured when the chunk is done, and before that whenever a record changes one that an earlier
    record of the chunk has changed. Only if one cannot be encoded or has outgrown `row_limit` is the chunk decided
    again with that row measured after each record: so the record which brought it there is found.
    """
    watched: set[str] = set()
    while True:
        decision = _Decision(stage, rows, under, lookups, row_limit, watched)
        decision.run(records)
        changed, outgrown = decision.sealed()
        if not outgrown:
            return decision.result(changed, len(records))
        watched |= outgrown


def questions(stage: Stage, records: Sequence[Record]) -> list[str]:
    """What the records ask the directory, each question once. A record that cannot be read asks nothing here."""
    asked: dict[str, None] = {}
    for record in records:
        if record.topic == stage.clock:
            continue
        try:
            asked.update(dict.fromkeys(stage.lookups(record)))
        except Exception:  # noqa: S112 - the decision meets the same fault and answers it
            continue
    return list(asked)


class _Decision:
    """One pass over a chunk."""

    def __init__(
        self,
        stage: Stage,
        rows: RowStore,
        under: ChunkResult | None,
        lookups: Mapping[str, str | None] | None,
        row_limit: int,
        watched: set[str],
    ) -> None:
        self.stage, self.rows, self.under, self.lookups = stage, rows, under, lookups
        self.row_limit, self.watched = row_limit, watched
        self.clock = under.clock if under is not None else rows.clock
        self.seen: dict[str, Any] = {}
        """Decoded rows that this chunk has read or changed."""
        self.changed: dict[str, None] = {}
        self.outgrown: set[str] = set()
        """Keys of rows that could not have been written at some point within this chunk."""
        self.emits: list[Emit] = []
        self.faults: list[Fault] = []
        self.ticked = -1
        self.held = 0
        self.fired = 0

    def run(self, records: Sequence[Record]) -> None:
        """Take the records one by one."""
        row_key, clock = self.stage.row_key, self.stage.clock
        context = Context(self.clock, self.lookups)
        for record in records:
            if record.topic == clock:
                self.tick(record)
                context = Context(self.clock, self.lookups)
                continue
            now = received_of(record)
            if now > self.clock:
                if now > record.timestamp + AHEAD:
                    self.held += 1
                    now = record.timestamp
                if now > self.clock:
                    self.clock = now
                    context = Context(now, self.lookups)
            try:
                key = row_key(record)
            except Refusal as refusal:
                self.refuse(record, refusal)
            except Exception as bug:
                self.quarantine(record, bug)
            else:
                self.take(key, record, context)

    def take(self, key: str, record: Record, context: Context) -> None:
        """Decide one record on the row `key`, and again on a clean copy if that raised."""
        try:
            self.attempt(key, record, context)
        except Refusal as refusal:
            self.refuse(record, refusal)
        except TooLarge as large:
            self.set_aside(record, key, Fault(large.code, "", record.coordinates, bug=True))
        except Exception:
            self.again(key, record, context)

    def attempt(self, key: str, record: Record, context: Context) -> None:
        row = self.seen.get(key, _UNREAD)
        if row is _UNREAD:
            row = self.seen[key] = self.before(key)
        new, emits = self.stage.decide(row, record, context)
        for emit in emits:
            if emit.value is not None and len(emit.value) > RECORD_LIMIT:
                raise TooLarge("output-too-large")
        if new is not row:
            if key in self.watched:
                if new is not None:
                    self.measure(new)
            elif key in self.changed and row is not None and not self.fits(row):
                self.outgrown.add(key)
            self.seen[key] = new
            self.changed[key] = None
        if emits:
            self.emits += emits

    def measure(self, row: Any) -> None:
        """Raises TooLarge, or whatever is wrong with the row that keeps it from being written."""
        self.stage.next_due(row)
        if len(self.stage.encode(row)) > self.row_limit:
            raise TooLarge("row-too-large")

    def fits(self, row: Any) -> bool:
        """Whether the row could be written as it is."""
        try:
            self.measure(row)
        except Exception:
            return False
        return True

    def again(self, key: str, record: Record, context: Context) -> None:
        """The second try of a record whose decision raised, on a row that no decision has touched."""
        try:
            if key in self.seen and self.seen[key] is not None:
                self.seen[key] = self.stage.decode(self.stage.encode(self.seen[key]))
            self.attempt(key, record, context)
        except Refusal as refusal:
            self.refuse(record, refusal)
        except Exception as bug:
            self.quarantine(record, bug, key)

    def before(self, key: str) -> Any:
        """The row as the chunks before left it."""
        if self.under is not None and key in self.under.rows:
            return self.under.rows[key]
        sealed = self.rows.get(key)
        return None if sealed is None else row_of(self.stage, sealed)

    def tick(self, record: Record) -> None:
        """Move the clock on and decide every row that is due, oldest due time first."""
        try:
            at = read_tick(record.value or b"").at
        except Refusal as refusal:
            self.refuse(record, refusal)
            return
        self.clock = self.ticked = max(self.clock, at)
        context = Context(self.clock, self.lookups)
        for _, key in self.due():
            self.fired += 1
            self.take(key, msgspec.structs.replace(record, key=key.encode()), context)

    def due(self) -> list[tuple[int, str]]:
        """Rows due now, each once, with the changes of this chunk and of the one under it in force."""
        open_rows = dict(self.under.rows) if self.under is not None else {}
        for key in self.changed:
            open_rows[key] = self.seen[key]
        found = {(due, key) for due, key in self.rows.due(self.clock) if key not in open_rows}
        for key, row in open_rows.items():
            due = None if row is None else self.stage.next_due(row)
            if due is not None and due <= self.clock:
                found.add((due, key))
        return sorted(found)

    def refuse(self, record: Record, refusal: Refusal) -> None:
        """Their data: a dead letter, and on."""
        self.faults.append(Fault(refusal.code, refusal.place, record.coordinates))
        self.emits.append(dead_letter(self.stage, record, refusal.code, refusal.place))

    def quarantine(self, record: Record, bug: Exception, key: str | None = None) -> None:
        """Our fault: set the record aside and say on the row that something is missing."""
        code = bug.code if isinstance(bug, TooLarge) else "internal-error"
        frames = extract_tb(bug.__traceback__)
        where = f"{frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else ""
        self.set_aside(record, key, Fault(code, "", record.coordinates, True, type(bug).__name__, where))

    def set_aside(self, record: Record, key: str | None, fault: Fault) -> None:
        self.faults.append(fault)
        # A tick carries no fact: the row stays due and the next tick tries again.
        if record.topic != self.stage.clock:
            self.emits.append(dead_letter(self.stage, record, fault.code, fault.place))
        row = self.seen.get(key) if key is not None else None
        if row is None or key is None or self.stage.impair is None:
            return
        impaired = self.stage.impair(row)
        if impaired is not row:
            self.seen[key] = impaired
            self.changed[key] = None

    def sealed(self) -> tuple[dict[str, bytes | None], set[str]]:
        """Changed rows as the changelog will hold them, and the keys of those that cannot be written."""
        encode, next_due, schema, watched = self.stage.encode, self.stage.next_due, self.stage.schema, self.watched
        changed: dict[str, bytes | None] = {}
        outgrown = self.outgrown
        for key in self.changed:
            row = self.seen[key]
            if row is None:
                changed[key] = None
                continue
            try:
                body, due = encode(row), next_due(row)
            except Exception:
                if key in watched:
                    raise
                outgrown.add(key)
                continue
            if len(body) > self.row_limit and key not in watched:
                outgrown.add(key)
            changed[key] = envelope(schema, due, body)
        return changed, outgrown

    def result(self, changed: dict[str, bytes | None], records: int) -> ChunkResult:
        seen = self.seen
        rows = {key: seen[key] for key in changed}
        return ChunkResult(
            changed, rows, self.emits, self.clock, self.ticked, self.faults, records, self.held, self.fired
        )


def dead_letter(stage: Stage, record: Record, code: str, place: str) -> Emit:
    """The record as it came, under its coordinates, with why it was not taken."""
    value = record.value
    headers = [("code", code.encode()), ("place", place.encode()), ("stage", stage.name.encode())]
    headers += [(name, record.headers[name]) for name in ("sender", "received") if name in record.headers]
    headers.append(("source", record.coordinates.encode()))
    if value is not None and len(value) > RECORD_LIMIT:
        # Headers may not push it over what a broker takes; the source still has it whole.
        headers.append(("cut-from", str(len(value)).encode()))
        value = value[:RECORD_LIMIT]
    return Emit(stage.dead_letters, record.coordinates.encode(), value, tuple(headers))
