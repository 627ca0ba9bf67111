"""kill -9 at every step of the protocol: nothing lost, nothing repeated, rows as if nothing had happened."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from streams.engine.failpoints import POINTS
from tests.conftest import HasBootstrap
from tests.crash.rounds import IN_FULL, MANY, rounds
from tests.support.counted import Counted

ROUNDS = rounds(1, 1 / 8)
IN_SHORT = ("after-produce", "after-offsets", "after-commit")
"""Where most is incomplete: records without positions, all without the commit, the commit without the rows applied."""

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


@pytest.mark.parametrize("point", [point for point in POINTS if point != "during-restore"])
@pytest.mark.parametrize("nth", range(3, 3 + ROUNDS))
@pytest.mark.parametrize("rows", ["memory", "disk"])
def test_a_kill_at_the_point(kafka: HasBootstrap, tmp_path: Path, point: str, nth: int, rows: str) -> None:
    if not MANY and (rows == "disk" or point not in IN_SHORT):
        pytest.skip("part of `make crash`; with rows on disk, tests/streams/engine/test_rocksdb.py has two of them")
    options = {"max_records": 150, "rows": rows, "checkpoint_folder": str(tmp_path) if rows == "disk" else None}
    with Counted(kafka.bootstrap, partitions=2) as counted:
        counted.produce(2_000)
        victim = counted.worker(kill_at=f"{point}:{nth}", **options)
        assert victim.wait(60) == -signal.SIGKILL, "".join(victim.logged)
        slots = {0: counted.worker(**options)}
        counted.deaths.append(-signal.SIGKILL)
        counted.finish(slots)
        counted.check(f"kill -9 {point}:{nth}, rows in {rows}", 1)
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


@IN_FULL
def test_another_slot_waits_for_the_open_transaction_of_a_dead_worker(kafka: HasBootstrap) -> None:
    """Nobody fences the dead worker's producer: its transaction, offsets included, is open until it times out."""
    with Counted(kafka.bootstrap, partitions=2) as counted:
        counted.produce(1_000)
        limits = {"max_records": 150, "session": 6.0, "transaction": 9.0}
        victim = counted.worker(0, kill_at="after-offsets:3", **limits)
        assert victim.wait(60) == -signal.SIGKILL
        counted.deaths.append(-signal.SIGKILL)
        slots = {1: counted.worker(1, **limits)}
        counted.finish(slots)
        counted.check("kill -9 after offsets, another slot goes on", 1)
        assert counted.deaths == [-signal.SIGKILL]
