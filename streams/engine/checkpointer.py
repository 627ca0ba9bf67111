"""When checkpoints are taken: every few minutes, and at a clean stop."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import structlog
from confluent_kafka import KafkaException

from agents.runtime.contract import Stage
from streams.engine.checkpoint import Standing, file_of, write
from streams.engine.options import EngineOptions
from streams.engine.pump import Pump
from streams.engine.restore import ends_of
from streams.kafka.settings import KafkaSettings

_log = structlog.get_logger("engine")


class Saver:
    """Takes checkpoints of the partitions that a pump has ready. One that fails is left out: it only saves time."""

    def __init__(self, stage: Stage, kafka: KafkaSettings, options: EngineOptions, pump: Pump) -> None:
        self._stage, self._kafka, self._pump = stage, kafka, pump
        self._every = options.checkpoint_every
        # Rows that live on disk are as good as a checkpoint after every transaction.
        wanted = options.checkpoint_folder is not None and options.rows == "memory"
        self._folder = Path(options.checkpoint_folder or "") if wanted else None
        self._saving = asyncio.Lock()

    async def run(self) -> None:
        """Save every so often, until cancelled."""
        while self._folder is not None:
            await asyncio.sleep(self._every)
            await self.save()

    async def save(self) -> None:
        """Save all partitions as of now. The pump stands for the moment that taking hold of the rows needs."""
        folder = self._folder
        if folder is None:
            return
        async with self._saving:
            try:
                async with self._pump.still():
                    assignment = self._pump.assignment
                    if assignment is None or not assignment.moved:
                        return
                    held = dict(assignment.ready)
                    ends = await asyncio.to_thread(ends_of, self._kafka, self._stage.changelog, list(held), 2.0)
                    # Had somebody replaced us, these ends would be theirs and our rows older than they say.
                    await self._pump.prove_owner()
                    copies = {partition: (dict(rows.items()), rows.clock) for partition, rows in held.items()}
                now = int(time.time() * 1000)
                for partition, (rows, clock) in copies.items():
                    offset = ends.reach[partition][1]
                    standing = Standing(ends.topic_id, partition, self._stage.schema, offset, clock, now, len(rows))
                    await asyncio.to_thread(write, file_of(folder, self._stage.changelog, partition), standing, rows)
            except (KafkaException, OSError, TimeoutError) as error:
                _log.warning("checkpoint not written", stage=self._stage.name, error=type(error).__name__)
