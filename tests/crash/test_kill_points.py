"""kill -9 at every step of the protocol: nothing lost, nothing repeated, rows as if nothing had happened."""

from __future__ import annotations

import signal

import pytest

from streams.engine.killpoints import POINTS
from tests.conftest import HasBootstrap
from tests.support.counted import Counted

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


@pytest.mark.parametrize("point", [point for point in POINTS if point != "during-restore"])
@pytest.mark.parametrize("nth", [1, 4])
def test_a_kill_at_the_point(kafka: HasBootstrap, point: str, nth: int) -> None:
    with Counted(kafka.bootstrap, partitions=2) as counted:
        counted.produce(2_000)
        victim = counted.worker(kill_at=f"{point}:{nth}", max_records=150)
        assert victim.wait(60) == -signal.SIGKILL, "".join(victim.logged)
        slots = {0: counted.worker(max_records=150)}
        counted.deaths.append(-signal.SIGKILL)
        counted.finish(slots)
        counted.check(f"kill -9 {point}:{nth}", 1)
        assert slots[0].stop() == 0


def test_a_kill_during_restore(kafka: HasBootstrap) -> None:
    with Counted(kafka.bootstrap, partitions=2) as counted:
        counted.produce(1_000)
        slots = {0: counted.worker()}
        counted.finish(slots)
        assert slots[0].stop() == 0
        counted.produce(1_000)
        victim = counted.worker(kill_at="during-restore:1")
        assert victim.wait(60) == -signal.SIGKILL
        counted.deaths.append(-signal.SIGKILL)
        slots = {0: counted.worker()}
        counted.finish(slots)
        counted.check("kill -9 during restore", 1)
