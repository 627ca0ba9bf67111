"""THE PAGE: what flows where.

    gateway ──▶ adt.raw.v1, custody.raw.v1, members.roster.v1        (doors)
    reconcile   one row per source patient: its visits, and whose they are
            ──▶ member.visits.v1, identity.links.v1, adt.unattributed.v1
    refer       one row per member: what the visits come to
            ──▶ member.transitions.v1, member.utilization.v1, ecm.candidates.v1, ecm.watchlist.v1, ecm.alerts.v1

A stage is a value (`agents.stage.Stage`); here each becomes a Faust agent on a channel of chunks. The engine fills the
channels; nothing of Faust's own Kafka, tables or web server is started.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

import faust
from faust.app.base import BootStrategy

from agents.runtime.contract import Stage
from streams.engine.handover import Chunk

FLOW = ("reconcile", "refer")
"""The stages in order of flow."""


class ChannelsOnly(BootStrategy):  # type: ignore[misc]
    """Starts agents and nothing that would speak to Kafka or listen on a port."""

    enable_kafka = False
    enable_web = False


class App(faust.App):  # type: ignore[misc]
    """Faust's app, without a directory of its own on disk: rows live in changelogs."""

    BootStrategy = ChannelsOnly

    def _create_directories(self) -> None:
        """No directories."""


async def decide(chunks: AsyncIterator[Chunk]) -> None:
    """The agent of every stage: decide each chunk as it comes and hand the result back with it."""
    async for chunk in chunks:
        chunk.decide()


class Topology:
    """A Faust app with one agent per stage."""

    def __init__(self, app_id: str, stages: Iterable[Stage]) -> None:
        self.app = App(
            app_id,
            broker="kafka://127.0.0.1:9",  # never dialled
            autodiscover=False,
            topic_disable_leader=True,
            web_enabled=False,
            worker_redirect_stdouts=False,
        )
        self.channels: dict[str, Any] = {}
        for stage in sorted(stages, key=lambda stage: FLOW.index(stage.name) if stage.name in FLOW else len(FLOW)):
            channel = self.channels[stage.name] = self.app.channel(maxsize=1024)
            self.app.agent(channel, name=stage.name)(decide)

    async def start(self) -> None:
        """Start the agents. Returns when they wait for chunks."""
        await self.app.start()
        await self.app.agents.wait_until_agents_started()
        # Faust opens the flow when its tables are recovered; ours are restored elsewhere, partition by partition.
        self.app.flow_control.resume()

    async def stop(self) -> None:
        """Stop the agents."""
        await self.app.stop()

    async def send(self, stage: str, chunk: Chunk) -> None:
        """Put a chunk into the channel of a stage's agent."""
        await self.channels[stage].put(chunk)
