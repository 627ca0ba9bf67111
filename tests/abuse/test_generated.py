"""Odd feeds from a seed, for HANDOFF_ABUSE_SECONDS: nothing ends, stops, grows or keeps a sender waiting.

`make abuse` runs it for an hour. HANDOFF_ABUSE_SEED plays a run again.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from pathlib import Path

import pytest

from gateway.client import MllpClient, Target
from handoff.demo import run
from tests.support.abused import Abused, abused, adt
from tests.support.odd_feeds import OddFeed

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

SECONDS = float(os.environ.get("HANDOFF_ABUSE_SECONDS", "20"))
SEED = int(os.environ.get("HANDOFF_ABUSE_SEED", "1"))
MEMORY_MIB = 600
"""Resident memory of a worker; the listener and the directory stay below it by far."""
ANSWER_SECONDS = 1.0
ROUNDS_EACH = 10
"""Rounds about the same patients: the member stage's work for a record grows with a life, so lives must stay finite."""
DRAIN_SECONDS = 120.0
"""In which the workers must have caught up after the rounds about the same patients."""
OURS = {"internal-error", "too-costly"}
"""Codes of dead letters that say that the code is at fault and not the record."""


class Probe:
    """An ordinary sender beside the odd ones: one message at a time, and how long each answer took."""

    def __init__(self, system: Abused) -> None:
        self.slowest = 0.0
        self.codes: dict[str, int] = {}
        self._system, self._done = system, threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._ask()), daemon=True)

    def __enter__(self) -> Probe:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join(40)

    async def _ask(self) -> None:
        host, _, port = self._system.system.addresses["mllp"].rpartition(":")
        client = MllpClient(Target(host, int(port)))
        number = 0
        while not self._done.wait(0.1):
            number += 1
            began = time.monotonic()
            message = adt("A08", run.now_ms(), f"probe{number % 50}", visit=f"probe{number}")
            code = (await client.exchange(message)).code
            self.slowest = max(self.slowest, time.monotonic() - began)
            self.codes[code] = self.codes.get(code, 0) + 1
        client.close()


def test_odd_feeds(tmp_path: Path) -> None:
    began, rounds, sent, put, slowest_drain = time.monotonic(), 0, 0, 0, 0.0
    codes: dict[str, int] = {}
    with abused(tmp_path / "data") as system:
        with Probe(system) as probe:
            while time.monotonic() - began < SECONDS:
                if rounds % ROUNDS_EACH == 0:
                    feed = OddFeed(1000 * SEED + rounds, run.now_ms())
                    slowest_drain = max(slowest_drain, system.drain(DRAIN_SECONDS))
                rounds += 1
                answers = system.send(feed.messages(100), 8)
                for code, count in answers.codes.items():
                    codes[code] = codes.get(code, 0) + count
                sent += answers.total
                for record in feed.records(10):
                    system.put(*record)
                    put += 1
        slowest_drain = max(slowest_drain, system.drain(DRAIN_SECONDS))
        memory, letters = system.memory(), system.letters()
        by_code = {code: [each for _, each in letters].count(code) for code in sorted({each for _, each in letters})}
        print(  # noqa: T201 - the figures are what the run is for
            f"odd feeds, seed {SEED}: {time.monotonic() - began:.0f} s, rounds {rounds}, messages {sent} {codes}, "
            f"records past the gateway {put}, slowest answer {probe.slowest * 1000:.0f} ms, "
            f"slowest drain {slowest_drain:.1f} s, peak memory MiB {memory}, exits {system.exits()}, "
            f"dead letters {by_code}"
        )
        assert system.exits() == {}
        assert max(memory.values()) < MEMORY_MIB
        assert set(codes) <= {"AA", "AE"}
        assert set(probe.codes) == {"AA"}
        assert probe.slowest < ANSWER_SECONDS
        assert OURS.isdisjoint(by_code)
