"""What travels down a stage's channel: a chunk to decide, and the way its result comes back."""

from __future__ import annotations

from asyncio import Future, get_running_loop
from collections.abc import Mapping

from agents.runtime.chunk import decide_chunk
from agents.runtime.contract import Record, Stage
from agents.runtime.store import ChunkResult, RowStore


class Chunk:
    """Records that one poll brought for one partition, the rows they bear on, and a promise of the result."""

    __slots__ = ("_limit", "_lookups", "_rows", "_stage", "_under", "partition", "records", "result")

    def __init__(
        self,
        stage: Stage,
        partition: int,
        records: list[Record],
        rows: RowStore,
        under: ChunkResult | None,
        lookups: Mapping[str, str | None] | None,
        limit: int,
    ) -> None:
        self.partition = partition
        self.records = records
        self.result: Future[ChunkResult] = get_running_loop().create_future()
        self._stage, self._rows, self._under, self._lookups, self._limit = stage, rows, under, lookups, limit

    def decide(self) -> None:
        """Decide the chunk and hand the result back. Raises nothing: a fault is handed back too."""
        try:
            result = decide_chunk(
                self._stage, self._rows, self.records, under=self._under, lookups=self._lookups, row_limit=self._limit
            )
        except Exception as bug:
            self.result.set_exception(bug)
        else:
            self.result.set_result(result)
