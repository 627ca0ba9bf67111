"""The broker dies, hangs, or comes back on the same data while records flow."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from handoff.embedded.kafka import EmbeddedKafka
from tests.support.counted import Counted

MANY = "HANDOFF_CRASH_ROUNDS" in os.environ

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """A broker that may be stopped."""
    with EmbeddedKafka(tmp_path_factory.mktemp("mortal"), quick=True) as kafka:
        yield kafka


@pytest.mark.parametrize("how", ["killed", "paused", *(["stopped"] if MANY else [])])
def test_a_broker_that_goes_away_and_comes_back(broker: EmbeddedKafka, how: str) -> None:
    with Counted(broker.bootstrap, partitions=2) as counted:
        slots = {0: counted.worker(0, max_records=40, linger=0.0).wait_ready()}
        counted.produce(3_000)
        counted.supervise(slots, lambda: counted.read_so_far() > 200)
        match how:
            case "stopped":
                broker.stop()
                broker.start()
            case "killed":
                broker.kill()
                broker.start()
            case "paused":
                broker.pause()
                slots[0].wait_or(3.0)
                broker.resume()
        counted.produce(500)
        counted.finish(slots, 90)
        counted.check(f"broker {how}", 1)
        assert set(counted.deaths) <= {70}


@pytest.mark.skipif(not MANY, reason="three brokers: part of `make crash`")
def test_a_cluster_that_loses_its_leaders_one_by_one(tmp_path: Path) -> None:
    with (
        EmbeddedKafka(tmp_path, brokers=3, quick=True, overrides={"min.insync.replicas": "2"}) as cluster,
        Counted(cluster.bootstrap, partitions=3, replication=3) as counted,
    ):
        slots = {slot: counted.worker(slot, max_records=40, linger=0.0) for slot in (0, 1)}
        for broker in range(3):
            counted.produce(3_000)
            ends = counted.ends()
            target = counted.read_so_far() + 300
            counted.supervise(slots, lambda target=target: counted.read_so_far() > target)  # type: ignore[misc]
            cluster.kill(broker)
            counted.finish(slots, 120, ends)
            cluster.start(broker)
        counted.check("a leader killed, three brokers", 3)
        assert set(counted.deaths) <= {70}
