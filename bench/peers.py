"""What a kill -9 costs: the same job, the same facts and the same kills on our engine, stock Faust and Quix Streams.

    python -m bench.peers [--kills N] [--seconds S] [--rate R] [--facts N]

Facts come at a steady rate; at moments drawn once, the same for all, the worker is killed and started again. Then the
outputs that a read_committed consumer finds are compared with a single-threaded count: `lost` should be there and are
not, `doubled` are there and should not be; `outputs_hidden_s` is how long, when all was read, a dead worker's open
transaction still hid outputs. Rates come from the same run, on full topics, without kills. Quix Streams
runs from `.venv-peers`, which `make bench NAME=peers` makes. The last line of output is one JSON object.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from bench import ledger
from bench.report import result, say
from bench.rivals import HOW_TO_GET, Engine, Reader, count_alone, engines, peer_version, rate
from bench.stage import INPUT, PARTITIONS, produce_facts, recreate, some_kafka
from streams.kafka.settings import KafkaSettings, producer_config

QUIET = 5.0
"""Seconds without another output after which an engine is asked how far it has read."""
HIDDEN = 180.0
"""Seconds that a dead worker's transaction may hide what came after it, once everything is read."""
STUCK = 90.0
"""Seconds without another output after which one that has not is taken to be stuck."""


def torment(name: str, bootstrap: str, folder: Path, facts: list[tuple[bytes, bytes]], chosen: Any) -> dict[str, Any]:
    """One engine under kills."""
    chance = random.Random("kills")
    moments = sorted(chance.uniform(2.0, chosen.seconds) for _ in range(chosen.kills))
    expected = count_alone(facts)
    producer = Producer(producer_config(KafkaSettings(bootstrap=bootstrap), **{"compression.type": "none"}))
    reader = Reader(bootstrap, PARTITIONS)
    ended = sent = 0
    hidden = 0.0
    deadline = time.monotonic() + chosen.seconds + 60 * (chosen.kills + 2)
    with Engine(name, bootstrap, f"kills-{name}", folder) as engine:
        began: float | None = None
        while True:
            reader.poll(0.02)
            ended += engine.keep_up()
            # The clock runs from the first output on, when the engine has come up.
            elapsed = 0.0 if began is None else time.monotonic() - began
            if began is None and reader.outputs:
                began = time.monotonic()
            if time.monotonic() > deadline:
                raise RuntimeError(f"{name} did not come to an end: {engine.end_of_log()}")
            due = chosen.rate * (elapsed + 1)
            while sent < len(facts) and sent < due:
                key, value = facts[sent]
                producer.produce(ledger.FACTS, value, key)
                sent += 1
            producer.poll(0)
            if moments and elapsed >= moments[0]:
                engine.kill()
                engine.start()
                moments.pop(0)
            quiet = time.monotonic() - max(reader.last, began or 0.0)
            if sent == len(facts) and not moments and quiet > QUIET:
                read = engine.read_so_far(PARTITIONS)
                if read == len(facts):
                    settling = time.monotonic()
                    reader.settle(HIDDEN)
                    hidden = time.monotonic() - settling
                if read == len(facts) or quiet > STUCK:
                    break
        reader.close()
    found: Counter[tuple[str, bytes]] = reader.outputs
    return {
        "kills": chosen.kills,
        "ended_by_itself": ended,
        "facts_left_unread": len(facts) - read,
        "outputs_hidden_s": round(hidden, 1),
        "outputs_expected": expected.total(),
        "lost": (expected - found).total(),
        "doubled": (found - expected).total(),
    }


def empty(bootstrap: str) -> None:
    """Topics anew, as each engine finds them."""
    plain: dict[str, str] = {}
    topics = {ledger.TRANSITIONS: plain, ledger.CANDIDATES: plain, ledger.LETTERS: plain}
    recreate(bootstrap, {**topics, ledger.CHANGELOG: {"cleanup.policy": "compact"}})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=90.0, help="how long facts come")
    parser.add_argument("--rate", type=int, default=1_000, help="facts a second; all engines keep up with it")
    parser.add_argument("--members", type=int, default=2_000)
    parser.add_argument("--facts", type=int, default=200_000, help="for the rates")
    chosen = parser.parse_args()
    if "quix" not in engines():
        say(HOW_TO_GET)
    facts = list(ledger.facts(int(chosen.rate * chosen.seconds), chosen.members))
    outputs = count_alone(list(ledger.facts(chosen.facts, chosen.members))).total()
    figures: dict[str, dict[str, Any]] = {name: {} for name in engines()}
    with tempfile.TemporaryDirectory() as folder, some_kafka() as bootstrap:
        for name in figures:
            recreate(bootstrap, {ledger.FACTS: INPUT})
            empty(bootstrap)
            figures[name] = torment(name, bootstrap, Path(folder), facts, chosen)
            say(f"{name}: {figures[name]}")
        recreate(bootstrap, {ledger.FACTS: INPUT})
        produce_facts(bootstrap, chosen.facts, chosen.members, compression="none")
        for name in figures:
            empty(bootstrap)
            per_second = rate(name, bootstrap, Path(folder), PARTITIONS, outputs, chosen.facts, 30.0)
            figures[name]["events_per_s"] = per_second
            say(f"{name}: {per_second} events/s")
    for name, each in figures.items():
        say(f"{name:8} lost {each['lost']:6} doubled {each['doubled']:6} of {each['outputs_expected']}")
    result(
        "peers",
        {
            **figures.pop("handoff"),
            "peers": figures,
            "quixstreams": peer_version("quixstreams") if "quix" in figures else HOW_TO_GET,
            "rate": chosen.rate,
            "seconds": chosen.seconds,
        },
        "confluent-kafka",
        "faust-streaming",
    )


if __name__ == "__main__":
    main()
