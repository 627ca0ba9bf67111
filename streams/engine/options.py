"""How a worker runs: sizes and time limits (docs/engine.md#bounds). Defaults were measured."""

from __future__ import annotations

from typing import Literal

import msgspec


class EngineOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes in records and bytes, times in seconds."""

    max_records: int = 2_000
    """Records one poll takes at most."""
    max_bytes: int = 8 * 1024 * 1024
    """Bytes of values after which a batch ends."""
    linger: float = 0.02
    """How long a poll that has a record waits for more."""
    idle: float = 0.25
    """How long a poll waits for its first record."""
    chunk_seconds: float = 5.0
    """No further record of a chunk is begun after this time: the rest waits for the next transaction."""
    record_budget: float = 10.0
    """A record whose decision takes longer is set aside as `too-costly`. A third of `chunk_deadline`."""
    crash_limit: int = 3
    """A record at which so many workers ended is set aside."""
    tick_every: float | None = 60.0
    """How often the owner of a partition produces a tick; None: another process does."""
    session: float = 10.0
    """Kafka takes the partitions away from a worker that sent no heartbeat for so long."""
    transaction: float = 15.0
    """Kafka aborts a transaction that has been open for so long."""
    start: float = 60.0
    """How long a start waits for the cluster."""
    idle_commit: float = 30.0
    """After so long without records, positions that passed only transaction markers are committed."""
    chunk_deadline: float = 30.0
    """A chunk that an agent has not handed back by then ends the worker."""
    stall_deadline: float = 60.0
    """No progress for so long while the lag grows ends the worker."""
    lookup_deadline: float = 2.0
    """The directory counts as away after so long."""
    row_limit: int = 512 * 1024
    """Bytes a row may take."""
    checkpoint_folder: str | None = None
    """Local folder for checkpoints, which make a restart read only the changelog's tail; None: no checkpoints."""
    checkpoint_every: float = 300.0
    rows: Literal["memory", "disk"] = "memory"
    """Where rows live; on disk they are in `checkpoint_folder`, which must then be given, and need no checkpoints."""
    rows_cache: int = 256 * 1024 * 1024
    """Bytes of rows on disk that are kept in memory as well, over all partitions of the worker."""
    health_host: str = "127.0.0.1"
    health_port: int | None = None
    """Port of the health server; 0 takes a free one, None starts none."""

    @property
    def drain(self) -> float:
        """How long a revoked partition may take to finish its open transaction."""
        return self.session / 2
