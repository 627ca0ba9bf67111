"""The pump: poll, decide, commit, apply. One per worker (docs/engine.md#loop).

While a transaction is being committed the next batch is already decided, on top of what is being committed. At most one
commit is outstanding. Rows change only when Kafka holds the transaction; any failure before that ends the process.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from mode import Service

from agents.runtime.chunk import questions, set_aside_undecided
from agents.runtime.contract import Stage, TooCostly
from agents.runtime.store import ChunkResult
from streams import signals
from streams.engine.attempts import Attempts, Mark
from streams.engine.budget import Budget
from streams.engine.channel import Chunk
from streams.engine.crash import crash
from streams.engine.failpoints import failpoint
from streams.engine.lookup import Lookup, ask
from streams.engine.options import EngineOptions
from streams.engine.partitions import Partitions, Place
from streams.engine.poll import Batch, Poller
from streams.engine.service import EngineService
from streams.engine.transactions import Outcome, Transactions

Send = Callable[[Chunk], Awaitable[None]]


class Pump(EngineService):
    """Runs in the event loop from start to stop; polls and commits on a thread each."""

    def __init__(
        self,
        stage: Stage,
        options: EngineOptions,
        partitions: Partitions,
        poller: Poller,
        attempts: Attempts,
        transactions: Transactions,
        send: Send,
        lookup: Lookup | None,
    ) -> None:
        super().__init__()
        self.committed = 0
        """Records committed since the start."""
        self.beat = time.monotonic()
        """When the pump last completed a poll or a decision."""
        self.handed_out: float | None = None
        """Since when chunks are with the agent, or None."""
        self.partitions, self.transactions = partitions, transactions
        self._stage, self._options, self._poller, self._attempts = stage, options, poller, attempts
        self._send, self._lookup = send, lookup
        self._budget = Budget(options.record_budget)
        self._busy = asyncio.Lock()
        self._open: tuple[Outcome, asyncio.Future[dict[int, int]]] | None = None
        self._passed_since = time.monotonic()
        self._leaving = False
        """Partitions are being given back: what is not decided yet is the next owner's."""
        self._finished = asyncio.Event()
        self._polling = ThreadPoolExecutor(1, "poll")
        self._committing = ThreadPoolExecutor(1, "commit")

    async def on_start(self) -> None:
        """Arm the time budget of decisions."""
        self._budget.install()

    async def on_stop(self) -> None:
        """Return when all that was decided is committed."""
        await self._finished.wait()

    @Service.task  # type: ignore[untyped-decorator]
    async def _run(self) -> None:
        poll = self._poll()
        while not self.should_stop:
            batch = await poll
            poll = self._poll()
            self.beat = time.monotonic()
            async with self._busy:
                if self._open is not None and self._open[1].done():
                    await self._apply()
                await self._take(batch)
        await poll
        async with self._busy:
            await self._commit_passed()
        await self.drain()
        self._finished.set()

    @asynccontextmanager
    async def still(self) -> AsyncIterator[None]:
        """Within this context no decision and no transaction is under way, and the rows are as committed."""
        async with self._busy:
            await self._apply()
            yield

    async def drain(self) -> None:
        """Return when no decision and no transaction is under way."""
        async with self.still():
            pass

    async def give_back(self) -> None:
        """Drain without deciding what is left of the last poll: its partitions are taken away."""
        self._leaving = True
        try:
            await self.drain()
        finally:
            self._leaving = False

    async def prove_owner(self) -> None:
        """Return only if the partitions were still this worker's when this was called; to be called within `still`.

        Commits the positions where they already are: a worker that has been replaced is fenced, and ends.
        """
        again = Outcome({}, dict(self.partitions.moved), self.partitions.metadata, {})
        await asyncio.get_running_loop().run_in_executor(self._committing, self.transactions.write, again)

    async def call_polling(self, act: Callable[[], None]) -> None:
        """Run `act` on the thread that polls."""
        await asyncio.get_running_loop().run_in_executor(self._polling, act)

    def _poll(self) -> asyncio.Future[Batch | None]:
        return asyncio.get_running_loop().run_in_executor(self._polling, self._poller.poll)

    async def _take(self, batch: Batch | None) -> None:
        """Decide what a poll brought, until the worker stops or gives its partitions back."""
        if batch is None:
            await self._pass(None)
            return
        for part in self._attempts.parts(batch):
            left: Batch | None = part
            while left is not None and left.chunks:
                if self._leaving or self.should_stop:
                    return
                left = await self._turn(left)
            await self._pass(left)

    async def _turn(self, batch: Batch) -> Batch | None:
        """Decide a batch and begin its transaction; returns what the time budget left undecided, or None."""
        marks = self._attempts.begin(batch)
        if marks:
            await self._mark(marks)
        ended = self._attempts.verdict(marks)
        try:
            results = self._set_aside(batch, ended) if ended else await self._decide(batch)
        except (Exception, TooCostly) as bug:
            crash("decision-failed", stage=self._stage.name, error=type(bug).__name__)
        self.handed_out = None
        self.beat = time.monotonic()
        failpoint("after-decide")
        spared = self._attempts.spared(marks)
        if spared:
            await self._mark(spared)
        self._attempts.begun(batch)
        decided = {partition: batch.chunks[partition][: result.records] for partition, result in results.items()}
        oldest = {partition: records[0].timestamp for partition, records in decided.items()}
        left = {
            partition: records[results[partition].records :]
            for partition, records in batch.chunks.items()
            if results[partition].records < len(records)
        }
        positions = {**self.partitions.take_passed(), **(batch.positions if not left else _positions(batch, left))}
        await self._begin(Outcome(results, positions, self.partitions.metadata, oldest))
        return Batch(left, batch.positions) if left else None

    async def _decide(self, batch: Batch) -> dict[int, ChunkResult]:
        """Ask the directory what the records of a batch ask, and have its chunks decided."""
        with self._budget.watch() as progress:
            asked = [q for records in batch.chunks.values() for q in questions(self._stage, records, progress)]
        lookups = await ask(self._lookup, asked, self._options.lookup_deadline)
        if lookups is None:
            signals.directory_unavailable(self._stage.name, len(asked))
        pending = self._open[0].results if self._open is not None else {}
        self.handed_out = time.monotonic()
        until = self.handed_out + self._options.chunk_seconds
        chunks = []
        for partition, records in batch.chunks.items():
            rows = self.partitions.ready.get(partition)
            if rows is None:
                crash("record-of-unassigned-partition", stage=self._stage.name, source=records[0].coordinates)
            chunk = Chunk(
                self._stage,
                partition,
                records,
                rows,
                pending.get(partition),
                lookups,
                self._options.row_limit,
                self._budget,
                until,
                self.partitions.of_topic,
            )
            await self._send(chunk)
            chunks.append(chunk)
        return {chunk.partition: await chunk.result for chunk in chunks}

    def _set_aside(self, batch: Batch, ended: int) -> dict[int, ChunkResult]:
        """Set the only record of a batch aside. Its row is not read if a worker ended at just that."""
        ((partition, (record,)),) = batch.chunks.items()
        signals.crash_loop(self._stage.name, record.coordinates, ended)
        rows, mark_row = self.partitions.ready[partition], ended == self._options.crash_limit
        return {partition: set_aside_undecided(self._stage, rows, record, mark_row=mark_row)}

    async def _mark(self, marks: dict[Place, Mark]) -> None:
        """Commit marks, and wait for it: they say what was begun, whatever happens after."""
        positions = {place: mark.at for place, mark in marks.items()}
        notes = {place: mark.text() for place, mark in marks.items()}
        await self._begin(Outcome({}, positions, self.partitions.metadata, {}, notes))
        await self._apply()

    async def _pass(self, batch: Batch | None) -> None:
        """Note a batch's positions that no record led to; commit such positions when no record came for long."""
        now = time.monotonic()
        if batch is not None:
            self.partitions.passed_markers(batch.positions)
        if not self.partitions.passed:
            self._passed_since = now
        elif now - self._passed_since > self._options.idle_commit:
            await self._commit_passed()

    async def _commit_passed(self) -> None:
        passed = self.partitions.take_passed()
        if passed:
            await self._begin(Outcome({}, passed, self.partitions.metadata, {}))

    async def _begin(self, outcome: Outcome) -> None:
        """Begin a transaction as soon as the one before is done."""
        await self._apply()
        writing = asyncio.get_running_loop().run_in_executor(self._committing, self.transactions.write, outcome)
        self._open = outcome, writing

    async def _apply(self) -> None:
        """Wait for the outstanding commit and apply what it wrote to the rows."""
        if self._open is None:
            return
        outcome, writing = self._open
        try:
            changelog = await writing
        except Exception as bug:
            crash("commit-failed", stage=self._stage.name, error=type(bug).__name__)
        for partition, result in outcome.results.items():
            self.partitions.ready[partition].apply_committed(result, changelog.get(partition))
            self.committed += result.records
        self.partitions.moved.update(outcome.positions)
        self._open = None
        failpoint("after-apply")
        signals.committed(self._stage.name, outcome, self.partitions.ready, time.time() * 1000)


def _positions(batch: Batch, left: dict[int, list]) -> dict[tuple[str, int], int]:  # type: ignore[type-arg]
    """Input positions after the records that were decided: before the first that is left, per topic."""
    positions = dict(batch.positions)
    for partition, records in left.items():
        for record in reversed(records):
            positions[record.topic, partition] = record.offset
    return positions
