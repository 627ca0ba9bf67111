"""ADT in to candidate out: both stages, the directory and the broker on this machine, from a full topic and over MLLP.

    python -m bench.pipeline [--members N] [--days D] [--workers W]

Prints messages a second: `topic`, where the messages lie in adt.raw.v1 when the workers start on them, and `mllp`,
where they come over connections at the same time. Both end when every stage has committed everything. Bar: 6,000.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from agents.runtime.contract import Emit
from agents.topics import ADT_RAW
from bench.report import result, say
from handoff.declarations.senders import load_senders
from handoff.demo import run
from handoff.settings import load_settings
from handoff.system import System
from parsers.hl7.adt import patient_key_of
from parsers.hl7.envelope import read_envelope
from simulator.county import County, simulate
from simulator.places import SENDERS
from streams.kafka.produce import produce_together
from streams.kafka.settings import KafkaSettings


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--members", type=int, default=2_000)
    arguments.add_argument("--days", type=int, default=240)
    arguments.add_argument("--workers", type=int, default=1)
    arguments.add_argument("--connections", type=int, default=50)
    arguments.add_argument("--warm-up", type=int, default=1_500, help="members of the county that goes first")
    options = arguments.parse_args()
    os.environ["HANDOFF_PATHS__SENDERS"] = str(SENDERS)
    county = simulate(options.members, options.days, 3, run.now_ms())
    messages = [message.hl7.encode() for message in county.messages]
    # Java compiles what it runs only after a while: a county of other people goes first, as fast as the timed one.
    first = simulate(options.warm_up, options.days, 4, run.now_ms()) if options.warm_up else None
    say(f"{len(messages)} messages of {options.members} members")
    topic = _from_topic(first, county, messages, options.workers)
    say(f"from the topic: {topic['per_second']} msg/s")
    mllp = _over_mllp(first, messages, options.workers, options.connections)
    say(f"over MLLP: {mllp['per_second']} msg/s")
    result(
        "pipeline",
        {"messages": len(messages), "workers_per_stage": options.workers, "topic": topic, "mllp": mllp, "bar": 6000},
        "confluent-kafka",
        "faust-streaming",
    )


def _from_topic(first: County | None, county: County, messages: list[bytes], workers: int) -> dict[str, float]:
    """Everything lies in the topic; the clock runs from the moment it does."""
    with (
        tempfile.TemporaryDirectory(prefix="handoff-bench-") as folder,
        System(Path(folder), load_settings(), workers=workers, console=False) as system,
    ):
        kafka = system.kafka_settings
        emits = list(_raw(county, messages))
        if first is not None:
            _load(kafka, list(_raw(first, [message.hl7.encode() for message in first.messages])))
            run.drain(system, 600.0)
        started = time.perf_counter()
        _load(kafka, emits)
        loaded = time.perf_counter()
        run.drain(system, 600.0)
        ended = time.perf_counter()
    return {
        "per_second": round(len(messages) / (ended - loaded)),
        "seconds": round(ended - loaded, 2),
        "load_seconds": round(loaded - started, 2),
    }


def _raw(county: County, messages: list[bytes]) -> list[Emit]:
    profiles = load_senders(SENDERS)
    now = str(run.now_ms()).encode()
    emits = []
    for message, raw in zip(county.messages, messages, strict=True):
        envelope = read_envelope(raw)
        profile = profiles.choose(envelope.sending_app, envelope.sending_facility)
        key = patient_key_of(raw, profile) or f"{profile.name}|{envelope.control_id}"
        emits.append(Emit(ADT_RAW, key.encode(), raw, (("sender", message.sender.encode()), ("received", now))))
    return emits


def _load(kafka: KafkaSettings, emits: list[Emit]) -> None:
    """In one transaction: no worker sees a record before the last one lies there."""
    produce_together(kafka, emits)


def _over_mllp(first: County | None, messages: list[bytes], workers: int, connections: int) -> dict[str, float]:
    with (
        tempfile.TemporaryDirectory(prefix="handoff-bench-") as folder,
        System(Path(folder), load_settings(), workers=workers, console=False) as system,
    ):
        if first is not None:
            run.send_messages(system, [message.hl7.encode() for message in first.messages], connections)
            run.drain(system, 600.0)
        started = time.perf_counter()
        sent = run.send_messages(system, messages, connections)
        run.drain(system, 600.0)
        seconds = time.perf_counter() - started
    return {
        "per_second": round(len(messages) / seconds),
        "acks_per_second": round(len(messages) / sent.elapsed),
        "ack_p99_ms": round(sent.percentile(0.99) * 1000, 1),
        "accepted": sent.good,
        "seconds": round(seconds, 2),
    }


if __name__ == "__main__":
    main()
