"""When checkpoints are taken: every few minutes, and at a clean stop."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import structlog
from confluent_kafka import KafkaException
from mode import Service

from agents.runtime.contract import Stage
from streams.engine.checkpoint import CheckpointMeta, file_of, write
from streams.engine.options import EngineOptions
from streams.engine.pump import Pump
from streams.engine.restore import ends_of
from streams.engine.service import EngineService
from streams.kafka.settings import KafkaSettings

_log = structlog.get_logger("engine")


class Checkpointer(EngineService):
    """Takes checkpoints of the partitions that are ready. One that fails is left out: it only saves time."""

    def __init__(self, stage: Stage, kafka: KafkaSettings, options: EngineOptions, pump: Pump) -> None:
        super().__init__()
        self._stage, self._kafka, self._pump = stage, kafka, pump
        self._every = options.checkpoint_every
        # Rows that live on disk are as good as a checkpoint after every transaction.
        wanted = options.checkpoint_folder is not None and options.rows == "memory"
        self._folder = Path(options.checkpoint_folder or "") if wanted else None
        self._saving = asyncio.Lock()

    @Service.task  # type: ignore[untyped-decorator]
    async def _run(self) -> None:
        if self._folder is None:
            return
        async for _ in self.itertimer(self._every):
            await self.save()

    async def on_stop(self) -> None:
        """Save once more: the pump has stopped by now, and all it decided is committed."""
        await self.save()

    async def save(self) -> None:
        """Save all partitions as of now. The pump pauses for as long as copying the row references takes."""
        folder = self._folder
        if folder is None:
            return
        partitions = self._pump.partitions
        async with self._saving:
            try:
                async with self._pump.still():
                    if not partitions.moved:
                        return
                    ready = dict(partitions.ready)
                    ends = await asyncio.to_thread(ends_of, self._kafka, self._stage.changelog, list(ready), 2.0)
                    # If another worker had replaced this one, these ends would be its own and these rows older.
                    await self._pump.prove_owner()
                    copies = {partition: (dict(rows.items()), rows.clock) for partition, rows in ready.items()}
                now = int(time.time() * 1000)
                for partition, (rows, clock) in copies.items():
                    offset = ends.offsets[partition][1]
                    meta = CheckpointMeta(ends.topic_id, partition, self._stage.schema, offset, clock, now, len(rows))
                    await asyncio.to_thread(write, file_of(folder, self._stage.changelog, partition), meta, rows)
            except (KafkaException, OSError, TimeoutError) as error:
                _log.warning("checkpoint not written", stage=self._stage.name, error=type(error).__name__)
