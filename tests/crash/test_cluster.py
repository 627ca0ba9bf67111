"""Three brokers, of which two must have a record before it counts as written: one dies, and then another."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from confluent_kafka import IsolationLevel, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from handoff.embedded.kafka import EmbeddedKafka
from streams.exit_codes import EXIT_CRASHED
from tests.crash.rounds import IN_FULL
from tests.support.counted import Counted, WorkerProcess

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.slow,
    IN_FULL,
]

TRANSACTION = 6.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """Three brokers, of which two must have a record before it counts as written."""
    folder = tmp_path_factory.mktemp("three")
    with EmbeddedKafka(folder, brokers=3, quick=True, overrides={"min.insync.replicas": "2"}) as kafka:
        yield kafka


@pytest.mark.parametrize("first", range(3))
def test_a_cluster_that_loses_one_broker_goes_on_and_two_stands_still(cluster: EmbeddedKafka, first: int) -> None:
    with Counted(cluster.bootstrap, partitions=3, replication=3) as counted:
        options = {"max_records": 40, "linger": 0.0, "session": 6.0, "transaction": TRANSACTION}
        slots = {slot: counted.worker(slot, **options).wait_ready() for slot in (0, 1)}
        counted.produce(3_000)
        counted.supervise(slots, lambda: counted.read_so_far() > 300)
        cluster.kill(first)
        counted.finish(slots, 120)

        counted.produce(6_000)
        target = counted.read_so_far() + 300
        counted.supervise(slots, lambda: counted.read_so_far() > target)
        survivor, second = survivor_and_other(cluster, counted.counts, first)
        cluster.kill(second)
        stands_still(cluster, survivor, counted, slots)

        cluster.start(first)
        cluster.start(second)
        counted.finish(slots, 120)
        counted.produce(500)
        counted.finish(slots, 120)
        counted.check("of three brokers the leader killed, then a second, then both back", 1)
        assert set(counted.deaths) <= {EXIT_CRASHED}


def survivor_and_other(cluster: EmbeddedKafka, topic: str, dead: int) -> tuple[int, int]:
    """Of the two brokers that live, one that leads a partition of `topic`, and the other."""
    led = {
        each.leader - 1
        for each in AdminClient({"bootstrap.servers": cluster.bootstrap})
        .list_topics(topic, timeout=20)
        .topics[topic]
        .partitions.values()
    }
    survivor = min(led - {dead})
    return survivor, ({0, 1, 2} - {dead, survivor}).pop()


def stands_still(cluster: EmbeddedKafka, survivor: int, counted: Counted, slots: dict[int, WorkerProcess]) -> None:
    """With one broker of three left no worker gets a transaction through and no output becomes visible; they wait or
    end with 70, and those started anew can do no more."""
    alone = cluster.bootstrap.split(",")[survivor]
    # An answer that the second broker's death overtook may still arrive.
    slots[0].wait_or(1.5)
    before_commits = {slot: worker.committed() for slot, worker in slots.items()}
    before_outputs = visible(alone, counted)
    assert any(end is not None for end in before_outputs.values())
    for slot, worker in slots.items():
        code = worker.wait_or(TRANSACTION + 6.0)
        assert code in (None, EXIT_CRASHED)
        assert code is not None or worker.committed() == before_commits[slot]
    assert any(worker.code() == EXIT_CRASHED for worker in slots.values()), "a transaction was under way"
    again = counted.worker(2, start=4.0)
    assert again.wait_or(8.0) in (None, EXIT_CRASHED)
    again.end()
    assert visible(alone, counted) == before_outputs


def visible(bootstrap: str, counted: Counted) -> dict[int, int | None]:
    """Where the committed outputs end, by partition; None for those that this broker does not lead."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    known = admin.list_topics(counted.counts, timeout=10)
    found: dict[int, int | None] = {}
    for partition, each in known.topics[counted.counts].partitions.items():
        leader = known.brokers.get(each.leader)
        found[partition] = None
        if leader is None or not bootstrap.endswith(f":{leader.port}"):
            continue
        place = TopicPartition(counted.counts, partition)
        asked = admin.list_offsets(
            {place: OffsetSpec.latest()}, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=5
        )
        found[partition] = int(asked[place].result(6).offset)
    return found
