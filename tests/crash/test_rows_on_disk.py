"""Rows on disk when partitions move: a store goes with its partition, and a zombie's open store hinders no other."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from streams.exit_codes import EXIT_CRASHED
from tests.conftest import HasBootstrap
from tests.support.counted import Counted, WorkerProcess
from tests.support.kafka import wait_for

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


def held(worker: WorkerProcess, port: int) -> list[int]:
    """Partitions that the worker has ready."""
    return list(json.loads(worker.health("/readyz", port)[1])["ready"])


def store_warnings(worker: WorkerProcess) -> list[str]:
    """What it logged of stores that it could not open or could not use."""
    return [line for line in worker.logged if "store " in line]


def test_stores_move_between_workers_of_one_machine(kafka: HasBootstrap, tmp_path: Path) -> None:
    options = {"max_records": 100, "rows": "disk", "checkpoint_folder": str(tmp_path)}
    with Counted(kafka.bootstrap, partitions=2) as counted:
        first = counted.worker(0, **options)
        port = first.wait_health_port()
        first.wait_ready()
        counted.produce(2_000)
        second = counted.worker(1, **options)
        second_port = second.wait_health_port()
        second.wait_ready()
        wait_for(lambda: len(held(first, port)) == len(held(second, second_port)) == 1, 40)
        counted.produce(1_000)
        slots = {0: first, 1: second}
        counted.finish(slots)
        counted.check("1 to 2 workers, rows on disk", 1)
        assert counted.deaths == []
        assert [worker.stop() for worker in slots.values()] == [0, 0]
        assert store_warnings(first) + store_warnings(second) == []


def test_a_zombie_keeps_its_store_and_its_replacement_does_without(kafka: HasBootstrap, tmp_path: Path) -> None:
    options = {"max_records": 40, "session": 6.0, "rows": "disk", "checkpoint_folder": str(tmp_path)}
    with Counted(kafka.bootstrap, partitions=2) as counted:
        zombie = counted.worker(0, linger=0.0, **options).wait_ready()
        counted.produce(2_000)
        wait_for(lambda: counted.read_so_far() > 100)
        zombie.signal(signal.SIGSTOP)
        slots = {0: counted.worker(0, **options)}
        counted.finish(slots)
        zombie.signal(signal.SIGCONT)
        assert zombie.wait(60) == EXIT_CRASHED, "".join(zombie.logged)
        counted.deaths.append(EXIT_CRASHED)
        counted.produce(500)
        counted.finish(slots)
        counted.check("SIGSTOP, replaced, SIGCONT, rows on disk", 1)
        assert slots[0].stop() == 0
        assert len([line for line in store_warnings(slots[0]) if "locked by another process" in line]) == 2
        # The next start opens the zombie's store, reads what came later, and removes the spare.
        slots = {0: counted.worker(0, **options)}
        counted.produce(100)
        counted.finish(slots)
        counted.check("the store of a zombie that is gone", 1)
        assert slots[0].stop() == 0
        assert store_warnings(slots[0]) == []
        assert sorted(each.name for each in tmp_path.iterdir()) == [
            f"{counted.stage.changelog}-{partition}.rocksdb" for partition in range(2)
        ]
