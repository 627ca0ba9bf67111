"""Several directories at once: one works, another takes over, and what a suspended one does late is not written."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from confluent_kafka import KafkaException

from agents.runtime.contract import Emit
from handoff.embedded.redis import EmbeddedRedis
from streams.directory import LEASE
from streams.kafka.produce import TransactionalWriter
from streams.lease import Lease, LeaseLost
from tests.conftest import HasBootstrap
from tests.gateway.running import everything
from tests.support.directories import County, asked, await_state
from tests.support.kafka import TopicNames, wait_for

pytestmark = [pytest.mark.kafka]
ANN, BEA = "91234567A", "91234567C"
SECONDS = 2.0
TAKEOVER = SECONDS + 8.0
"""What a takeover may take on a busy machine: the lease, the next try, and reading the topics."""


@pytest.fixture
def county(kafka: HasBootstrap, topic_names: TopicNames, tmp_path: Path) -> Iterator[County]:
    with EmbeddedRedis(tmp_path / "redis") as server:
        yield County(kafka.bootstrap, topic_names, server)


async def test_the_second_takes_over_when_the_first_is_killed(county: County) -> None:
    county.row(ANN, "G|1", received=10)
    with county.process(SECONDS) as first, county.running(SECONDS) as second:
        wait_for(lambda: second.ready()[1]["state"] == "standby", what="standing by")
        county.waits("G|1")
        wait_for(lambda: county.belief() == {"G|1": ANN}, what="the first's work")
        first.kill()
        killed = time.monotonic()
        county.row(BEA, "G|1", received=20)
        wait_for(lambda: second.ready()[0], seconds=TAKEOVER, what="the takeover")
        wait_for(lambda: county.belief() == {"G|1": BEA}, seconds=TAKEOVER, what="the second's work")
        assert time.monotonic() - killed < TAKEOVER
        assert await asked(county, "G|1") == {"G|1": f"{BEA}\x1f20"}


def test_a_suspended_one_goes_on_and_writes_nothing(county: County) -> None:
    county.waits("G|1")
    with county.process(SECONDS) as first, county.running(SECONDS) as second:
        wait_for(lambda: second.ready()[1]["state"] == "standby", what="standing by")
        os.kill(first.pid, signal.SIGSTOP)
        county.row(ANN, "G|1", received=10)
        wait_for(lambda: second.ready()[0], seconds=TAKEOVER, what="the takeover")
        wait_for(lambda: county.belief() == {"G|1": ANN}, what="the match")
        said = county.said()
        client = redis.Redis.from_url(county.server.url)
        stored = {key: client.type(key) for key in client.scan_iter("*") if key != LEASE.encode()}
        os.kill(first.pid, signal.SIGCONT)
        await_state(first, "standby")
        assert second.ready()[0]
        assert county.said() == said
        assert {key: client.type(key) for key in client.scan_iter("*") if key != LEASE.encode()} == stored
        client.close()


def test_a_redis_slower_than_the_lease_loses_nothing(county: County) -> None:
    client = redis.Redis.from_url(county.server.url)
    with county.keeping(SECONDS) as keeper:
        client.execute_command("CLIENT", "PAUSE", str(int(SECONDS * 2000)), "ALL")
        county.waits("G|1")
        county.row(ANN, "G|1", received=10)
        wait_for(lambda: county.belief() == {"G|1": ANN}, seconds=30, what="the match")
        wait_for(lambda: keeper.ready()[0], what="being ready again")
    client.close()


def test_nothing_is_written_without_the_lease(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "redis") as server:
        client = redis.Redis.from_url(server.url)
        first, second = (Lease(server.url, LEASE, 30.0, lambda: True) for _ in range(2))
        assert (first.acquire(), second.acquire(), first.acquire()) == (True, False, True)
        first.write(client, lambda pipeline: pipeline.set("a", "1"))
        with pytest.raises(LeaseLost):
            second.write(client, lambda pipeline: pipeline.set("a", "2"))
        client.delete(LEASE)  # the time is up
        with pytest.raises(LeaseLost):
            first.write(client, lambda pipeline: pipeline.set("a", "3"))
        assert second.acquire()

        def taken_in_between(pipeline: redis.client.Pipeline) -> None:
            client.set(LEASE, "another")
            pipeline.set("a", "4")

        with pytest.raises(LeaseLost):
            second.write(client, taken_in_between)
        assert client.get("a") == b"1"
        second.give_up()
        assert client.get(LEASE) == b"another"
        client.delete(LEASE)
        assert (first.acquire(), second.acquire()) == (True, False)
        first.give_up()
        assert second.acquire()
        second.release()
        assert not client.exists(LEASE)
        first.release()
        client.close()


def test_a_later_writer_fences_an_earlier_one(county: County) -> None:
    name = f"test.{county.links}"
    first = TransactionalWriter(county.kafka, name)
    first.write([Emit(county.links, b"k", b"1", ())])
    second = TransactionalWriter(county.kafka, name)
    with pytest.raises(KafkaException):
        first.write([Emit(county.links, b"k", b"2", ())])
    second.write([Emit(county.links, b"k", b"3", ())])
    assert [record.value for record in everything(county.kafka, county.links)] == [b"1", b"3"]
