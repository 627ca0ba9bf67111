"""Running the counting stage on a real Kafka: topics, facts, worker processes, and what must have come of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from threading import Event, Thread
from typing import Any, Final
from uuid import uuid4

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from agents.runtime.chunk import decide_chunk
from agents.runtime.contract import Record, Stage
from agents.runtime.store import ChunkResult, MemoryStore, decoded
from agents.topics import TICKS
from streams.engine.options import EngineOptions
from streams.engine.poll import batch_of
from streams.engine.restore import ends_of, restore
from streams.kafka.consumers import BULK, reader
from streams.kafka.settings import KafkaSettings, producer_config
from tests.support.count_worker import Order
from tests.support.counting import Row, counting_stage, fact
from tests.support.kafka import Shape, make_topics
from tests.support.tally import Tally

ROOT: Final = Path(__file__).resolve().parents[2]
COMPACT: Final = {"cleanup.policy": "compact"}
STAMPED: Final = {"message.timestamp.type": "LogAppendTime"}
tallied = Tally()
"""What was checked since somebody put another tally here."""


class Counted:
    """One test's topics, workers and expectations. Use as a context manager: it ends its workers."""

    def __init__(
        self,
        bootstrap: str,
        *,
        partitions: int = 4,
        partitions_ticked: bool = False,
        broken: str = "",
        replication: int = 1,
        changelog: Mapping[str, str] = {},
    ) -> None:
        """`broken`: the changelog is `missing`, has other `partitions`, or another `policy`.

        `changelog`: further configs of it.
        """
        self.bootstrap = bootstrap
        self.partitions = partitions
        self.suffix = uuid4().hex[:8]
        self.partitions_ticked = partitions_ticked
        self.stage: Stage = counting_stage(self.suffix, partitions_ticked=partitions_ticked)
        self.kafka = KafkaSettings(bootstrap=bootstrap)
        self.facts, self.counts = f"facts.{self.suffix}", f"counts.{self.suffix}"
        self.letters = self.stage.dead_letters
        self.workers: list[WorkerProcess] = []
        self.deaths: list[int] = []
        self.made = 0
        self._checked = Tally()
        shape: dict[str, Shape] = {name: (partitions, {}) for name in (self.counts, self.letters)}
        shape[self.facts] = (partitions, STAMPED)
        if broken != "missing":
            policy = {"cleanup.policy": "delete"} if broken == "policy" else {**COMPACT, **changelog}
            shape[self.stage.changelog] = (partitions + (broken == "partitions"), policy)
        if partitions_ticked:
            shape[TICKS] = (partitions, STAMPED)
        make_topics(bootstrap, shape, replication=replication)
        self._producer = Producer(producer_config(self.kafka))
        self._watcher = Consumer({"bootstrap.servers": bootstrap, "group.id": f"t.{self.stage.name}"})

    def __enter__(self) -> Counted:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.end()
        self._watcher.close()

    def produce(self, count: int, *, keys: int = 50, **more: Any) -> None:
        """Produce `count` plain facts, ids going on from the last, and wait until they are written."""
        for _ in range(count):
            key = f"k{self.made % keys}"
            self._producer.produce(self.facts, fact(self.made, key, **more), key.encode())
            self.made += 1
        assert self._producer.flush(30) == 0

    def produce_values(self, values: Iterable[tuple[str, bytes | None]], headers: Mapping[str, bytes] = {}) -> None:
        """Produce values as given, by key, to the facts."""
        for key, value in values:
            self._producer.produce(self.facts, value, key.encode(), headers=list(headers.items()))
        assert self._producer.flush(30) == 0

    def produce_changelog(self, key: bytes, value: bytes, partition: int = 0) -> None:
        """Put a record into the changelog, as no worker of ours would."""
        self._producer.produce(self.stage.changelog, value, key, partition)
        assert self._producer.flush(30) == 0

    def tick(self, at: int) -> None:
        """Tell all partitions the time."""
        for partition in range(self.partitions):
            value = msgspec.json.encode({"at": at})
            self._producer.produce(TICKS, value, str(partition).encode(), partition)
        assert self._producer.flush(30) == 0

    def worker(
        self, slot: int = 0, *, kill_at: str | None = None, ticks: bool = False, **options: Any
    ) -> WorkerProcess:
        """Start a worker process; with `ticks` it produces them."""
        chosen = EngineOptions(**{"tick_every": None, "health_port": 0, **options})
        order = Order(self.bootstrap, self.suffix, slot, ticks, self.partitions_ticked, chosen)
        worker = WorkerProcess(order, kill_at)
        self.workers.append(worker)
        return worker

    def supervise(self, slots: dict[int, WorkerProcess], until: Callable[[], bool], seconds: float = 60.0) -> None:
        """Start again whatever ends, in `slots`, until `until()`. AssertionError after `seconds`."""
        deadline = time.monotonic() + seconds
        while True:
            for slot, worker in slots.items():
                if worker.code() is not None:
                    self.deaths.append(worker.wait())
                    slots[slot] = self.worker(slot, **msgspec.structs.asdict(worker.order.options))
            if until():
                return
            assert time.monotonic() < deadline, f"not done after {seconds} s: {self.progress()}"
            time.sleep(0.02)

    def finish(
        self, slots: dict[int, WorkerProcess], seconds: float = 60.0, ends: dict[int, int] | None = None
    ) -> None:
        """Supervise until every fact produced so far (or up to `ends`) has been committed as read."""
        ends = ends or self.ends()
        self.supervise(slots, lambda: self.positions() == ends, seconds)

    def positions(self) -> dict[int, int]:
        """The group's committed position in the facts, by partition."""
        places = [TopicPartition(self.facts, partition) for partition in range(self.partitions)]
        found = patiently(lambda: self._watcher.committed(places, timeout=10))
        return {place.partition: max(0, place.offset) for place in found}

    def read_so_far(self) -> int:
        """Facts committed as read."""
        return sum(self.positions().values())

    def ends(self) -> dict[int, int]:
        """The end of the facts, by partition."""
        reached = patiently(lambda: ends_of(self.kafka, self.facts, range(self.partitions), 10.0)).offsets
        return {partition: end for partition, (_, end) in reached.items()}

    def progress(self) -> str:
        """For a failure's message."""
        logs = "".join(line for worker in self.workers[-2:] for line in worker.logged[-20:])
        return f"positions {self.positions()} of {self.ends()}\n{logs}"

    def read(self, topic: str) -> dict[int, list[Record]]:
        """All committed records of a topic, by partition, in log order."""
        return read_committed(self.kafka, topic, self.partitions)

    def rows(self) -> dict[int, MemoryStore]:
        """Rows and clocks as a restore finds them."""
        found: dict[int, MemoryStore] = {}
        restore(self.stage, self.kafka, range(self.partitions), found.__setitem__, cancelled=Event())
        return found

    def expected(self) -> tuple[dict[int, dict[str, Row]], Counter[bytes]]:
        """A single-threaded replay of the facts: rows by partition, every output with how often it must be there."""
        rows: dict[int, dict[str, Row]] = {}
        outputs: Counter[bytes] = Counter()
        for partition, records in self.read(self.facts).items():
            state = MemoryStore()
            result: ChunkResult = decide_chunk(self.stage, state, records)
            state.apply_committed(result)
            rows[partition] = decoded(state, self.stage)
            outputs.update(emit.value or b"" for emit in result.emits if emit.topic == self.counts)
        return rows, outputs

    def check(self, what: str, rounds: int) -> None:
        """Outputs and rows are those of the replay, each once. Prints the figures and tallies them.

        `rounds` and what is checked count from the first fact on: a later check looks at all of it again.
        """
        rows, outputs = self.expected()
        found = Counter(record.value or b"" for records in self.read(self.counts).values() for record in records)
        lost, repeated = outputs - found, found - outputs
        print(  # noqa: T201 - the figures are what a crash test is for
            f"{what}: rounds {rounds}, worker deaths {len(self.deaths)}, records checked {outputs.total()}, "
            f"lost {lost.total()}, repeated {repeated.total()}"
        )
        seen = Tally(rounds, outputs.total(), lost.total(), repeated.total())
        before, self._checked = self._checked, seen
        tallied.add(Tally(rounds - before.rounds, seen.records - before.records, seen.lost, seen.repeated))
        assert not lost
        assert not repeated
        assert {p: decoded(state, self.stage) for p, state in self.rows().items()} == rows


def patiently(ask: Callable[[], Any], seconds: float = 90.0) -> Any:
    """The answer of a cluster that may be changing its leaders just now."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return ask()
        except (KafkaException, TimeoutError):
            if time.monotonic() > deadline:
                raise


class WorkerProcess:
    """A worker as a process of its own."""

    def __init__(self, order: Order, kill_at: str | None) -> None:
        self.order = order
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        environment.pop("HANDOFF_KILL_AT", None)
        if kill_at is not None:
            environment["HANDOFF_KILL_AT"] = kill_at
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.count_worker", msgspec.json.encode(order).decode()],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._said: dict[str, Any] = {}
        self.logged: list[str] = []
        self.turns: list[dict[str, Any]] = []
        """When it took and gave up rows."""
        self._readers = [Thread(target=self._listen, daemon=True), Thread(target=self._read_log, daemon=True)]
        for thread in self._readers:
            thread.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = json.loads(line)
            if "turn" in said:
                self.turns.append(said)
            else:
                self._said.update(said)

    def _read_log(self) -> None:
        assert self._process.stderr is not None
        self.logged.extend(self._process.stderr)

    def code(self) -> int | None:
        """The exit code, None while it runs."""
        return self._process.poll()

    def wait(self, seconds: float = 30.0) -> int:
        """Wait for the end; the exit code."""
        code = self._process.wait(seconds)
        for thread in self._readers:
            thread.join(5)
        return code

    def wait_or(self, seconds: float) -> int | None:
        """Wait for the end for so long; the exit code, None if it still runs."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def _wait_said(self, name: str, seconds: float) -> Any:
        deadline = time.monotonic() + seconds
        while name not in self._said:
            assert self.code() is None, f"ended with {self.code()}: {''.join(self.logged)}"
            assert time.monotonic() < deadline, f"no {name} in {seconds} s: {''.join(self.logged)}"
            time.sleep(0.02)
        return self._said[name]

    def wait_ready(self, seconds: float = 40.0) -> WorkerProcess:
        """Wait until its partitions are restored."""
        self._wait_said("ready", seconds)
        return self

    def health(self, path: str, port: int) -> tuple[int, str]:
        """Ask its health server."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def wait_health_port(self, seconds: float = 20.0) -> int:
        """The port of its health server."""
        return int(self._wait_said("health", seconds))

    def committed(self) -> int:
        """Records that it says it has committed since its start; 0 once it has ended."""
        return 0 if self.code() is not None else int(self._says()["committed"])

    def held(self) -> list[int]:
        """Partitions that it says it has ready."""
        return list(self._says()["ready"])

    def _says(self) -> Any:
        return json.loads(self.health("/readyz", self.wait_health_port())[1])

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def stop(self) -> int:
        """Stop it cleanly; the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def end(self) -> None:
        """Make sure it is gone."""
        if self.code() is None:
            self._process.kill()
        self.wait()


def read_committed(kafka: KafkaSettings, topic: str, partitions: int) -> dict[int, list[Record]]:
    """All committed records of a topic by partition, up to where it now ends.

    Waits for transactions that are open there: a dead worker's hides what others committed after it until it times out.
    """
    marks = {partition: mark for partition, (_, mark) in ends_of(kafka, topic, range(partitions), 30.0).offsets.items()}
    return {partition: list(_read_partition(kafka, topic, partition, mark)) for partition, mark in marks.items()}


def _read_partition(kafka: KafkaSettings, topic: str, partition: int, mark: int) -> Iterator[Record]:
    consumer = reader(kafka, "handoff.restore", BULK)
    consumer.assign([TopicPartition(topic, partition, 0)])
    deadline = time.monotonic() + 60
    at = 0
    try:
        while at < mark:
            assert time.monotonic() < deadline, f"{topic}/{partition} could not be read to its end"
            messages = consumer.consume(2_000, 0.05)
            for message in messages:
                error = message.error()
                assert error is None or error.code() == KafkaError._PARTITION_EOF, error
                at = message.offset() + (error is None)
            for chunk in batch_of([m for m in messages if m.error() is None], 2**40, 2**40)[0].chunks.values():
                yield from chunk
    finally:
        consumer.close()
