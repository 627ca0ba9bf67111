"""The pump: poll, have decided, commit, fold. One per stage and worker.

While a transaction is being committed the next batch is already decided, on top of what is being committed. At most one
commit is outstanding. Rows change only when Kafka holds the transaction; whatever goes wrong before ends the process.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from agents.runtime.chunk import questions
from agents.runtime.contract import Stage
from streams.engine.assignment import Assignment
from streams.engine.crash import crash
from streams.engine.failpoints import reach
from streams.engine.handover import Chunk
from streams.engine.lookup import Lookup, ask
from streams.engine.options import EngineOptions
from streams.engine.poll import Batch, Intake
from streams.engine.report import report
from streams.engine.transactions import Decided, Transactions

Send = Callable[[Chunk], Awaitable[None]]


class Pump:
    """`run` until `stop`. Lives in the event loop; polls and commits on a thread each."""

    def __init__(
        self,
        stage: Stage,
        options: EngineOptions,
        intake: Intake,
        transactions: Transactions,
        send: Send,
        lookup: Lookup | None,
    ) -> None:
        self.assignment: Assignment | None = None
        self.committed = 0
        """Records committed since the start."""
        self.beat = time.monotonic()
        """When the pump last came round."""
        self.handed_out: float | None = None
        """Since when chunks are with the agent, or None."""
        self._stage, self._options, self._intake, self.transactions = stage, options, intake, transactions
        self._send, self._lookup = send, lookup
        self._busy = asyncio.Lock()
        self._open: tuple[Decided, asyncio.Future[dict[int, int]]] | None = None
        self._stopping = False
        self._polling = ThreadPoolExecutor(1, "poll")
        self._committing = ThreadPoolExecutor(1, "commit")

    def stop(self) -> None:
        """Take in nothing more; `run` returns when all that was decided is committed."""
        self._stopping = True

    async def run(self) -> None:
        """Pump until stopped."""
        poll = self._poll()
        while not self._stopping:
            batch = await poll
            poll = self._poll()
            self.beat = time.monotonic()
            async with self._busy:
                if self._open is not None and self._open[1].done():
                    await self._settle()
                if batch is not None:
                    await self._turn(batch)
        await poll
        await self.drain()

    @asynccontextmanager
    async def still(self) -> AsyncIterator[None]:
        """While this is held no decision and no transaction is under way, and the rows are as committed."""
        async with self._busy:
            await self._settle()
            yield

    async def drain(self) -> None:
        """Return when no decision and no transaction is under way."""
        async with self.still():
            pass

    async def prove_owner(self) -> None:
        """Return only if the partitions were still this worker's when this was called; to be called within `still`.

        Commits the positions where they already are: a worker that has been replaced is fenced, and ends.
        """
        assert self.assignment is not None
        again = Decided({}, dict(self.assignment.moved), self.assignment.metadata, {})
        await asyncio.get_running_loop().run_in_executor(self._committing, self.transactions.write, again)

    async def call_polling(self, act: Callable[[], None]) -> None:
        """Run `act` on the thread that polls."""
        await asyncio.get_running_loop().run_in_executor(self._polling, act)

    def _poll(self) -> asyncio.Future[Batch | None]:
        return asyncio.get_running_loop().run_in_executor(self._polling, self._intake.poll)

    async def _turn(self, batch: Batch) -> None:
        """Have one batch decided, and begin its transaction as soon as the one before is done."""
        assignment = self.assignment
        assert assignment is not None
        under = self._open[0].results if self._open is not None else {}
        asked = [question for records in batch.chunks.values() for question in questions(self._stage, records)]
        lookups = await ask(self._lookup, asked, self._options.lookup_deadline)
        self.handed_out = time.monotonic()
        chunks = []
        for partition, records in batch.chunks.items():
            rows = assignment.ready.get(partition)
            if rows is None:
                crash("record-of-no-partition-of-ours", stage=self._stage.name, source=records[0].coordinates)
            chunk = Chunk(self._stage, partition, records, rows, under.get(partition), lookups, self._options.row_limit)
            await self._send(chunk)
            chunks.append(chunk)
        try:
            results = {chunk.partition: await chunk.result for chunk in chunks}
        except Exception as bug:
            crash("decision-failed", stage=self._stage.name, error=type(bug).__name__)
        self.handed_out = None
        reach("after-decide")
        oldest = {partition: records[0].timestamp for partition, records in batch.chunks.items()}
        decided = Decided(results, batch.positions, assignment.metadata, oldest)
        await self._settle()
        writing = asyncio.get_running_loop().run_in_executor(self._committing, self.transactions.write, decided)
        self._open = decided, writing

    async def _settle(self) -> None:
        """Wait for the outstanding commit and fold what it wrote into the rows."""
        if self._open is None:
            return
        decided, writing = self._open
        try:
            reached = await writing
        except Exception as bug:
            crash("commit-failed", stage=self._stage.name, error=type(bug).__name__)
        assert self.assignment is not None
        for partition, result in decided.results.items():
            self.assignment.ready[partition].fold(result, reached.get(partition))
            self.committed += result.records
        self.assignment.moved.update(decided.positions)
        self._open = None
        reach("after-fold")
        report(self._stage.name, decided, self.assignment.ready, time.time() * 1000)
