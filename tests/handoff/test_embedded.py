"""The embedded Kafka and Redis are real: transactions hold, data outlives a kill, nothing outlives us."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import redis
from confluent_kafka import Consumer, Producer, TopicPartition

from handoff.embedded.jars import JarsUnavailable, fetch_jars, lock_path, read_lock, sha256_of
from handoff.embedded.kafka import EmbeddedKafka
from handoff.embedded.process import NotStarted
from handoff.embedded.redis import EmbeddedRedis
from tests.support.kafka import make_topics, wait_for


def produce(bootstrap: str, topic: str, value: bytes, *, commit: bool, transactional_id: str) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": transactional_id})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(topic, value, partition=0)
    producer.flush(30)
    if commit:
        producer.commit_transaction(30)
    else:
        producer.abort_transaction(30)


def read(bootstrap: str, topic: str, isolation: str, until: bytes) -> list[bytes]:
    """Values from the start of partition 0 up to and with `until`."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader", "isolation.level": isolation})
    consumer.assign([TopicPartition(topic, 0, 0)])
    values: list[bytes] = []

    def arrived() -> bool:
        message = consumer.poll(0.2)
        if message is not None and message.error() is None:
            values.append(message.value())
        return bool(values) and values[-1] == until

    try:
        wait_for(arrived, 30, "the last record")
    finally:
        consumer.close()
    return values


@pytest.mark.kafka
@pytest.mark.slow
def test_transactions_hold_and_data_outlives_a_kill(tmp_path: Path) -> None:
    with EmbeddedKafka(tmp_path / "kafka", quick=True) as kafka:
        address = kafka.bootstrap
        make_topics(address, {"t": (1, {})})
        produce(address, "t", b"aborted", commit=False, transactional_id="one")
        produce(address, "t", b"committed", commit=True, transactional_id="one")
        assert read(address, "t", "read_committed", b"committed") == [b"committed"]
        assert read(address, "t", "read_uncommitted", b"committed") == [b"aborted", b"committed"]

        kafka.kill()
        assert kafka.pids == [None]
        kafka.start()
        assert kafka.bootstrap == address
        produce(address, "t", b"after", commit=True, transactional_id="one")
        assert read(address, "t", "read_committed", b"after") == [b"committed", b"after"]

        kafka.pause()
        producer = Producer({"bootstrap.servers": address, "message.timeout.ms": 60_000})
        producer.produce("t", b"late", partition=0)
        assert producer.flush(0.5) == 1
        kafka.resume()
        assert producer.flush(30) == 0

        with pytest.raises(NotStarted, match="still works on"):
            EmbeddedKafka(tmp_path / "kafka", quick=True).start()
        pid = kafka.pids[0]
    assert pid is not None
    assert not psutil.pid_exists(pid)


@pytest.mark.kafka
@pytest.mark.slow
def test_a_transaction_that_ran_out_while_the_broker_was_dead_is_not_taken_for_the_next(tmp_path: Path) -> None:
    with EmbeddedKafka(tmp_path / "kafka", quick=True) as kafka:
        make_topics(kafka.bootstrap, {"t": (1, {})})
        settings = {"bootstrap.servers": kafka.bootstrap, "transactional.id": "one", "transaction.timeout.ms": 1_000}
        left = Producer(settings)
        left.init_transactions(30)
        left.begin_transaction()
        left.produce("t", b"of the dead one", partition=0)
        left.flush(30)
        kafka.kill()
        kafka.start()
        produce(kafka.bootstrap, "t", b"of the next", commit=True, transactional_id="one")
        assert read(kafka.bootstrap, "t", "read_committed", b"of the next") == [b"of the next"]
        # What comes of it when this was logged is a matter of milliseconds.
        assert "Couldn't find leader endpoint" not in kafka.logs[0].read_text(encoding="utf-8")


@pytest.mark.kafka
@pytest.mark.slow
def test_three_brokers_go_on_without_one(tmp_path: Path) -> None:
    with EmbeddedKafka(tmp_path / "kafka", brokers=3, quick=True) as kafka:
        make_topics(kafka.bootstrap, {"t": (1, {"min.insync.replicas": "2"})}, replication=3)
        produce(kafka.bootstrap, "t", b"before", commit=True, transactional_id="one")
        kafka.kill(0)
        assert [pid is None for pid in kafka.pids] == [True, False, False]
        produce(kafka.bootstrap, "t", b"meanwhile", commit=True, transactional_id="one")
        kafka.start(0)
        assert read(kafka.bootstrap, "t", "read_committed", b"meanwhile") == [b"before", b"meanwhile"]


@pytest.mark.kafka
def test_shared_kafka_answers(kafka: EmbeddedKafka, topic_names) -> None:  # type: ignore[no-untyped-def]
    topic = topic_names("adt.raw.v1")
    make_topics(kafka.bootstrap, {topic: (4, {"message.timestamp.type": "LogAppendTime"})})
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    producer.produce(topic, b"v", partition=0)
    assert producer.flush(20) == 0
    assert read(kafka.bootstrap, topic, "read_committed", b"v") == [b"v"]


def test_redis_forgets_on_a_kill_and_keeps_its_port(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server:
        url = server.url
        with redis.Redis.from_url(url) as client:
            client.set("k", "v")
            assert client.get("k") == b"v"
        server.kill()
        server.start()
        assert server.url == url
        with redis.Redis.from_url(url) as client:
            assert client.get("k") is None


def test_a_child_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys, time; from handoff.embedded.redis import EmbeddedRedis\n"
        "server = EmbeddedRedis(pathlib.Path(sys.argv[1])); server.start(); print(server.pid, flush=True)\n"
        "time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, cwd=lock_path().parents[1]
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
    wait_for(lambda: not psutil.pid_exists(child), 20, "the end of the child")


def test_a_stale_child_is_refused_or_ended(tmp_path: Path) -> None:
    first = EmbeddedRedis(tmp_path)
    first.start()
    try:
        with pytest.raises(NotStarted, match="handoff down"):
            EmbeddedRedis(tmp_path).start()
        with EmbeddedRedis(tmp_path, end_stale=True) as second:
            assert second.pid is not None
            assert first.pid is None
    finally:
        first.stop()


def test_a_pid_that_passed_to_another_process_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "pid.json").write_text(json.dumps({"pid": os.getpid(), "started": 1.0}))
    with EmbeddedRedis(tmp_path, end_stale=True) as server:
        assert server.pid != os.getpid()


def test_the_lock_pins_every_jar_without_an_address() -> None:
    jars = read_lock(lock_path())
    assert {"org.apache.kafka:kafka_2.13:4.3.1", "org.apache.kafka:kafka-clients:4.3.1"} <= {
        jar.coordinates for jar in jars
    }
    assert "://" not in lock_path().read_text(encoding="utf-8")
    assert {jar.version for jar in jars if jar.group == "org.apache.kafka"} == {"4.3.1"}


def test_a_held_jar_is_verified_and_a_bad_line_named(tmp_path: Path) -> None:
    lock, held = tmp_path / "jars.lock", tmp_path / "cache" / "jars" / "thing-1.jar"
    held.parent.mkdir(parents=True)
    held.write_bytes(b"a jar")
    lock.write_text(f"com.example:thing:1 sha256:{sha256_of(held)}\n")
    assert fetch_jars(lock=lock, cache=tmp_path / "cache") == [held]

    lock.write_text("com.example:thing:1\n")
    with pytest.raises(JarsUnavailable, match=r"jars\.lock:1"):
        read_lock(lock)


def test_a_download_that_is_not_the_locked_jar_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served = tmp_path / "served.jar"
    served.write_bytes(b"another jar")

    class Repository:
        def __init__(self, _: Path) -> None: ...

        def project(self, group: str, artifact: str) -> Repository:
            return self

        at_version = artifact = lambda self, *_: self

        def resolve(self) -> Path:
            return served

    monkeypatch.setattr("handoff.embedded.jars._maven", Repository)
    lock = tmp_path / "jars.lock"
    lock.write_text(f"com.example:thing:1 sha256:{'0' * 64}\n")
    with pytest.raises(JarsUnavailable, match="not the locked jar"):
        fetch_jars(lock=lock, cache=tmp_path)
    assert not served.exists()


def test_a_failed_download_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_: Path) -> None:
        raise OSError

    monkeypatch.setattr("handoff.embedded.jars._maven", away)
    lock = tmp_path / "jars.lock"
    lock.write_text(f"com.example:thing:1 sha256:{'0' * 64}\n")
    with pytest.raises(JarsUnavailable, match=r"com\.example:thing:1.*HANDOFF_KAFKA__BOOTSTRAP"):
        fetch_jars(lock=lock, cache=tmp_path)
