"""The broker dies, hangs, or comes back on the same data while records flow."""

from __future__ import annotations

import os
from collections.abc import Iterator

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
