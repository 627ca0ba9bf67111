"""The long run of both real stages; see bench.soak."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from bench.report import say
from bench.resident import Memory
from handoff.demo import run
from handoff.settings import load_settings
from handoff.system import System
from simulator.county import simulate, write
from simulator.places import SENDERS
from streams.kafka.read import latest

DAYS: Final = 240
CONNECTIONS: Final = 50
ROW_LIMIT: Final = 2 * 2_048
"""Bytes that a member may cost both workers together, of which one keeps the patient and the other the member."""


def soak_pipeline(count: int, members: int) -> dict[str, Any]:
    """At least `count` messages, by counties of `members` members, each county taken in before the next.

    Raises NotDrained when a county is not taken in. Whether what comes out is right is not looked at here.
    """
    os.environ["HANDOFF_PATHS__SENDERS"] = str(SENDERS)
    sent = accepted = people = seed = 0
    with (
        tempfile.TemporaryDirectory(prefix="handoff-soak-") as folder,
        System(Path(folder), load_settings(), console=False) as system,
    ):
        assert system.supervisor is not None
        workers = [each for each in system.supervisor.status() if each["role"] == "work"]
        memory = Memory([each["pid"] for each in workers])
        sizes: list[tuple[int, float]] = []
        began = time.monotonic()
        while sent < count:
            county = simulate(members, DAYS, seed, run.now_ms())
            write(county, Path(folder))
            run.feed_roster(system.kafka_settings, (Path(folder) / "roster.jsonl").read_bytes())
            told = run.send_messages(system, [message.hl7.encode() for message in county.messages], CONNECTIONS)
            run.drain(system, 600.0)
            seed += 1
            sent, accepted, people = (
                sent + len(county.messages),
                accepted + told.good,
                people + len(county.world.people),
            )
            memory.mark(min(1.0, sent / count))
            sizes.append((people, memory.marks[-1][1]))
            say(f"{sent} messages of {people} people: {sizes[-1][1]} MB resident")
        seconds = time.monotonic() - began
        restarts = sum(each["restarts"] for each in system.supervisor.status())
        candidates = len(latest(system.kafka_settings, run.CANDIDATES))
    half = len(sizes) // 2
    grown = (sizes[-1][1] - sizes[half][1]) * 1e6 / max(1, sizes[-1][0] - sizes[half][0])
    return {
        "messages_sent": sent,
        "events_per_s": round(sent / seconds),
        "seconds": round(seconds),
        "candidates": candidates,
        "not_accepted": sent - accepted,
        "restarts": restarts,
        "rss_mb": [size for _, size in sizes],
        "bytes_per_person": round(grown),
        "memory_flat": grown <= ROW_LIMIT,
    }
