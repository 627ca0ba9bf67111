"""A record at which each worker ends is set aside after a few starts, and what follows goes on."""

from __future__ import annotations

import signal

import pytest
from confluent_kafka import Consumer, TopicPartition

from agents.runtime.store import decoded
from streams.exit_codes import EXIT_CRASHED
from tests.conftest import HasBootstrap
from tests.crash.rounds import IN_FULL
from tests.support.counted import Counted
from tests.support.counting import fact

pytestmark = pytest.mark.kafka


def letters(counted: Counted) -> list[tuple[str, bytes]]:
    """(coordinates, code) of all dead letters."""
    found = [each for records in counted.read(counted.letters).values() for each in records]
    return sorted(((each.key or b"").decode(), each.headers["code"]) for each in found)


def metadata(counted: Counted) -> list[str]:
    """The metadata of the group's committed positions."""
    group = f"t.{counted.stage.name}"
    consumer = Consumer({"bootstrap.servers": counted.bootstrap, "group.id": group})
    places = [TopicPartition(counted.facts, number) for number in range(counted.partitions)]
    try:
        return [place.metadata or "" for place in consumer.committed(places, timeout=20)]
    finally:
        consumer.close()


@pytest.mark.parametrize(
    ("before", "rows"),
    [(40, "memory"), pytest.param(0, "memory", marks=IN_FULL), pytest.param(40, "disk", marks=IN_FULL)],
)
def test_a_record_that_kills_each_worker_is_set_aside_and_what_follows_goes_on(
    kafka: HasBootstrap, tmp_path_factory: pytest.TempPathFactory, before: int, rows: str
) -> None:
    options = {"rows": rows, "checkpoint_folder": str(tmp_path_factory.mktemp("rows")) if rows == "disk" else None}
    with Counted(kafka.bootstrap, partitions=2) as counted:
        counted.produce_values([("a", fact(0, "a"))])
        slots = {0: counted.worker(**options).wait_ready()}
        counted.finish(slots)
        counted.produce(before)
        counted.produce_values([("a", fact(1_000, "a", do="die"))])
        counted.produce(100)
        counted.finish(slots, 90)
        # The running worker and the first start die with others begun; the next two with this record alone.
        assert counted.deaths == [-signal.SIGKILL] * 4
        assert [code for _, code in letters(counted)] == [b"internal-error"]
        assert metadata(counted) == ["", ""]
        said = "".join(slots[0].logged)
        assert "crash loop ended" in said
        assert letters(counted)[0][0] in said
        told = slots[0].health("/metrics", slots[0].wait_health_port())[1]
        assert f'handoff_crash_loops_total{{stage="{counted.stage.name}"}} 1.0' in told
        assert any(decoded(state, counted.stage).get("a") for state in counted.rows().values())
        counted.check(f"a record that kills, rows in {rows}", 1)
        assert slots[0].stop() == 0


def test_the_count_goes_with_the_partition_to_another_slot(kafka: HasBootstrap) -> None:
    limits = {"session": 6.0, "transaction": 6.0}
    with Counted(kafka.bootstrap, partitions=1) as counted:
        counted.produce_values([("a", fact(1, "a", do="die")), ("a", fact(2, "a"))])
        for slot in range(3):
            victim = counted.worker(slot, **limits)
            assert victim.wait(60) == -signal.SIGKILL
        assert metadata(counted) == ["attempts=3 at=0 through=2"]
        slots = {3: counted.worker(3, **limits)}
        counted.finish(slots)
        assert counted.deaths == []
        counted.check("each death in another slot", 1)


def test_a_decision_that_never_ends_counts_as_a_death(kafka: HasBootstrap) -> None:
    with Counted(kafka.bootstrap, partitions=1) as counted:
        counted.produce_values([("a", fact(1, "a", do="hang")), ("a", fact(2, "a"))])
        slots = {0: counted.worker(chunk_deadline=1.0)}
        counted.finish(slots, 90)
        assert counted.deaths == [EXIT_CRASHED] * 3
        assert [code for _, code in letters(counted)] == [b"internal-error"]


def test_clean_stops_do_not_count(kafka: HasBootstrap) -> None:
    with Counted(kafka.bootstrap, partitions=2) as counted:
        for _ in range(4):
            counted.produce(50)
            worker = counted.worker(max_records=5)
            worker.wait_ready()
            assert worker.stop() == 0
            assert metadata(counted) == ["", ""]
        counted.finish({0: counted.worker()})
        assert letters(counted) == []
        counted.check("four clean stops", 1)


@pytest.mark.parametrize(
    "point", [pytest.param("after-begin", marks=IN_FULL), "after-produce", pytest.param("after-offsets", marks=IN_FULL)]
)
def test_ends_while_results_are_written_do_not_set_a_record_aside(kafka: HasBootstrap, point: str) -> None:
    """What goes wrong with a transaction is Kafka's: however often, the record is decided in the end."""
    with Counted(kafka.bootstrap, partitions=1) as counted:
        counted.produce(3)
        for number in range(4):
            # Passages before the record's own transaction: its mark, and once its death would condemn it, the second.
            victim = counted.worker(kill_at=f"{point}:{2 if number < 2 else 3}")
            assert victim.wait(60) == -signal.SIGKILL
            if point != "after-offsets":  # the position of an open transaction is not known before it times out
                assert metadata(counted) == [f"attempts={min(number + 1, 2)} at=0 through=3"]
        counted.finish({0: counted.worker()})
        assert letters(counted) == []
        counted.check(f"four ends {point}", 4)
