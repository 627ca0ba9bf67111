"""Input positions on a real Kafka: nothing deleted unread is skipped in silence, and a quiet topic is no loss."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from agents.runtime.contract import TICKS
from handoff.embedded.kafka import EmbeddedKafka
from streams.engine.crash import EXIT_REFUSED
from tests.conftest import HasBootstrap
from tests.support.counted import Counted
from tests.support.kafka import wait_for
from tests.support.transactions import produce_in_a_transaction

pytestmark = pytest.mark.kafka


def delete_before(counted: Counted, ends: dict[int, int], topic: str = "") -> None:
    """Delete the records of the facts (or another topic) before these offsets, by partition, as retention would."""
    admin = AdminClient({"bootstrap.servers": counted.bootstrap})
    places = [TopicPartition(topic or counted.facts, partition, end) for partition, end in ends.items()]
    for done in admin.delete_records(places).values():
        done.result(20)


def test_a_committed_position_that_is_no_longer_retained_ends_the_worker_with_the_place(kafka: HasBootstrap) -> None:
    with Counted(kafka.bootstrap, partitions=2) as counted:
        counted.produce(100)
        slots = {0: counted.worker()}
        counted.finish(slots)
        assert slots[0].stop() == 0
        taken = counted.positions()
        counted.produce(100)
        delete_before(counted, {0: taken[0] + 5})
        worker = counted.worker()
        assert worker.wait(40) == EXIT_REFUSED
        logged = "".join(worker.logged)
        assert "position-not-retained" in logged
        assert counted.facts in logged
        assert str(taken[0] + 5) in logged
        assert counted.positions() == taken


def test_a_group_that_never_committed_begins_at_the_earliest_record_there_is(kafka: HasBootstrap) -> None:
    with Counted(kafka.bootstrap, partitions=2) as counted:
        counted.produce(100)
        delete_before(counted, {0: 5, 1: 7})
        slots = {0: counted.worker()}
        counted.finish(slots)
        counted.check("deleted before the first start", 1)
        assert counted.deaths == []
        assert len([each for records in counted.read(counted.counts).values() for each in records]) == 100 - 12
        assert slots[0].stop() == 0


@pytest.mark.parametrize("stopped", [True, False])
def test_transaction_markers_that_were_deleted_are_no_lost_records(kafka: HasBootstrap, stopped: bool) -> None:
    """A quiet topic ends with markers. The worker commits past them, when it is idle and when it stops."""
    with Counted(kafka.bootstrap, partitions=2) as counted:
        produce_in_a_transaction(counted, 10)
        assert counted.ends() == {0: 6, 1: 6}
        worker = counted.worker(idle_commit=3600.0 if stopped else 0.1).wait_ready()
        wait_for(lambda: counted.read_so_far() >= 10)
        if stopped:
            assert worker.stop() == 0
        wait_for(lambda: counted.positions() == counted.ends(), what="positions behind the markers")
        worker.end()
        delete_before(counted, dict.fromkeys(range(2), -1))
        slots = {0: counted.worker().wait_ready()}
        counted.produce(20)
        counted.finish(slots)
        assert counted.deaths == []
        assert slots[0].stop() == 0


def test_ticks_that_are_no_longer_retained_are_not_missed(tmp_path: Path) -> None:
    # A Kafka of its own: the topic of ticks has one name for all tests.
    with (
        EmbeddedKafka(tmp_path, quick=True) as kafka,
        Counted(kafka.bootstrap, partitions=2, partitions_ticked=True) as counted,
    ):
        counted.tick(1_764_000_000_000)
        counted.produce(10)
        slots = {0: counted.worker().wait_ready()}
        counted.finish(slots)
        wait_for(lambda: min(rows.clock for rows in counted.rows().values()) >= 1_764_000_000_000)
        assert slots[0].stop() == 0
        counted.tick(1_764_000_060_000)
        delete_before(counted, dict.fromkeys(range(2), -1), TICKS)
        slots = {0: counted.worker().wait_ready()}
        counted.produce(10)
        counted.finish(slots)
        assert counted.deaths == []
        assert slots[0].stop() == 0
