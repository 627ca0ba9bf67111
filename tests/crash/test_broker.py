"""The broker dies, hangs, or comes back on the same data while records flow."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from handoff.embedded.kafka import EmbeddedKafka
from streams.exit_codes import EXIT_CRASHED
from tests.crash.rounds import IN_FULL, rounds
from tests.support.counted import Counted

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

ROUNDS = rounds(1, 1 / 5)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """A broker that may be stopped."""
    with EmbeddedKafka(tmp_path_factory.mktemp("mortal"), quick=True) as kafka:
        yield kafka


@pytest.mark.parametrize(
    "how", ["killed", pytest.param("paused", marks=IN_FULL), pytest.param("stopped", marks=IN_FULL)]
)
def test_a_broker_that_goes_away_and_comes_back(broker: EmbeddedKafka, how: str) -> None:
    with Counted(broker.bootstrap, partitions=2) as counted:
        slots = {0: counted.worker(0, max_records=40, linger=0.0).wait_ready()}
        for round in range(ROUNDS):
            # Here the transaction under way when the broker goes has run out when it is back, there it has not.
            slots[0].end()
            slots = {0: counted.worker(0, max_records=40, linger=0.0, transaction=3.0 if round % 2 else 15.0)}
            target = counted.read_so_far() + 200
            counted.produce(3_000)
            counted.supervise(slots, lambda target=target: counted.read_so_far() > target)  # type: ignore[misc]
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
            counted.check(f"broker {how}", round + 1)
            assert set(counted.deaths) <= {EXIT_CRASHED}
