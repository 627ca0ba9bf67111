"""From an MLLP frame to a committed candidate, at a steady rate.

    python -m bench.latency [--rates 500 1000] [--seconds 20]

Measured from the gateway's `received` stamp to the moment at which a read_committed consumer holds the candidate that
the message changed. Bars: p99 under 300 ms at 500 msg/s, under 500 ms at 1,000 msg/s.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from bench.report import result, say
from domain.times import instant
from gateway.client import percentile
from handoff.demo import run
from handoff.settings import load_settings
from handoff.system import System
from simulator.county import County, simulate, write
from simulator.places import SENDERS
from streams.kafka.settings import KafkaSettings


class Listener(threading.Thread):
    """Notes how old each candidate's message is when the candidate can be read."""

    def __init__(self, kafka: KafkaSettings) -> None:
        super().__init__(daemon=True)
        self.waits: list[float] = []
        self._stopping = threading.Event()
        self._consumer = Consumer(
            {
                **kafka.librdkafka(),
                "group.id": "handoff-latency",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 5,
            }
        )
        found = self._consumer.list_topics(run.CANDIDATES, timeout=10).topics[run.CANDIDATES].partitions
        parts = [TopicPartition(run.CANDIDATES, number) for number in found]
        for part in parts:
            part.offset = self._consumer.get_watermark_offsets(part, timeout=10)[1]
        self._consumer.assign(parts)

    def run(self) -> None:
        while not self._stopping.is_set():
            message = self._consumer.poll(0.1)
            if message is None or message.error() is not None:
                continue
            held = time.time() * 1000
            value = message.value()
            if value is not None:
                self.waits.append(held - instant(json.loads(value)["received"]))

    def stop(self) -> list[float]:
        """The waits in milliseconds."""
        self._stopping.set()
        self.join()
        self._consumer.close()
        return self.waits


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--rates", type=float, nargs="+", default=[500.0, 1000.0])
    arguments.add_argument("--seconds", type=float, default=20.0)
    arguments.add_argument("--connections", type=int, default=16)
    arguments.add_argument("--history", type=int, default=40_000, help="messages before the timed part, at least")
    options = arguments.parse_args()
    os.environ["HANDOFF_PATHS__SENDERS"] = str(SENDERS)
    # The history before the timed part is what warms everything up: Java compiles what it runs only after a while.
    needed = int(max(options.rates) * options.seconds) + options.history
    county = simulate(needed // 20, 240, 5, run.now_ms())
    figures = [_at(rate, county, options.seconds, options.connections) for rate in options.rates]
    result("latency", {"rates": figures, "bars_ms": {"500": 300, "1000": 500}}, "confluent-kafka", "faust-streaming")


def _at(rate: float, county: County, seconds: float, connections: int) -> dict[str, Any]:
    messages = [message.hl7.encode() for message in county.messages]
    with tempfile.TemporaryDirectory(prefix="handoff-bench-") as folder:
        (Path(folder) / "county").mkdir()
        write(county, Path(folder) / "county")
        with System(Path(folder), load_settings(), console=False) as system:
            kafka = system.kafka_settings
            run.feed_roster(kafka, (Path(folder) / "county" / "roster.jsonl").read_bytes())
            run.drain(system, 120.0)
            # The history first, as fast as it goes; then the newest part at the rate, where candidates change.
            count = int(rate * seconds)
            run.send_messages(system, messages[:-count], connections)
            run.drain(system, 300.0)
            listener = Listener(kafka)
            listener.start()
            sent = run.send_messages(system, messages[-count:], connections, rate=rate)
            run.drain(system, 60.0)
            waits = listener.stop()
    say(f"{rate:.0f}/s: {len(waits)} candidate changes, p99 {percentile(waits, 0.99):.0f} ms")
    return {
        "rate": rate,
        "reached": round(count / sent.elapsed),
        "messages": count,
        "candidates": len(waits),
        "candidate_ms": {"p50": round(percentile(waits, 0.5)), "p99": round(percentile(waits, 0.99))},
        "ack_ms": {"p50": round(sent.percentile(0.5) * 1000, 1), "p99": round(sent.percentile(0.99) * 1000, 1)},
    }


if __name__ == "__main__":
    main()
