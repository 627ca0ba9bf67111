"""Decide one chunk: records of one partition, in log order, over the committed rows.

Pure: the same rows and records give the same result, with or without Kafka. A worker commits the result and then
applies it to the rows; a replay applies it at once. Cutting the records into other chunks gives the same rows and the
same emits in the same order (docs/engine.md#chunks).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from traceback import extract_tb
from typing import Final

import msgspec

from agents.runtime.clock import Clock
from agents.runtime.contract import Context, Doubtful, Emit, Progress, Record, Stage, TooCostly
from agents.runtime.overlay import ROW_LIMIT, Overlay, TooLarge
from agents.runtime.partitioner import partition_of
from agents.runtime.store import ChunkResult, Fault, RowStore
from domain.errors import Refusal
from parsers.records import dead_letters
from parsers.records.ticks import read_tick

FORWARDED: Final = "forwarded-from"
"""Header of a record that was written again to the partition of its key: the coordinates of the first one."""
CRASH_LOOP: Final = "CrashLoop"
"""In place of an exception's type: the record ended the worker each time it was begun."""
_HEADER: Final = 1_024
"""Bytes of a header's value that a dead letter keeps."""


def decide_chunk(
    stage: Stage,
    rows: RowStore,
    records: Sequence[Record],
    *,
    pending: ChunkResult | None = None,
    lookups: Mapping[str, str | None] | None = None,
    partitions: int | None = None,
    row_limit: int = ROW_LIMIT,
    progress: Progress | None = None,
    expired: Callable[[], bool] | None = None,
) -> ChunkResult:
    """The result of deciding `records`, all of one partition. Nothing is changed.

    `pending` is the result of the chunk before, while its transaction has not been applied to `rows`. `lookups` holds
    the answers to the questions of all these records, None when the directory did not answer. `partitions` is how many
    the stage's topics have, None where that has no meaning (a replay has all rows in one store). When `expired()` turns
    true no further record is begun; `records` of the result counts those decided, one at least. Raises what
    `Stage.impair` raises: a row that cannot be marked has no safe state.

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
        decision = _Decision(stage, rows, pending, lookups, partitions, row_limit, watched, progress or Progress())
        decided = decision.run(records[:decided], expired if not watched else None)
        changed, outgrown = decision.overlay.encoded(decision.progress)
        if not outgrown:
            return decision.result(changed, decided)
        watched |= outgrown


def set_aside_undecided(
    stage: Stage, rows: RowStore, record: Record, *, pending: ChunkResult | None = None, mark_row: bool = True
) -> ChunkResult:
    """The result of setting one record aside without deciding it, because workers ended at it. Nothing is changed.

    `mark_row`: its row is read, to mark it as missing a record. Without it no code of the stage runs.
    """
    decision = _Decision(stage, rows, pending, None, None, ROW_LIMIT, set(), Progress())
    key = None
    if record.topic != stage.clock:
        decision.clock.stamp(record)
        if mark_row:
            try:
                key = stage.row_key(record)
                decision.overlay.get(key)
            except Exception:
                key = None
    decision.set_aside(record, key, Fault(dead_letters.INTERNAL_ERROR, "", record.coordinates, True, CRASH_LOOP))
    return decision.result(decision.overlay.encoded(decision.progress)[0], 1)


def questions(stage: Stage, records: Sequence[Record], progress: Progress | None = None) -> list[str]:
    """The questions of all records to the directory, each once. A record that cannot be read has none."""
    found: dict[str, None] = {}
    for record in records:
        if progress is not None:
            progress.records += 1
        if record.topic == stage.clock:
            continue
        try:
            found.update(dict.fromkeys(stage.lookups(record)))
        except (Exception, TooCostly):  # noqa: S112 - the decision raises the same and handles it
            continue
    return list(found)


class _Decision:
    """One pass over a chunk."""

    def __init__(
        self,
        stage: Stage,
        rows: RowStore,
        pending: ChunkResult | None,
        lookups: Mapping[str, str | None] | None,
        partitions: int | None,
        row_limit: int,
        watched: set[str],
        progress: Progress,
    ) -> None:
        self.stage, self.lookups, self.partitions, self.progress = stage, lookups, partitions, progress
        self.clock = Clock(pending.clock if pending is not None else rows.clock)
        self.overlay = Overlay(stage, rows, pending, row_limit, watched)
        self.all_due = rows.all_due
        self.emits: list[Emit] = []
        self.faults: list[Fault] = []
        self.due_decided = 0
        self.forwarded = 0

    def run(self, records: Sequence[Record], expired: Callable[[], bool] | None) -> int:
        """Decide the records one by one; how many, which is less than all when `expired()` turned true."""
        stage, progress = self.stage, self.progress
        foreign = stage.foreign if self.partitions is not None else ()
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
            if record.topic in foreign:
                at = self.elsewhere(record)
                if at is not None:
                    self.forward(record, at)
                    continue
            try:
                key = stage.row_key(record)
            except Refusal as refusal:
                self.refuse(record, refusal)
            except TooCostly:
                self.set_aside(record, None, Fault("too-costly", "", record.coordinates, bug=True))
            except Exception as bug:
                self.quarantine(record, bug)
            else:
                self.take(key, record, context)
        return len(records)

    def elsewhere(self, record: Record) -> int | None:
        """The partition of the record's key, if another system wrote the record to another one."""
        if self.partitions is None or not record.key:
            return None
        at = partition_of(record.key, self.partitions)
        return None if at == record.partition else at

    def forward(self, record: Record, at: int) -> None:
        """Write the record again to the partition of its key, whose worker has the row. Only once: never a copy."""
        if not self.stage.forwards:
            return
        if FORWARDED in record.headers:
            self.refuse(record, Refusal("wrong-partition"))
            return
        headers = {"received": str(record.timestamp).encode(), **record.headers, FORWARDED: record.coordinates.encode()}
        self.emits.append(Emit(record.topic, record.key, record.value, tuple(headers.items()), at))
        self.forwarded += 1

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
        """Decide one record on the row `key`. Raises whatever the decision raises, and TooLarge."""
        row, doubt = self.overlay.get(key), None
        try:
            new, emits = self.stage.decide(row, record, context)
        except Doubtful as doubtful:
            new, emits, doubt = doubtful.row, doubtful.emits, doubtful
        for emit in emits:
            if size_of(emit) > dead_letters.LIMIT:
                raise TooLarge("output-too-large")
        if new is not row:
            self.overlay.put(key, new)
        if emits:
            self.emits += emits
        if doubt is not None:
            raise doubt

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
        context = Context(self.clock.now, self.lookups, self.all_due)
        try:
            due = self.overlay.due(self.clock.now)
        except TooCostly:
            self.set_aside(record, None, Fault("too-costly", "", record.coordinates, bug=True))
            return
        for _, key in due:
            self.due_decided += 1
            self.progress.records += 1
            self.take(key, msgspec.structs.replace(record, key=key.encode()), context)

    def refuse(self, record: Record, refusal: Refusal) -> None:
        """The record is at fault: write a dead letter and go on."""
        self.faults.append(Fault(refusal.code, refusal.place, record.coordinates))
        self.emits.append(dead_letter(self.stage, record, refusal.code, refusal.place))

    def quarantine(self, record: Record, bug: Exception, key: str | None = None) -> None:
        """Our code is at fault: set the record aside under the place in the code, without the exception's text."""
        code = bug.code if isinstance(bug, TooLarge) else dead_letters.INTERNAL_ERROR
        frames = extract_tb(bug.__traceback__)
        where = f"{frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else ""
        self.set_aside(record, key, Fault(code, "", record.coordinates, True, type(bug).__name__, where))

    def set_aside(self, record: Record, key: str | None, fault: Fault) -> None:
        """Write a dead letter and mark the row `key`, if any, as missing a record."""
        self.faults.append(fault)
        # A tick carries no fact: the row stays due, and the next tick tries again.
        if record.topic != self.stage.clock:
            self.emits.append(dead_letter(self.stage, record, fault.code, fault.place))
        if key is not None:
            self.overlay.mark(key)

    def result(self, changed: dict[str, bytes | None], records: int) -> ChunkResult:
        clock, seen = self.clock, self.overlay.seen
        return ChunkResult(
            changed=changed,
            rows={key: seen[key] for key in changed},
            emits=self.emits,
            clock=clock.now,
            ticked=clock.ticked,
            faults=self.faults,
            records=records,
            clamped_stamps=clock.clamped,
            due_decided=self.due_decided,
            forwarded=self.forwarded,
        )


def dead_letter(stage: Stage, record: Record, code: str, place: str) -> Emit:
    """The record as it came, under its coordinates, with the reason why it was not taken."""
    kept = tuple((name, record.headers[name][:_HEADER]) for name in ("sender", "received") if name in record.headers)
    value, headers = dead_letters.dead_letter(
        record.value, code=code, place=place, stage=stage.name, kept=kept, source=record.coordinates
    )
    return Emit(stage.dead_letters, record.coordinates.encode(), value, headers)


def size_of(emit: Emit) -> int:
    """Bytes of an emit's key, headers and value, which together must fit into what Kafka takes."""
    size = len(emit.key or b"") + len(emit.value or b"")
    for name, value in emit.headers:
        size += len(name) + len(value)
    return size
