"""kill -9 at any moment under load, one of two workers each time. HANDOFF_CRASH_ROUNDS says how many rounds."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import HasBootstrap
from tests.crash.rounds import IN_FULL, rounds
from tests.support.counted import Counted

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

ROUNDS = rounds(3)


@pytest.mark.parametrize("checkpoints", [pytest.param(False, marks=IN_FULL), True])
def test_random_kills_under_load(kafka: HasBootstrap, tmp_path: Path, checkpoints: bool) -> None:
    chance = random.Random(os.environ.get("HANDOFF_CRASH_SEED", "handoff"))
    with Counted(kafka.bootstrap) as counted:
        saving: dict[str, Any] = {"checkpoint_folder": str(tmp_path), "checkpoint_every": 0.2} if checkpoints else {}
        slots = {slot: counted.worker(slot, max_records=60, **saving) for slot in (0, 1)}
        for worker in slots.values():
            worker.wait_ready()
        for _ in range(ROUNDS):
            target = counted.read_so_far() + chance.randrange(1, 1_500)
            counted.produce(2_000)
            counted.supervise(slots, lambda target=target: counted.read_so_far() >= target)  # type: ignore[misc]
            victim = slots[chance.choice((0, 1))]
            victim.signal(signal.SIGKILL)
            victim.wait()
        counted.finish(slots, 90)
        counted.check(f"kill -9 at random{', with checkpoints' if checkpoints else ''}", ROUNDS)
        assert set(counted.deaths) <= {-signal.SIGKILL, 70}
        assert counted.deaths.count(-signal.SIGKILL) >= ROUNDS
