"""What travels down a stage's channel: a chunk to decide, and the future that its result comes back through."""

from __future__ import annotations

import time
from asyncio import Future, get_running_loop
from collections.abc import Mapping

from agents.runtime.chunk import decide_chunk
from agents.runtime.contract import Record, Stage, TooCostly
from agents.runtime.store import ChunkResult, RowStore
from streams.engine.budget import Budget


class Chunk:
    """Records that one poll brought for one partition, the rows they bear on, and the future of the result."""

    __slots__ = (
        "_budget",
        "_limit",
        "_lookups",
        "_partitions",
        "_pending",
        "_rows",
        "_stage",
        "_until",
        "partition",
        "records",
        "result",
    )

    def __init__(
        self,
        stage: Stage,
        partition: int,
        records: list[Record],
        rows: RowStore,
        pending: ChunkResult | None,
        lookups: Mapping[str, str | None] | None,
        limit: int,
        budget: Budget | None = None,
        until: float | None = None,
        partitions: int | None = None,
    ) -> None:
        """`until` (monotonic seconds): no further record is begun after it; at least one is decided. `partitions`: how
        many the stage's topics have.
        """
        self.partition = partition
        self.records = records
        self.result: Future[ChunkResult] = get_running_loop().create_future()
        self._stage, self._rows, self._pending, self._lookups, self._limit = stage, rows, pending, lookups, limit
        self._budget, self._until, self._partitions = budget or Budget(3600.0), until, partitions

    def decide(self) -> None:
        """Decide the chunk and set the result. Raises nothing: a fault is set as the future's exception."""
        try:
            with self._budget.watch() as progress:
                result = decide_chunk(
                    self._stage,
                    self._rows,
                    self.records,
                    pending=self._pending,
                    lookups=self._lookups,
                    partitions=self._partitions,
                    row_limit=self._limit,
                    progress=progress,
                    expired=self._expired,
                )
        except (Exception, TooCostly) as bug:
            self.result.set_exception(bug)
        else:
            self.result.set_result(result)

    def _expired(self) -> bool:
        return self._until is not None and time.monotonic() > self._until
