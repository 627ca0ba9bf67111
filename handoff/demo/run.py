"""Drive a running system with a simulated county: load, send, wait until the workers have caught up, read the results.

Used by `handoff demo`, by the integration tests and by `bench/`.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from confluent_kafka import Consumer

from agents.graph import groups
from agents.runtime.contract import Emit, Record
from agents.topics import CANDIDATES, CUSTODY_RAW, ROSTER, TICKS
from domain.times import instant
from gateway.client import Outcome, Sent, Target, percentile, send
from handoff.loading import write_documents
from handoff.system import System
from parsers.records.custody import encode_custody, load_custody
from parsers.records.files import Loaded
from parsers.records.roster_documents import encode_roster
from parsers.records.roster_file import load_roster
from parsers.records.ticks import Tick, write_tick
from streams.kafka.lag import LagReader
from streams.kafka.produce import produce_together
from streams.kafka.read import documents, snapshot
from streams.kafka.settings import KafkaSettings

T = TypeVar("T")


class NotDrained(Exception):
    """The workers did not catch up in time."""


def now_ms() -> int:
    """The time, ms UTC."""
    return int(time.time() * 1000)


def feed_roster(kafka: KafkaSettings, data: bytes) -> int:
    """Load a roster file; returns the number of members. Raises ValueError when the file has faults."""
    return write_documents(kafka, ROSTER, _sound(load_roster(data)), lambda each: each.member_id, encode_roster)


def feed_custody(kafka: KafkaSettings, data: bytes) -> int:
    """Load a custody file; returns the number of records. Raises ValueError when the file has faults."""
    if not data.strip():
        return 0
    return write_documents(kafka, CUSTODY_RAW, _sound(load_custody(data)), lambda each: each.key, encode_custody)


def _sound(loaded: Loaded[T]) -> tuple[T, ...]:
    if loaded.faults:
        raise ValueError(f"{len(loaded.faults)} faults in the file")
    return loaded.documents


def send_messages(
    system: System,
    messages: list[bytes],
    connections: int,
    on_outcome: Callable[[Outcome], None] | None = None,
    rate: float = 0.0,
) -> Sent:
    """Send over MLLP while supervising the system's processes; a lost connection is opened again."""
    host, _, port = system.addresses["mllp"].rpartition(":")
    target = Target(host, int(port), connections=connections, rate=rate, retries=20)

    async def both() -> Sent:
        async def tend() -> None:
            while True:
                await asyncio.to_thread(system.supervise)
                await asyncio.sleep(0.2)

        tending = asyncio.create_task(tend())
        try:
            return await send(target, messages, on_outcome)
        finally:
            tending.cancel()

    return asyncio.run(both())


def lag_of(kafka: KafkaSettings) -> int:
    """Records that the workers have not committed."""
    with LagReader(kafka, groups()) as reader:
        return reader.read(now_ms()).records


def drain(system: System, seconds: float, on_lag: Callable[[int], None] = lambda _: None) -> None:
    """Return once two readings in a row find no lag; calls `on_lag` with each. Raises NotDrained."""
    deadline = time.monotonic() + seconds
    calm = 0
    with LagReader(system.kafka_settings, groups()) as reader:
        while calm < 2:
            system.supervise()
            lag = reader.read(now_ms()).records
            on_lag(lag)
            calm = calm + 1 if lag == 0 else 0
            if time.monotonic() > deadline:
                raise NotDrained(f"{lag} records were left after {seconds:.0f} s")
            time.sleep(0.1)


def tick(kafka: KafkaSettings, at: int) -> None:
    """Produce a tick of `at` (ms UTC) to every partition of the member stage."""
    consumer = Consumer({**kafka.librdkafka(), "group.id": "handoff-tick"})
    clock = kafka.actual(TICKS)
    partitions = consumer.list_topics(clock, timeout=10).topics[clock].partitions
    consumer.close()
    stamp = (("received", str(at).encode()),)
    value = write_tick(Tick(at))
    produce_together(kafka, [Emit(TICKS, str(p).encode(), value, stamp, p) for p in sorted(partitions)])


def candidates(kafka: KafkaSettings) -> list[dict[str, Any]]:
    """The current document of every candidate, live or not."""
    return list(documents(kafka, CANDIDATES).values())


class Timing(msgspec.Struct, frozen=True):
    """Milliseconds from the gateway's receipt of a message to the append of a candidate that it changed."""

    count: int
    p50: float
    p99: float


def candidate_latency(kafka: KafkaSettings, since: int) -> Timing:
    """Over all candidate records whose message was received after `since` (ms UTC)."""
    waits = list(_waits(snapshot(kafka, [CANDIDATES]), since))
    return Timing(len(waits), percentile(waits, 0.5), percentile(waits, 0.99))


def _waits(records: Iterable[Record], since: int) -> Iterable[float]:
    for record in records:
        if record.value is None:
            continue
        received = instant(json.loads(record.value)["received"])
        if received >= since:
            yield max(0.0, float(record.timestamp - received))


def read_messages(folder: Path) -> list[bytes]:
    """The messages of a simulated county in order of delivery."""
    with (folder / "messages.jsonl").open("rb") as lines:
        return [msgspec.json.decode(line)["hl7"].encode() for line in lines]
