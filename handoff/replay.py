"""The same decisions without Kafka and Redis: records in, every output record out, in memory.

One partition of every topic. Records are decided in chunks by the code that the workers run (`agents.chunk`), the
directory is a dictionary, and the member stage's clock is driven by the records' `received` stamps: before a chunk,
each row that is due by its first record gets a tick at the moment it was due. So two replays of one input are equal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from agents import reconcile, refer
from agents.directory import Directory, MemoryTexts
from agents.directory_records import read_entry, resolved, take
from agents.reconcile.decide import TEST_KEY
from agents.runtime.chunk import decide_chunk, questions
from agents.runtime.contract import Emit, Record, Stage
from agents.runtime.store import MemoryStore, decoded
from agents.topics import IDENTITY_FACTS, LINKS, ROSTER, TICKS, UNATTRIBUTED, VISITS
from domain.errors import Refusal
from domain.rules.ruleset import RuleSet
from domain.times import DAY
from parsers.hl7.profiles import Profiles
from parsers.records.ticks import Tick, write_tick

CHUNK: Final = 2_000
Sink = Callable[[str, Emit], None]


class Replay:
    """Feed it records with `put`, then `finish`; each output goes to `sink(topic, emit)` in order."""

    def __init__(self, profiles: Profiles, rules: RuleSet, sink: Sink, *, provisional: bool = False) -> None:
        self._sink = sink
        self._patient = _Runner(reconcile.stage(profiles, provisional))
        self._member = _Runner(refer.stage(rules))
        self._words = rules.vocabulary
        self._directory = Directory(MemoryTexts(), TEST_KEY)
        self._offsets: dict[str, int] = {}
        self._waiting: list[Record] = []
        self._day = -1
        self.faults: dict[str, int] = {}
        """Refusals and quarantines by code."""

    def put(self, topic: str, key: str, value: bytes | None, received: int, sender: str = "") -> None:
        """One input record. `received` in ms UTC must not run backwards by more than the caller wants to see."""
        headers = {"received": str(received).encode()}
        if sender:
            headers["sender"] = sender.encode()
        record = self._record(topic, key.encode(), value, received, headers)
        if self._waiting and (len(self._waiting) >= CHUNK or received // DAY != self._day):
            self._flush()
        self._day = received // DAY
        if topic == ROSTER:
            self._flush()
            self._roster(record)
            return
        if topic == TICKS:
            self._flush()
            self._advance(received)
            self._tick(received)
            return
        self._waiting.append(record)

    def finish(self, now: int) -> None:
        """Decide what waits, then let the time be `now` (ms UTC): due rows fire."""
        self._flush()
        self._advance(now)
        self._tick(now)

    def rows(self, stage: str) -> dict[str, Any]:
        """The current rows of "reconcile" or "refer", by key."""
        runner = self._patient if stage == "reconcile" else self._member
        return decoded(runner.rows, runner.stage)

    def _record(self, topic: str, key: bytes | None, value: bytes | None, at: int, headers: dict[str, bytes]) -> Record:
        offset = self._offsets.get(topic, 0)
        self._offsets[topic] = offset + 1
        return Record(topic, 0, offset, key, value, at, headers)

    def _flush(self) -> None:
        """Decide the waiting records; links that follow are decided at once, until none are left."""
        records, self._waiting = self._waiting, []
        if not records:
            return
        self._advance(records[0].timestamp)
        patient = [record for record in records if record.topic in self._patient.stage.inputs]
        member = [record for record in records if record.topic in self._member.stage.inputs]
        self._decide_patients(patient)
        self._decide_members(member)

    def _decide_patients(self, records: list[Record]) -> None:
        for_members: list[Record] = []
        while records:
            asked = questions(self._patient.stage, records)
            lookups = {question: self._directory.answer(question) for question in asked}
            links: list[Record] = []
            for emit in self._run(self._patient, records, lookups):
                record = self._emitted(emit)
                if emit.topic == LINKS:
                    links.append(record)
                elif emit.topic == VISITS:
                    for_members.append(record)
                elif emit.topic in (UNATTRIBUTED, IDENTITY_FACTS):
                    links += self._directory_takes(record)
            now = max((record.timestamp for record in records), default=0)
            links += [self._emitted(emit) for emit in resolved(self._directory, now)]
            records = links
        self._decide_members(for_members)

    def _roster(self, record: Record) -> None:
        links = self._directory_takes(record)
        self._decide_members([record])
        self._decide_patients(links)

    def _decide_members(self, records: list[Record]) -> None:
        if records:
            for emit in self._run(self._member, records, None):
                self._sink(emit.topic, emit)

    def _directory_takes(self, record: Record) -> list[Record]:
        """The links that the directory emits once it has taken a record."""
        try:
            entry = read_entry(record, self._directory.key, self._words)
            return [self._emitted(emit) for emit in take(self._directory, entry)]
        except Refusal as refusal:
            self.faults[refusal.code] = self.faults.get(refusal.code, 0) + 1
            return []

    def _emitted(self, emit: Emit) -> Record:
        """An emit as the record that it becomes; it is an output too."""
        self._sink(emit.topic, emit)
        headers = dict(emit.headers)
        return self._record(emit.topic, emit.key, emit.value, int(headers.get("received", b"0")), headers)

    def _run(self, runner: _Runner, records: list[Record], lookups: dict[str, str | None] | None) -> list[Emit]:
        result = decide_chunk(runner.stage, runner.rows, records, lookups=lookups)
        runner.rows.apply_committed(result)
        for fault in result.faults:
            self.faults[fault.code] = self.faults.get(fault.code, 0) + 1
        return result.emits

    def _advance(self, now: int) -> None:
        """Ticks at the moments at which rows are due, up to `now`."""
        while (due := self._member.next_due()) is not None and due <= now:
            self._tick(due)
            if self._member.next_due() == due:  # the row stays due (a fault): do not ask for ever
                break

    def _tick(self, at: int) -> None:
        tick = self._record(TICKS, b"0", write_tick(Tick(at)), at, {"received": str(at).encode()})
        self._decide_members([tick])


class _Runner:
    """A stage and its rows."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.rows = MemoryStore()

    def next_due(self) -> int | None:
        """The earliest moment at which a row may want a tick (the heap's first entry may be out of date)."""
        return self.rows.heap[0][0] if self.rows.heap else None
