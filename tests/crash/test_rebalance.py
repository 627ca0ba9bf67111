"""More and fewer workers while records flow: a partition's rows live in one worker at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from itertools import chain, pairwise

import pytest

from tests.conftest import HasBootstrap
from tests.crash.rounds import rounds
from tests.support.counted import Counted, WorkerProcess
from tests.support.kafka import wait_for

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

ROUNDS = rounds(1, 20 / 50)
PARTITIONS = 4
SESSION = 6.0
"""Seconds; the least that Kafka takes. A static member that stops cleanly keeps its place until it has run out."""


def spells(workers: Iterable[WorkerProcess]) -> dict[int, list[tuple[float, float]]]:
    """By partition: from when to when some worker had its rows, by the clock that all processes share."""
    found: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for worker in workers:
        since: dict[int, float] = {}
        for turn in worker.turns:
            if turn["turn"] == "ready":
                since[turn["partition"]] = turn["at"]
                continue
            for partition, start in since.items():
                found[partition].append((start, turn["at"]))
            since = {}
        for partition, start in since.items():
            found[partition].append((start, float("inf")))
    return {partition: sorted(each) for partition, each in found.items()}


def test_one_three_two_workers_under_load(kafka: HasBootstrap) -> None:
    for round in range(ROUNDS):
        with Counted(kafka.bootstrap, partitions=PARTITIONS) as counted:
            one_three_two(counted, leaver=round % 3)
            counted.check(f"1 to 3 to 2 workers, round {round + 1}", 1)


def one_three_two(counted: Counted, leaver: int) -> None:
    """A round: each of the three takes its turn at being the one that goes."""
    slots = {0: counted.worker(0, max_records=100, session=SESSION)}
    slots[0].wait_ready()
    assert shares(slots) == [4]
    counted.produce(4_000)
    for slot in (1, 2):
        slots[slot] = counted.worker(slot, max_records=100, session=SESSION)
    counted.produce(2_000)
    for slot in (1, 2):
        slots[slot].wait_ready()
    wait_for(lambda: shares(slots) == [1, 1, 2], 40, "four partitions over three workers")
    counted.produce(2_000)
    assert slots.pop(leaver).stop() == 0
    counted.produce(2_000)
    wait_for(lambda: shares(slots) == [2, 2], 40, "four partitions over two workers")
    counted.finish(slots)
    assert counted.deaths == []
    for worker in slots.values():
        assert worker.stop() == 0
    seen = spells(counted.workers)
    assert sorted(seen) == list(range(PARTITIONS))
    # The first worker's, those of the three, those of the two.
    assert all(len(each) >= 3 for each in seen.values()), seen
    assert all(end <= start for each in seen.values() for (_, end), (start, _) in pairwise(each)), seen


def shares(slots: dict[int, WorkerProcess]) -> list[int]:
    """How many partitions each worker has ready; empty while one of them is nobody's or two workers'."""
    parts = [worker.held() for worker in slots.values()]
    return sorted(map(len, parts)) if sorted(chain.from_iterable(parts)) == list(range(PARTITIONS)) else []
