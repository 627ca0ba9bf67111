"""The broker's disk is full where the changelog lies: nothing is committed, and once there is room all of it is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from handoff.embedded.kafka import EmbeddedKafka
from streams.exit_codes import EXIT_CRASHED
from tests.crash.rounds import IN_FULL, rounds
from tests.support.counted import Counted
from tests.support.disk import failed_writes, let_files_grow_to
from tests.support.kafka import wait_for

pytestmark = [pytest.mark.kafka, pytest.mark.slow, IN_FULL]

ROUNDS = rounds(1, 1 / 10)
ROOM = 2_000_000
"""Bytes that the changelog outgrows and nothing else does: its rows grow, and are not compressed."""


@pytest.fixture
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """A broker whose disk may fill up."""
    with EmbeddedKafka(tmp_path_factory.mktemp("full"), quick=True) as kafka:
        yield kafka


def test_a_full_disk_on_the_changelog(broker: EmbeddedKafka) -> None:
    for round in range(ROUNDS):
        with Counted(broker.bootstrap, partitions=2, changelog={"compression.type": "uncompressed"}) as counted:
            slots = {0: counted.worker(0, max_records=40, linger=0.0, session=6.0, transaction=6.0).wait_ready()}
            counted.produce(200)
            counted.finish(slots)
            let_files_grow_to(broker, ROOM)
            counted.produce(3_000, do="grow", bytes=400)
            # A broker that cannot write to its only disk ends itself.
            wait_for(lambda: broker.pids == [None], 60, "the end of a broker that cannot write")
            assert failed_writes(broker, counted.stage.changelog)
            assert slots[0].wait(60) == EXIT_CRASHED, "".join(slots[0].logged)
            # While there is no Kafka a new worker waits for it, and gives up.
            assert counted.worker(0, start=3.0).wait(60) == EXIT_CRASHED
            counted.deaths += [EXIT_CRASHED, EXIT_CRASHED]
            broker.start()
            assert 200 <= counted.read_so_far() < 3_200
            slots = {0: counted.worker(0, max_records=40, linger=0.0)}
            counted.finish(slots)
            counted.check("disk full on the changelog", 1)
            assert slots[0].stop() == 0, f"round {round}"
