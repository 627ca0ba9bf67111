"""Engines as processes, all on the ledger's job: how fast they are, and what a reader of their outputs finds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, TopicPartition

from bench import ledger

ROOT: Final = Path(__file__).resolve().parents[1]
PEERS: Final = ROOT / ".venv-peers" / "bin" / "python"
HOW_TO_GET: Final = "no .venv-peers: `make bench NAME=peers` makes it from requirements/peers.txt"
MODULES: Final = {
    "handoff": (sys.executable, "bench.peer_handoff"),
    "faust": (sys.executable, "bench.peer_faust"),
    "quix": (str(PEERS), "bench.peer_quix"),
}
OUTPUTS: Final = (ledger.TRANSITIONS, ledger.CANDIDATES)


def engines() -> list[str]:
    """Those that can be run here."""
    return [name for name in MODULES if name != "quix" or PEERS.exists()]


def peer_version(package: str) -> str:
    """Of a package in the peers' own environment."""
    code = f"from importlib.metadata import version; print(version({package!r}))"
    return subprocess.run([str(PEERS), "-c", code], capture_output=True, text=True, check=True).stdout.strip()


class Engine:
    """A worker process of one engine; may be killed and started again. Use as a context manager."""

    def __init__(self, name: str, bootstrap: str, group: str, folder: Path) -> None:
        self._log = folder / f"{group}.log"
        python, module = MODULES[name]
        self._command = [python, "-m", module, bootstrap, group, str(folder / group)]
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher = Consumer(
            {"bootstrap.servers": bootstrap, "group.id": f"{group}.ledger" if name == "handoff" else group}
        )

    def __enter__(self) -> Engine:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._watcher.close()

    def read_so_far(self, partitions: int) -> int:
        """Facts that its group has committed as read."""
        places = [TopicPartition(ledger.FACTS, partition) for partition in range(partitions)]
        return sum(max(0, place.offset) for place in self._watcher.committed(places, timeout=30))

    def start(self) -> None:
        """Start it."""
        with self._log.open("ab") as log:
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            self._process = subprocess.Popen(self._command, cwd=ROOT, env=environment, stdout=log, stderr=log)

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def keep_up(self) -> bool:
        """Start it again if it ended by itself; whether it had."""
        if self._process is not None and self._process.poll() is None:
            return False
        self.start()
        return True

    def end_of_log(self) -> str:
        """For a failure's message."""
        return self._log.read_text(errors="replace")[-2_000:]


class Reader:
    """Reads the committed outputs as anybody downstream would."""

    def __init__(self, bootstrap: str, partitions: int) -> None:
        self.outputs: Counter[tuple[str, bytes]] = Counter()
        self.last = 0.0
        """When the last one came, monotonic."""
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "bench.reader",
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 50,
            }
        )
        # Ends that count what is still open: a committed reader would be told of those only that it may see.
        self._ends = Consumer(
            {"bootstrap.servers": bootstrap, "group.id": "bench.ends", "isolation.level": "read_uncommitted"}
        )
        self._at = {(topic, n): 0 for topic in OUTPUTS for n in range(partitions)}
        self._consumer.assign([TopicPartition(topic, n, 0) for topic, n in self._at])

    def poll(self, seconds: float) -> int:
        """Take in what has come; how many are known then."""
        for message in self._consumer.consume(10_000, seconds):
            place = message.topic(), message.partition()
            if message.error() is None:
                self._at[place] = message.offset() + 1
                self.outputs[message.topic(), message.value()] += 1
                self.last = time.monotonic()
            elif message.error().code() == KafkaError._PARTITION_EOF:
                self._at[place] = message.offset()
        return self.outputs.total()

    def settle(self, seconds: float) -> None:
        """Take in all that is there, what an open transaction hides included: for `seconds` at most until that ends."""
        deadline = time.monotonic() + seconds
        while self._behind() and time.monotonic() < deadline:
            self.poll(0.2)

    def _behind(self) -> bool:
        return any(
            at < self._ends.get_watermark_offsets(TopicPartition(topic, n), timeout=30)[1]
            for (topic, n), at in self._at.items()
        )

    def close(self) -> None:
        """Read no more."""
        self._ends.close()
        self._consumer.close()


def rate(name: str, bootstrap: str, folder: Path, partitions: int, outputs: int, facts: int, seconds: float) -> int:
    """Facts a second, from the first outputs to the last, or for `seconds`; the topics are full and the outputs empty.

    Told from outputs: of `facts` facts come `outputs`, evenly over them.
    """
    reader = Reader(bootstrap, partitions)
    with Engine(name, bootstrap, f"rate-{name}-{os.getpid()}", folder) as engine:
        deadline = time.monotonic() + 90
        while not (first := reader.poll(0.05)):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{name} wrote nothing: {engine.end_of_log()}")
        began = time.monotonic()
        while reader.poll(0.05) < outputs and time.monotonic() < began + seconds:
            pass
        reader.close()
    taken = reader.last - began
    return round((reader.outputs.total() - first) / outputs * facts / taken) if taken > 0 else 0


def count_alone(facts: list[tuple[bytes, bytes]]) -> Counter[tuple[str, bytes]]:
    """What must come of the facts: one thread, one after the other."""
    from agents.runtime.contract import Context, Record

    rows: dict[bytes, Any] = {}
    outputs: Counter[tuple[str, bytes]] = Counter()
    for key, value in facts:
        record = Record(ledger.FACTS, 0, 0, key, value, 0, {})
        rows[key], emits = ledger.decide(rows.get(key), record, Context(0))
        outputs.update((emit.topic, emit.value or b"") for emit in emits)
    return outputs
