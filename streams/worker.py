"""One worker: one stage, in one process, under one slot."""

from __future__ import annotations

import asyncio
import gc
import signal
import time
from collections.abc import Callable
from functools import partial

import structlog
from confluent_kafka import KafkaException

from agents.runtime.contract import Stage
from streams.engine.assignment import Assignment
from streams.engine.checkpointer import Saver
from streams.engine.crash import EXIT_CRASHED, EXIT_REFUSED, crash
from streams.engine.lookup import Lookup
from streams.engine.options import EngineOptions
from streams.engine.poll import Intake, stage_consumer
from streams.engine.preflight import faults_of_topics
from streams.engine.pump import Pump
from streams.engine.ticks import Ticker, tick_owned
from streams.engine.transactions import Transactions, stage_producer
from streams.engine.watchdog import Watchdog
from streams.health import Detail, HealthServer
from streams.kafka.settings import KafkaSettings
from streams.topology import Topology

_log = structlog.get_logger("engine")


class Worker:
    """A worker from start to stop. `run` once."""

    def __init__(
        self,
        stage: Stage,
        kafka: KafkaSettings,
        slot: int,
        app_id: str,
        options: EngineOptions,
        lookup: Lookup | None,
        on_ready: Callable[[], None] | None,
    ) -> None:
        self.stage, self.kafka, self.options, self.lookup = stage, kafka, options, lookup
        self.app_id, self.on_ready = app_id, on_ready
        self.group = f"{app_id}.{stage.name}"
        self.instance = f"{self.group}.{slot}"
        self.slot = slot
        self.pump: Pump | None = None

    def alive(self) -> Detail:
        """Whether the pump comes round."""
        quiet = 0.0 if self.pump is None else time.monotonic() - self.pump.beat
        return quiet < self.options.chunk_deadline, {"stage": self.stage.name, "slot": self.slot}

    def ready(self) -> Detail:
        """Whether the group has given this worker its partitions and all their rows are restored."""
        assignment = self.pump.assignment if self.pump is not None else None
        detail = {
            "stage": self.stage.name,
            "slot": self.slot,
            "assigned": assignment.partitions if assignment is not None else [],
            "ready": sorted(assignment.ready) if assignment is not None else [],
            "committed": self.pump.committed if self.pump is not None else 0,
        }
        return assignment is not None and assignment.complete, detail

    async def run(self) -> int:
        """Serve until SIGTERM or SIGINT; returns the exit code. A crash does not return."""
        loop = asyncio.get_running_loop()
        stage, options = self.stage, self.options
        try:
            faults = await asyncio.to_thread(faults_of_topics, stage, self.kafka, seconds=options.start)
        except KafkaException as error:
            _log.error("cluster not reached", stage=stage.name, code=error.args[0].name())
            return EXIT_CRASHED
        for fault in faults:
            _log.error("refused to start", stage=stage.name, why=fault)
        if faults:
            return EXIT_REFUSED

        transactions = Transactions(stage, stage_producer(self.kafka, options, self.instance), options)
        await asyncio.to_thread(transactions.begin_service)
        topology = Topology(self.app_id, [stage])
        await topology.start()

        consumer = stage_consumer(self.kafka, options, group=self.group, instance=self.instance)
        intake = Intake(consumer, options)
        pump = Pump(stage, options, intake, transactions, partial(topology.send, stage.name), self.lookup)

        def drain() -> None:
            asyncio.run_coroutine_threadsafe(pump.drain(), loop).result(options.drain)

        assignment = pump.assignment = Assignment(stage, self.kafka, options, intake, drain)
        self.pump = pump
        consumer.subscribe(
            list(stage.inputs),
            on_assign=assignment.assigned,
            on_revoke=assignment.revoked,
            on_lost=assignment.lost,
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, pump.stop)
        watchdog = Watchdog(stage.name, pump, self.kafka, options)
        watchdog.start()
        ticker = Ticker(self.kafka, stage.clock)
        beside = [asyncio.create_task(self._announce(assignment))]
        if stage.ticks and options.tick_every is not None:
            ticks = tick_owned(ticker, lambda: list(assignment.ready), options.tick_every, _now)
            beside.append(asyncio.create_task(ticks))
        saver = Saver(stage, self.kafka, options, pump)
        beside.append(asyncio.create_task(saver.run()))
        try:
            await pump.run()
        except Exception as bug:
            crash("pump-failed", stage=stage.name, error=type(bug).__name__)
        for task in beside:
            task.cancel()
        await saver.save()
        watchdog.stop()
        await pump.call_polling(consumer.close)
        ticker.flush(1.0)
        await topology.stop()
        _log.info("stopped", stage=stage.name, committed=pump.committed)
        return 0

    async def _announce(self, assignment: Assignment) -> None:
        while not assignment.complete:
            await asyncio.sleep(0.02)
        if self.on_ready is not None:
            self.on_ready()


def _now() -> int:
    return int(time.time() * 1000)


def spare_collector() -> None:
    """Let the cycle collector look more rarely, and never at what the imports made: rows and records form no cycles.

    Saves about a tenth of the time per record.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)


def run_worker(
    stage: Stage,
    kafka: KafkaSettings,
    *,
    slot: int,
    app_id: str = "handoff",
    options: EngineOptions | None = None,
    lookup: Lookup | None = None,
    on_ready: Callable[[], None] | None = None,
    on_health: Callable[[int], None] | None = None,
) -> int:
    """Run one worker of `stage` as member `slot` of its group until SIGTERM or SIGINT. Returns the exit code.

    0: stopped cleanly. 2: the topics are not as the stage needs them. The process ends with 70, without returning, when
    the worker can no longer be sure of what it holds. `on_ready` is called once, when its partitions are restored;
    `on_health` with the health server's port, before anything else.
    """
    options = options or EngineOptions()
    worker = Worker(stage, kafka, slot, app_id, options, lookup, on_ready)
    health = None
    if options.health_port is not None:
        health = HealthServer(options.health_host, options.health_port, worker.alive, worker.ready)
        if on_health is not None:
            on_health(health.port)
    spare_collector()
    try:
        return asyncio.run(worker.run())
    finally:
        if health is not None:
            health.stop()
