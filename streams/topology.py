"""The Faust app of a worker: its agents, its sensors, and the worker's parts as services (docs/engine.md#faust).

What flows where is in `agents.graph`. Each stage is a value (`agents.runtime.contract.Stage`); its agent is below, on a
channel of chunks. Faust supplies the app, the agents, timers, sensors, and the life cycle of services: start in order,
stop in reverse. It does not dial Kafka: consumer, producer, tables and web server of its own
are off, since it would deliver records outside the transaction (docs/decisions/0001-engine.md).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any, Final

import faust
from faust.app.base import BootStrategy
from mode import Service

from agents.runtime.contract import Stage
from streams.engine.channel import Chunk
from streams.engine.sensors import TransactionSensor


async def reconcile(chunks: AsyncIterator[Chunk]) -> None:
    """The agent of the patient stage: a chunk holds ADT messages, custody records and links of source patients."""
    await decide(chunks)


async def refer(chunks: AsyncIterator[Chunk]) -> None:
    """The agent of the member stage: a chunk holds visits, roster rows, dispositions and ticks."""
    await decide(chunks)


async def decide(chunks: AsyncIterator[Chunk]) -> None:
    """Decide each chunk as it comes; its result goes back through its future (`streams.engine.channel`)."""
    async for chunk in chunks:
        chunk.decide()


AGENTS: Final[Mapping[str, Callable[[AsyncIterator[Chunk]], Awaitable[None]]]] = {
    "reconcile": reconcile,
    "refer": refer,
}
"""By name of the stage; a stage of another name (of a test or a bench) has `decide` as its agent."""


class EngineBoot(BootStrategy):  # type: ignore[misc]
    """The services of an app in the order of their start: sensors, agents, then the engine's own."""

    enable_kafka = False
    enable_web = False

    def server(self) -> Iterable[Service]:
        """All services of the worker."""
        return self._chain(self.sensors(), self.agents(), self.app.engine_services)  # type: ignore[no-any-return]


class App(faust.App):  # type: ignore[misc]
    """Faust's app, without a directory of its own on disk: rows live in changelogs."""

    BootStrategy = EngineBoot

    def __init__(self, app_id: str) -> None:
        self.engine_services: list[Service] = []
        super().__init__(
            app_id,
            broker="kafka://127.0.0.1:9",  # required by Faust, never dialled
            autodiscover=False,
            topic_disable_leader=True,
            web_enabled=False,
            worker_redirect_stdouts=False,
        )
        self.sensors.add(TransactionSensor())

    def _create_directories(self) -> None:
        """No directories."""


class Topology:
    """A Faust app with one agent per stage."""

    def __init__(self, app_id: str, stages: Iterable[Stage]) -> None:
        self.app = App(app_id)
        self.channels: dict[str, Any] = {}
        for stage in stages:
            channel = self.channels[stage.name] = self.app.channel(maxsize=1024)
            self.app.agent(channel, name=stage.name)(AGENTS.get(stage.name, decide))

    async def start(self, services: Iterable[Service] = ()) -> None:
        """Start the agents, and then `services` in order. Returns when all have started."""
        self.app.engine_services = [AgentsReady(self.app), *services]
        await self.app.start()

    async def stop(self) -> None:
        """Stop the services in reverse order, then the agents."""
        await self.app.stop()

    async def send(self, stage: str, chunk: Chunk) -> None:
        """Put a chunk into the channel of a stage's agent."""
        await self.channels[stage].put(chunk)


class AgentsReady(Service):  # type: ignore[misc]
    """Holds back the services after it until the agents wait for chunks."""

    def __init__(self, app: App) -> None:
        super().__init__()
        self._app = app

    async def on_start(self) -> None:
        """Wait for the agents, and open their flow: Faust opens it after restoring tables, and there are none."""
        await self._app.agents.wait_until_agents_started()
        self._app.flow_control.resume()
