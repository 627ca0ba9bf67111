"""More and fewer workers while records flow: a partition's rows live in one worker at a time."""

from __future__ import annotations

import json

import pytest

from tests.conftest import HasBootstrap
from tests.support.counted import Counted, WorkerProcess
from tests.support.kafka import wait_for

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


def held(worker: WorkerProcess, port: int) -> list[int]:
    """Partitions that the worker has ready."""
    _, said = worker.health("/readyz", port)
    return list(json.loads(said)["ready"])


def test_one_two_one_workers_under_load(kafka: HasBootstrap) -> None:
    with Counted(kafka.bootstrap) as counted:
        first = counted.worker(0, max_records=100)
        port = first.wait_health_port()
        first.wait_ready()
        assert held(first, port) == [0, 1, 2, 3]
        counted.produce(4_000)
        second = counted.worker(1, max_records=100)
        second_port = second.wait_health_port()
        counted.produce(2_000)
        second.wait_ready()
        wait_for(lambda: len(held(first, port)) == 2 and len(held(second, second_port)) == 2, 30)
        assert sorted(held(first, port) + held(second, second_port)) == [0, 1, 2, 3]
        counted.produce(2_000)
        slots = {0: first, 1: second}
        counted.finish(slots)
        counted.check("1 to 2 workers", 1)
        assert counted.deaths == []
        # A static member that stops cleanly keeps its place until its session runs out.
        assert second.stop() == 0
        wait_for(lambda: held(first, port) == [0, 1, 2, 3], 40)
        counted.produce(1_000)
        counted.finish({0: first})
        counted.check("2 to 1 workers", 1)
        assert first.stop() == 0
