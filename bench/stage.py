"""How many events a second one worker takes through Kafka, exactly once: consume, decide, changelog, outputs, commit.

`python -m bench.stage [--facts N] [--members M] [--runs R] [--rows disk] [--profile FILE]`: 413-byte facts, 4
partitions, one broker on this machine. HANDOFF_KAFKA__BOOTSTRAP names a Kafka to use; otherwise one is started. The
last line of output is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import signal
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

import confluent_kafka
import structlog
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from bench import ledger
from bench.report import result, say
from bench.rivals import HOW_TO_GET, count_alone, engines, peer_version, rate
from handoff.embedded.kafka import EmbeddedKafka
from streams.engine.options import EngineOptions
from streams.kafka.produce import produce_blocking
from streams.kafka.settings import KafkaSettings, producer_config
from streams.worker import Worker, tune_gc

PARTITIONS: Final = 4
INPUT: Final = {"message.timestamp.type": "LogAppendTime"}


@contextmanager
def some_kafka() -> Iterator[str]:
    """The bootstrap of a Kafka with nothing else to do."""
    given = os.environ.get("HANDOFF_KAFKA__BOOTSTRAP")
    if given:
        yield given
        return
    with tempfile.TemporaryDirectory() as folder, EmbeddedKafka(Path(folder)) as kafka:
        yield kafka.bootstrap


def recreate(bootstrap: str, topics: dict[str, dict[str, str]], partitions: int = PARTITIONS) -> None:
    """Topics anew and empty."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    gone = [name for name in admin.list_topics(timeout=30).topics if name in topics]
    if gone:
        for done in admin.delete_topics(gone, operation_timeout=30).values():
            done.result(30)
    deadline = time.monotonic() + 30
    for name, config in topics.items():
        while True:
            try:
                admin.create_topics([NewTopic(name, partitions, 1, config=config)], operation_timeout=30)[name].result(
                    30
                )
                break
            except confluent_kafka.KafkaException:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
    # A broker under load tells of new topics a while after it has made them.
    while not topics.keys() <= admin.list_topics(timeout=30).topics.keys():
        if time.monotonic() > deadline:
            raise TimeoutError("the topics that were made are not to be seen")
        time.sleep(0.1)


def produce_facts(bootstrap: str, count: int, members: int, compression: str = "lz4") -> None:
    """Put the facts into their topic."""
    more = {"queue.buffering.max.messages": 1_000_000, "compression.type": compression}
    producer = Producer(producer_config(KafkaSettings(bootstrap=bootstrap), **more))
    for key, value in ledger.facts(count, members):
        produce_blocking(producer, ledger.FACTS, value, key)
    producer.flush(120)


def run_once(bootstrap: str, count: int, run: int, rows: Literal["memory", "disk"], folder: str) -> dict[str, Any]:
    """One worker from its first record to the commit of its last, its rows in memory or on disk in `folder`."""
    worker = Worker(
        ledger.ledger_stage(),
        KafkaSettings(bootstrap=bootstrap),
        0,
        f"bench{os.getpid()}-{run}",
        EngineOptions(tick_every=None, rows=rows, checkpoint_folder=folder if rows == "disk" else None),
        None,
        None,
    )
    seen: dict[str, float] = {}

    async def watch() -> None:
        while worker.pump is None or worker.pump.committed == 0:
            await asyncio.sleep(0.005)
        first = worker.pump.committed
        began, cpu = time.perf_counter(), _cpu()
        while worker.pump.committed < count:
            await asyncio.sleep(0.005)
        seconds = time.perf_counter() - began
        seen["events_per_s"] = round((count - first) / seconds)
        seen["cpu_us_per_event"] = round((_cpu() - cpu) / (count - first) * 1e6, 1)
        signal.raise_signal(signal.SIGTERM)

    async def both() -> None:
        watching = asyncio.create_task(asyncio.wait_for(watch(), 600))
        code = await worker.run()
        if code:
            watching.cancel()
            raise RuntimeError(f"the worker ended with {code}")
        await watching

    asyncio.run(both())
    return seen


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def quix(bootstrap: str, facts: int, members: int) -> dict[str, Any]:
    """Quix Streams on the same facts, if it is here."""
    if "quix" not in engines():
        say(HOW_TO_GET)
        return {"quixstreams": HOW_TO_GET}
    outputs = count_alone(list(ledger.facts(facts, members))).total()
    with tempfile.TemporaryDirectory() as folder:
        per_second = rate("quix", bootstrap, Path(folder), PARTITIONS, outputs, facts, 60.0)
    said = {"events_per_s": per_second, "version": peer_version("quixstreams"), "guarantee": "exactly-once"}
    say(f"Quix Streams: {said}")
    return {"quixstreams": said}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--facts", type=int, default=400_000)
    parser.add_argument("--members", type=int, default=50_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--rows", choices=("memory", "disk"), default="memory", help="where rows live")
    parser.add_argument("--profile", default=None, help="write a cProfile of the event loop's thread here")
    chosen = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    outputs = {name: {} for name in (ledger.TRANSITIONS, ledger.CANDIDATES, ledger.LETTERS)}
    runs = []
    tune_gc()
    with some_kafka() as bootstrap, tempfile.TemporaryDirectory() as folder:
        recreate(bootstrap, {ledger.FACTS: INPUT})
        produce_facts(bootstrap, chosen.facts, chosen.members)
        for run in range(chosen.runs):
            recreate(bootstrap, {**outputs, ledger.CHANGELOG: {"cleanup.policy": "compact"}})
            if chosen.profile:
                import cProfile

                with cProfile.Profile() as profile:
                    runs.append(run_once(bootstrap, chosen.facts, run, chosen.rows, folder))
                profile.dump_stats(chosen.profile)
            else:
                runs.append(run_once(bootstrap, chosen.facts, run, chosen.rows, folder))
            say(f"run {run}: {runs[-1]}")
        recreate(bootstrap, outputs)
        peers = quix(bootstrap, chosen.facts, chosen.members)
    result(
        "stage",
        {
            "events_per_s": round(statistics.median(run["events_per_s"] for run in runs)),
            "cpu_us_per_event": statistics.median(run["cpu_us_per_event"] for run in runs),
            "runs": runs,
            "facts": chosen.facts,
            "rows": chosen.rows,
            "fact_bytes": ledger.SIZE,
            "members": chosen.members,
            "partitions": PARTITIONS,
            "peers": peers,
            "bar": 25_000,
        },
        "confluent-kafka",
        "faust-streaming",
        "msgspec",
    )


if __name__ == "__main__":
    main()
