"""Decide one chunk: records of one partition, in log order, on an overlay over the committed rows.

Pure: the same rows and records give the same result, with or without Kafka. The worker commits the result and then
applies it to the rows; a replay applies it at once. Cutting the records into other chunks gives the same rows and the
same emits in the same order (docs/engine.md#chunks).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from traceback import extract_tb
from typing import Any, Final

import msgspec

from agents.runtime.contract import Context, Emit, Progress, Record, Stage, TooCostly, received_of
from agents.runtime.store import ChunkResult, Fault, RowStore, envelope, row_of
from domain.errors import Refusal
from domain.times import MINUTE
from parsers.records import dead_letters
from parsers.records.ticks import read_tick

ROW_LIMIT: Final = 512 * 1024
"""Bytes a row may take, encoded."""
AHEAD: Final = 5 * MINUTE
"""How far a `received` stamp or a tick may lie ahead of the append time."""
_UNREAD: Final = object()


class TooLarge(Exception):
    """A row or an output that cannot be written; `code` says which."""

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
    progress: Progress | None = None,
    expired: Callable[[], bool] | None = None,
) -> ChunkResult:
    """Decide `records`, all of one partition, and change nothing.

    `under` is the result of the chunk before, when its transaction has not been applied to `rows` yet. `lookups` holds
    the answers to the questions of all these records, None when the directory did not answer. When `expired()` turns
    true no further record is begun; `records` of the result says how many were decided, one at least.

    Rows are encoded and measured when the chunk is done. A row that outgrows its limit must be refused at the record
    that brought it there, and one that outgrew it and shrank again must be refused too: otherwise the result would
    depend on how records are cut into chunks. Measuring a row after each record would encode it each time, which costs
    more than all the rest. So a chunk is first decided without; the last state of each row is measured at the end, and
    a state in between only when a second record is about to change it. If any is too large the chunk is decided again
    with exactly those rows `watched`, that is measured after each record. A watched row cannot outgrow its limit
    unnoticed, so each pass adds a row to the set, and the loop ends.
    """
    watched: set[str] = set()
    decided = len(records)
    while True:
        decision = _Decision(stage, rows, under, lookups, row_limit, watched, progress or Progress())
        decided = decision.run(records[:decided], expired if not watched else None)
        changed, outgrown = decision.overlay.encoded()
        if not outgrown:
            return decision.result(changed, decided)
        watched |= outgrown


def questions(stage: Stage, records: Sequence[Record], progress: Progress | None = None) -> list[str]:
    """What the records ask the directory, each question once. A record that cannot be read asks nothing here."""
    asked: dict[str, None] = {}
    for record in records:
        if progress is not None:
            progress.records += 1
        if record.topic == stage.clock:
            continue
        try:
            asked.update(dict.fromkeys(stage.lookups(record)))
        except (Exception, TooCostly):  # noqa: S112 - the decision meets the same fault and answers it
            continue
    return list(asked)


class _Clock:
    """The partition's time: the largest `received` stamp or tick decided so far. It never runs backwards."""

    def __init__(self, now: int) -> None:
        self.now = now
        self.ticked = -1
        """The time of the last tick of this chunk, or -1."""
        self.clamped = 0
        """Stamps and ticks that lay too far ahead of their append time."""

    def stamp(self, record: Record) -> bool:
        """Move on to the record's stamp; whether that changed the time."""
        at = self._clamp(received_of(record), record)
        if at <= self.now:
            return False
        self.now = at
        return True

    def tick(self, at: int, record: Record) -> None:
        """Move on to a tick."""
        self.now = self.ticked = max(self.now, self._clamp(at, record))

    def _clamp(self, at: int, record: Record) -> int:
        # Neither a sender's nor a worker's clock can move this partition's time past the broker's: a tick of next year
        # would end every candidate.
        if at > self.now and at > record.timestamp + AHEAD:
            self.clamped += 1
            return record.timestamp
        return at


class _Overlay:
    """Rows as this chunk has read or changed them, over the chunk before and the committed rows."""

    def __init__(
        self, stage: Stage, rows: RowStore, under: ChunkResult | None, row_limit: int, watched: set[str]
    ) -> None:
        self.seen: dict[str, Any] = {}
        """Decoded rows by key."""
        self.changed: dict[str, None] = {}
        self._stage, self._rows, self._under = stage, rows, under
        self._row_limit, self._watched = row_limit, watched
        self._outgrown: set[str] = set()
        """Keys of rows that could not have been written at some point within this chunk."""

    def get(self, key: str) -> Any:
        """The row as of now, None where there is none."""
        row = self.seen.get(key, _UNREAD)
        if row is _UNREAD:
            row = self.seen[key] = self._before(key)
        return row

    def put(self, key: str, row: Any) -> None:
        """Change a row. Raises TooLarge for a watched one that is over its limit."""
        before = self.seen.get(key)
        if key in self._watched:
            if row is not None:
                self._measure(row)
        elif key in self.changed and before is not None and not self._fits(before):
            self._outgrown.add(key)
        self.seen[key] = row
        self.changed[key] = None

    def refresh(self, key: str) -> None:
        """Replace a row by a clean copy, for a second try of a decision that raised."""
        if self.seen.get(key) is not None:
            self.seen[key] = self._stage.decode(self._stage.encode(self.seen[key]))

    def due(self, now: int) -> list[tuple[int, str]]:
        """(due time, key) of the rows that are due, in order, with the changes of this chunk and the one before."""
        open_rows = dict(self._under.rows) if self._under is not None else {}
        for key in self.changed:
            open_rows[key] = self.seen[key]
        found = {(due, key) for due, key in self._rows.due(now) if key not in open_rows}
        for key, row in open_rows.items():
            due = None if row is None else self._stage.next_due(row)
            if due is not None and due <= now:
                found.add((due, key))
        return sorted(found)

    def encoded(self) -> tuple[dict[str, bytes | None], set[str]]:
        """Changed rows as the changelog will hold them, and the keys of those that cannot be written."""
        stage, watched = self._stage, self._watched
        changed: dict[str, bytes | None] = {}
        for key in self.changed:
            row = self.seen[key]
            if row is None:
                changed[key] = None
                continue
            try:
                body, due = stage.encode(row), stage.next_due(row)
            except Exception:
                if key in watched:
                    raise
                self._outgrown.add(key)
                continue
            if len(body) > self._row_limit and key not in watched:
                self._outgrown.add(key)
            changed[key] = envelope(stage.schema, due, body)
        return changed, self._outgrown

    def _before(self, key: str) -> Any:
        if self._under is not None and key in self._under.rows:
            return self._under.rows[key]
        stored = self._rows.get(key)
        return None if stored is None else row_of(self._stage, stored)

    def _measure(self, row: Any) -> None:
        self._stage.next_due(row)
        if len(self._stage.encode(row)) > self._row_limit:
            raise TooLarge("row-too-large")

    def _fits(self, row: Any) -> bool:
        try:
            self._measure(row)
        except Exception:
            return False
        return True


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
        progress: Progress,
    ) -> None:
        self.stage, self.lookups, self.progress = stage, lookups, progress
        self.clock = _Clock(under.clock if under is not None else rows.clock)
        self.overlay = _Overlay(stage, rows, under, row_limit, watched)
        self.again = rows.again
        self.emits: list[Emit] = []
        self.faults: list[Fault] = []
        self.due_decided = 0

    def run(self, records: Sequence[Record], expired: Callable[[], bool] | None) -> int:
        """Decide the records one by one; how many, which is less than all when `expired()` turned true."""
        stage, progress = self.stage, self.progress
        context = Context(self.clock.now, self.lookups)
        for number, record in enumerate(records):
            if number and expired is not None and expired():
                return number
            progress.records += 1
            if record.topic == stage.clock:
                self.tick(record)
                context = Context(self.clock.now, self.lookups)
                continue
            if self.clock.stamp(record):
                context = Context(self.clock.now, self.lookups)
            try:
                key = stage.row_key(record)
            except Refusal as refusal:
                self.refuse(record, refusal)
            except Exception as bug:
                self.quarantine(record, bug)
            else:
                self.take(key, record, context)
        return len(records)

    def take(self, key: str, record: Record, context: Context) -> None:
        """Decide one record on the row `key`, and again on a clean copy if that raised."""
        try:
            self.attempt(key, record, context)
        except Refusal as refusal:
            self.refuse(record, refusal)
        except TooLarge as large:
            self.set_aside(record, key, Fault(large.code, "", record.coordinates, bug=True))
        except TooCostly:
            self.set_aside(record, key, Fault("too-costly", "", record.coordinates, bug=True))
        except Exception:
            self.retry(key, record, context)

    def attempt(self, key: str, record: Record, context: Context) -> None:
        row = self.overlay.get(key)
        new, emits = self.stage.decide(row, record, context)
        for emit in emits:
            if emit.value is not None and len(emit.value) > dead_letters.LIMIT:
                raise TooLarge("output-too-large")
        if new is not row:
            self.overlay.put(key, new)
        if emits:
            self.emits += emits

    def retry(self, key: str, record: Record, context: Context) -> None:
        """The second try of a record whose decision raised, on a row that no decision has touched."""
        try:
            self.overlay.refresh(key)
            self.attempt(key, record, context)
        except Refusal as refusal:
            self.refuse(record, refusal)
        except TooCostly:
            self.set_aside(record, key, Fault("too-costly", "", record.coordinates, bug=True))
        except Exception as bug:
            self.quarantine(record, bug, key)

    def tick(self, record: Record) -> None:
        """Move the clock on and decide every row that is due, oldest due time first."""
        try:
            at = read_tick(record.value or b"").at
        except Refusal as refusal:
            self.refuse(record, refusal)
            return
        self.clock.tick(at, record)
        context = Context(self.clock.now, self.lookups, self.again)
        for _, key in self.overlay.due(self.clock.now):
            self.due_decided += 1
            self.progress.records += 1
            self.take(key, msgspec.structs.replace(record, key=key.encode()), context)

    def refuse(self, record: Record, refusal: Refusal) -> None:
        """Their data: a dead letter, and on."""
        self.faults.append(Fault(refusal.code, refusal.place, record.coordinates))
        self.emits.append(dead_letter(self.stage, record, refusal.code, refusal.place))

    def quarantine(self, record: Record, bug: Exception, key: str | None = None) -> None:
        """Our fault: set the record aside and mark the row as missing a record."""
        code = bug.code if isinstance(bug, TooLarge) else dead_letters.INTERNAL_ERROR
        frames = extract_tb(bug.__traceback__)
        where = f"{frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else ""
        self.set_aside(record, key, Fault(code, "", record.coordinates, True, type(bug).__name__, where))

    def set_aside(self, record: Record, key: str | None, fault: Fault) -> None:
        self.faults.append(fault)
        # A tick carries no fact: the row stays due and the next tick tries again.
        if record.topic != self.stage.clock:
            self.emits.append(dead_letter(self.stage, record, fault.code, fault.place))
        row = self.overlay.seen.get(key) if key is not None else None
        if row is None or key is None or self.stage.impair is None:
            return
        impaired = self.stage.impair(row)
        if impaired is not row:
            self.overlay.seen[key] = impaired
            self.overlay.changed[key] = None

    def result(self, changed: dict[str, bytes | None], records: int) -> ChunkResult:
        clock, seen = self.clock, self.overlay.seen
        return ChunkResult(
            changed,
            {key: seen[key] for key in changed},
            self.emits,
            clock.now,
            clock.ticked,
            self.faults,
            records,
            clock.clamped,
            self.due_decided,
        )


def dead_letter(stage: Stage, record: Record, code: str, place: str) -> Emit:
    """The record as it came, under its coordinates, with the reason why it was not taken."""
    kept = tuple((name, record.headers[name]) for name in ("sender", "received") if name in record.headers)
    value, headers = dead_letters.dead_letter(
        record.value, code=code, place=place, stage=stage.name, kept=kept, source=record.coordinates
    )
    return Emit(stage.dead_letters, record.coordinates.encode(), value, headers)
