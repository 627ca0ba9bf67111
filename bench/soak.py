"""Whether a worker that runs for long stays what it was: nothing lost or repeated, memory flat.

    python -m bench.soak [--messages N] [--members M] [--job count|pipeline]

`count` is the job of bench.stage over a bounded set of members, on one broker of this machine whose input topic keeps
little, so that the disk does not fill. A feeder keeps a bounded lag; every output is checked off against the number of
its fact, and the rows of every hundredth member against a single-threaded count. `pipeline` is both real stages, fed
over MLLP with one simulated county of as many members after the other: other people each time, so that rows grow, and
what is told is the growth for each of them.

Memory is flat when the worker's mean in the last third is within 5 % of its mean in the middle third. Progress goes to
stderr, and the last line of output is one JSON object.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Final

import structlog
from confluent_kafka import Consumer, Producer, TopicPartition

from agents.runtime.contract import Context, Record
from agents.runtime.store import MemoryStore, decoded
from bench import ledger
from bench.report import result, say
from bench.resident import Memory
from bench.soak_pipeline import soak_pipeline
from bench.stage import PARTITIONS, recreate
from handoff.embedded.kafka import EmbeddedKafka
from streams.engine.options import EngineOptions
from streams.engine.restore import restore
from streams.kafka.produce import produce_blocking
from streams.kafka.settings import KafkaSettings, producer_config
from streams.worker import run_worker

GROUP: Final = "soak.ledger"
LAG: Final = 100_000
"""Facts that may wait."""
ROOM: Final = {"retention.bytes": str(96 * 1024 * 1024), "segment.bytes": str(16 * 1024 * 1024)}
"""Of each partition; far more than the lag takes."""
TIDY: Final = {"log.retention.check.interval.ms": "5000", "log.segment.delete.delay.ms": "1000"}
EVERY: Final = 100
"""One member in so many is counted a second time, single-threaded."""


class Feeder(threading.Thread):
    """Produces the facts, never more than LAG ahead of `read`, and counts what the sample of members comes to."""

    def __init__(self, bootstrap: str, count: int, members: int) -> None:
        super().__init__(daemon=True)
        self.read = 0
        self.sample: dict[str, Any] = {}
        self._count, self._members = count, members
        self._producer = Producer(
            producer_config(KafkaSettings(bootstrap=bootstrap), **{"queue.buffering.max.messages": 200_000})
        )

    def run(self) -> None:
        for number, (key, value) in enumerate(ledger.facts(self._count, self._members)):
            while number - self.read > LAG:
                time.sleep(0.01)
            produce_blocking(self._producer, ledger.FACTS, value, key)
            member = key.decode()
            if int(member[1:-1]) % EVERY == 0:
                record = Record(ledger.FACTS, 0, number, key, value, 0, {})
                self.sample[member], _ = ledger.decide(self.sample.get(member), record, Context(0))
        self._producer.flush(120)


class Auditor(threading.Thread):
    """Reads the transitions as anybody downstream would, and checks each off by the number of its visit."""

    def __init__(self, bootstrap: str, visits: int) -> None:
        super().__init__(daemon=True)
        self.seen = bytearray(visits)
        self.found = self.repeated = 0
        self.done = threading.Event()
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "soak.auditor",
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "queued.max.messages.kbytes": 32 * 1024,
            }
        )
        self._consumer.assign([TopicPartition(ledger.TRANSITIONS, partition, 0) for partition in range(PARTITIONS)])

    def run(self) -> None:
        while not self.done.is_set():
            for message in self._consumer.consume(10_000, 0.2):
                if message.error() is None:
                    # {"visit":"GENHOSP|V00000017", ...
                    number = int(message.value()[19:27])
                    self.repeated += self.seen[number]
                    self.found += 1 - self.seen[number]
                    self.seen[number] = 1
        self._consumer.close()


def soak_count(count: int, members: int) -> dict[str, Any]:
    """The counting job over `count` facts."""
    with (
        tempfile.TemporaryDirectory(prefix="handoff-soak-") as folder,
        EmbeddedKafka(Path(folder), overrides=TIDY) as kafka,
    ):
        bootstrap = kafka.bootstrap
        kept = dict.fromkeys((ledger.FACTS, ledger.TRANSITIONS, ledger.CANDIDATES, ledger.LETTERS), ROOM)
        stamped = {**ROOM, "message.timestamp.type": "LogAppendTime"}
        recreate(bootstrap, {**kept, ledger.FACTS: stamped, ledger.CHANGELOG: {"cleanup.policy": "compact"}})
        feeder, auditor = Feeder(bootstrap, count, members), Auditor(bootstrap, count // 2)
        command = [sys.executable, "-m", "bench.soak", "--worker-on", bootstrap]
        worker = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            memory = Memory([worker.pid])
            began = time.monotonic()
            auditor.start()
            feeder.start()
            follow(bootstrap, count, worker, feeder, memory)
            seconds = time.monotonic() - began
            feeder.join()
            deadline = time.monotonic() + 60
            while auditor.found < count // 2 and time.monotonic() < deadline:
                time.sleep(0.1)
            auditor.done.set()
            auditor.join()
            worker.terminate()
            code = worker.wait(60)
        finally:
            worker.kill()
        rows = differing(bootstrap, feeder.sample)
    return {
        "events_per_s": round(count / seconds),
        "seconds": round(seconds),
        "exit_code": code,
        "outputs": auditor.found,
        "lost": count // 2 - auditor.found,
        "repeated": auditor.repeated,
        "rows_compared": len(feeder.sample),
        "rows_differing": rows,
        **memory.figures(),
    }


def follow(bootstrap: str, count: int, worker: subprocess.Popen[bytes], feeder: Feeder, memory: Memory) -> None:
    """Return once all facts are committed as read. Raises RuntimeError when the worker ends."""
    watcher = Consumer({"bootstrap.servers": bootstrap, "group.id": GROUP})
    places = [TopicPartition(ledger.FACTS, partition) for partition in range(PARTITIONS)]
    while feeder.read < count:
        if worker.poll() is not None:
            raise RuntimeError(f"the worker ended with {worker.returncode}")
        feeder.read = sum(max(0, place.offset) for place in watcher.committed(places, timeout=30))
        if feeder.read:
            memory.mark(feeder.read / count)
        time.sleep(0.1)
    watcher.close()


def differing(bootstrap: str, sample: dict[str, Any]) -> int:
    """Rows of the sample that a restore does not find as they were counted."""
    found: dict[int, MemoryStore] = {}
    stage = ledger.ledger_stage()
    restore(
        stage, KafkaSettings(bootstrap=bootstrap), range(PARTITIONS), found.__setitem__, cancelled=threading.Event()
    )
    rows: dict[str, Any] = {}
    for each in found.values():
        rows.update(decoded(each, stage))
    return sum(rows.get(member) != row for member, row in sample.items())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--messages", type=int, default=10_000_000)
    parser.add_argument("--members", type=int, default=50_000)
    parser.add_argument("--job", choices=("count", "pipeline"), default="count")
    parser.add_argument("--worker-on", default=None, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(30),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    if chosen.worker_on is not None:
        kafka, options = KafkaSettings(bootstrap=chosen.worker_on), EngineOptions(tick_every=None)
        return run_worker(ledger.ledger_stage(), kafka, slot=0, app_id="soak", options=options)
    run = soak_count if chosen.job == "count" else soak_pipeline
    figures = run(chosen.messages, chosen.members)
    say(f"memory flat: {'yes' if figures['memory_flat'] else 'no'}")
    if chosen.job == "count":
        say(f"lost {figures['lost']}, repeated {figures['repeated']}")
    sized = {"messages": chosen.messages, "members": chosen.members, "job": chosen.job}
    result("soak", {**sized, **figures, "peers": {}}, "confluent-kafka", "faust-streaming")
    wrong = any(
        figures.get(name) for name in ("lost", "repeated", "rows_differing", "exit_code", "not_accepted", "restarts")
    )
    return 1 if wrong or not figures["memory_flat"] else 0


if __name__ == "__main__":
    sys.exit(main())
