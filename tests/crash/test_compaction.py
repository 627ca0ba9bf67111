"""A changelog that the broker compacts while workers write it and die: a restore finds the same rows."""

from __future__ import annotations

import signal

import pytest

from streams.engine.restore import ends_of
from tests.conftest import HasBootstrap
from tests.crash.rounds import rounds
from tests.support.counted import Counted
from tests.support.kafka import wait_for

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

ROUNDS = rounds(1, 1 / 5)
AT_ONCE = {
    "min.cleanable.dirty.ratio": "0.01",
    "max.compaction.lag.ms": "100",
    "segment.ms": "100",
    "delete.retention.ms": "0",
}
"""Segments that are closed at once, and cleaned as soon as the cleaner comes by."""


def test_a_compacted_head(kafka: HasBootstrap) -> None:
    with Counted(kafka.bootstrap, partitions=2, changelog=AT_ONCE) as counted:
        for round in range(ROUNDS):
            slots = {0: counted.worker(0, max_records=40)}
            counted.produce(2_000)
            # Rows that go, so that there are tombstones to clean away.
            counted.produce(10, do="remove")
            counted.produce(100, keys=25)
            counted.finish(slots)
            wait_for(lambda: few_left(counted), 60, "the cleaning of the changelog")
            slots[0].signal(signal.SIGKILL)
            assert slots[0].wait() == -signal.SIGKILL
            counted.deaths.append(-signal.SIGKILL)
            slots = {0: counted.worker(0, max_records=40)}
            counted.produce(500)
            counted.finish(slots)
            counted.check("a changelog that was compacted", round + 1)
            assert slots[0].stop() == 0


def few_left(counted: Counted) -> bool:
    """Whether less than half of what the changelog once held can still be read. Adds to its end: only then does Kafka
    close the segment before."""
    counted.produce(1)
    records = sum(len(each) for each in counted.read(counted.stage.changelog).values())
    ends = ends_of(counted.kafka, counted.stage.changelog, range(2), 20.0)
    return records < sum(end for _, end in ends.offsets.values()) / 2
