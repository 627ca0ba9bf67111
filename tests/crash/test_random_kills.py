"""kill -9 at any moment under load, one of two workers each time. HANDOFF_CRASH_ROUNDS says how many rounds."""

from __future__ import annotations

import os
import random
import signal

import pytest

from tests.conftest import HasBootstrap
from tests.support.counted import Counted

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

ROUNDS = int(os.environ.get("HANDOFF_CRASH_ROUNDS", "4"))


def test_random_kills_under_load(kafka: HasBootstrap) -> None:
    chance = random.Random(os.environ.get("HANDOFF_CRASH_SEED", "handoff"))
    with Counted(kafka.bootstrap) as counted:
        slots = {slot: counted.worker(slot, max_records=60) for slot in (0, 1)}
        for worker in slots.values():
            worker.wait_ready()
        for _ in range(ROUNDS):
            target = counted.read_so_far() + chance.randrange(1, 1_500)
            counted.produce(2_000)
            counted.supervise(slots, lambda target=target: counted.read_so_far() >= target)  # type: ignore[misc]
            slots[chance.choice((0, 1))].signal(signal.SIGKILL)
        counted.finish(slots, 90)
        counted.check("kill -9 at random", ROUNDS)
        assert set(counted.deaths) <= {-signal.SIGKILL, 70}
        assert len(counted.deaths) >= ROUNDS - 1
