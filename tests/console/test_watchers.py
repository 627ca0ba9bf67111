"""Readings and counts from a real Kafka."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from console.config import Topics
from console.lag_history import LagHistory
from console.tallies import Tallies
from console.watchers import RAW_LOOK_BACK, LagWatch, TopicWatch, clock
from streams.kafka.lag import LagReader, LagReading
from streams.kafka.read import Batch, tail
from streams.kafka.settings import KafkaSettings
from tests.support.kafka import TopicNames, make_topics, wait_for

pytestmark = pytest.mark.kafka


def transactional(bootstrap: str, name: str) -> Producer:
    """A producer of transactions."""
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": name})
    producer.init_transactions(30)
    return producer


@contextmanager
def member(bootstrap: str, group: str, topic: str) -> Iterator[Consumer]:
    """A worker that has joined its group and been given its partitions."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )
    given: list[Any] = []
    consumer.subscribe([topic], on_assign=lambda _, parts: given.extend(parts))
    try:
        wait_for(lambda: consumer.poll(0.1) is not None or bool(given), what="the assignment")
        yield consumer
    finally:
        consumer.close()


@pytest.fixture
def reader(kafka: Any, topic_names: TopicNames) -> Iterator[LagReader]:
    """Reads the lag of one group on one topic of this test's own."""
    make_topics(kafka.bootstrap, {topic_names("in"): (2, {})})
    groups = {topic_names("group"): [topic_names("in"), topic_names("missing")]}
    reader = LagReader(KafkaSettings(bootstrap=kafka.bootstrap), groups)

    def answers() -> bool:
        try:
            return bool(reader.read(clock()).lags)
        except KafkaException:  # the first to ask for a group has its coordinator loaded
            return False

    wait_for(answers, what="the coordinator")
    yield reader
    reader.close()


def test_lag_counts_from_the_start_until_there_is_a_position(
    kafka: Any, topic_names: TopicNames, reader: LagReader
) -> None:
    now = clock()
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    for at in (now - 9000, now - 5000):
        producer.produce(topic_names("in"), b"x", partition=1, timestamp=at)
    producer.flush(20)
    empty, waiting = reader.read(now).lags
    assert (empty.committed, empty.end, empty.lag, empty.seconds) == (None, 0, 0, 0.0)
    assert (waiting.committed, waiting.end, waiting.lag, waiting.seconds) == (None, 2, 2, 9.0)
    assert reader.read(now).members == {topic_names("group"): 0}
    with member(kafka.bootstrap, topic_names("group"), topic_names("in")) as worker:
        worker.commit(offsets=[TopicPartition(topic_names("in"), 1, 1)], asynchronous=False)
        reading = reader.read(now)
        assert reading.members == {topic_names("group"): 1}
        assert (reading.lags[1].committed, reading.lags[1].lag, reading.lags[1].seconds) == (1, 1, 5.0)


def test_neither_markers_nor_open_transactions_are_lag(kafka: Any, topic_names: TopicNames, reader: LagReader) -> None:
    topic, group = topic_names("in"), topic_names("group")
    producer = transactional(kafka.bootstrap, topic_names("tx"))
    producer.begin_transaction()
    producer.produce(topic, b"x", partition=0)
    producer.commit_transaction(30)
    with member(kafka.bootstrap, group, topic) as worker:
        worker.commit(offsets=[TopicPartition(topic, 0, 1)], asynchronous=False)  # the record; its marker comes after
        first = reader.read(clock()).lags[0]
        assert (first.committed, first.end, first.lag, first.seconds) == (1, 2, 0, 0.0)
        producer.begin_transaction()
        producer.produce(topic, b"y", partition=0)
        producer.flush(20)
        assert reader.read(clock()).lags[0].lag == 0
        producer.commit_transaction(30)
        wait_for(lambda: reader.read(clock()).lags[0].lag > 0, what="the committed record as lag")


def test_a_cluster_that_is_away_is_told_and_the_thread_ends() -> None:
    history, stopping = LagHistory(), Event()
    settings = KafkaSettings(bootstrap="127.0.0.1:1")
    watch = LagWatch(lambda: LagReader(settings, {"g": ["t"]}), history, stopping)
    watch.start()
    wait_for(lambda: history.fault is not None, what="the fault")
    assert history.fault == "_TRANSPORT"
    assert history.last is None
    stopping.set()
    watch.join(20)
    assert not watch.is_alive()


class Broken:
    """A reader that works once and never again, as a client may after a long outage."""

    def __init__(self, made: list[Broken]) -> None:
        made.append(self)
        self.reads = 0
        self.closed = False

    def read(self, now: int) -> LagReading:
        self.reads += 1
        if self.reads > 1:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        return LagReading(now, (), {})

    def close(self) -> None:
        self.closed = True


def test_a_reader_that_failed_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.watchers.STEP_SECONDS", 0.01)
    monkeypatch.setattr("console.watchers._RETRY_SECONDS", 0.01)
    history, stopping, made = LagHistory(), Event(), list[Broken]()
    watch = LagWatch(lambda: Broken(made), history, stopping)
    watch.start()
    wait_for(lambda: len(made) >= 3, what="new readers")
    stopping.set()
    watch.join(20)
    assert all(each.closed for each in made)
    assert all(each.reads <= 2 for each in made)
    assert history.last is not None


def test_a_consumer_that_brings_nothing_though_records_wait_is_replaced(
    kafka: Any, topic_names: TopicNames, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.watchers._CHECK_SECONDS", 0.2)
    monkeypatch.setattr("console.watchers.STEP_SECONDS", 0.1)
    used: list[Consumer] = []

    def silent_at_first(consumer: Consumer, **how: Any) -> Iterator[Batch]:
        used.append(consumer)
        if len(used) > 1:
            yield from tail(consumer, **how)
        while True:
            yield Batch([], {})

    monkeypatch.setattr("console.watchers.tail", silent_at_first)
    topics = Topics(**{field: topic_names(field) for field in Topics.__struct_fields__})
    make_topics(kafka.bootstrap, {name: (1, {}) for name in topics.every})
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    producer.produce(topics.raw, b"x", headers={"sender": "genhosp"})
    assert producer.flush(20) == 0
    tallies, stopping = Tallies(topics), Event()
    watch = TopicWatch(KafkaSettings(bootstrap=kafka.bootstrap), topics, tallies, stopping)
    watch.start()
    wait_for(lambda: "genhosp" in tallies.feeds, what="the record")
    wait_for(lambda: watch.confirmed is not None, what="the confirmation")
    stopping.set()
    watch.join(20)
    assert len(used) == 2


def test_topics_are_counted_once_committed_and_a_late_topic_joins(
    kafka: Any, topic_names: TopicNames, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.watchers._MISSING_SECONDS", 1.5)
    names = {field: topic_names(field) for field in Topics.__struct_fields__}
    topics = Topics(**names)
    make_topics(kafka.bootstrap, {name: (2, {}) for name in topics.every if name != topics.alerts})
    producer = transactional(kafka.bootstrap, topic_names("tx"))

    def candidate(name: str, status: str) -> None:
        document = {"candidate_id": name, "status": status, "population": "1", "revision": 1}
        producer.produce(topics.candidates, json.dumps(document).encode(), name.encode())

    producer.begin_transaction()
    candidate("c_aaaaaaaaaaaa", "raised")
    candidate("c_bbbbbbbbbbbb", "raised")
    producer.commit_transaction(30)
    producer.begin_transaction()
    candidate("c_cccccccccccc", "raised")
    producer.flush(20)
    producer.abort_transaction(30)
    old = clock() - RAW_LOOK_BACK - 60_000
    plain = Producer({"bootstrap.servers": kafka.bootstrap})
    for at in (old, clock()):
        plain.produce(topics.raw, b"MSH", partition=0, timestamp=at, headers=[("sender", b"genhosp")])
    plain.flush(20)

    tallies, stopping = Tallies(topics), Event()
    watch = TopicWatch(KafkaSettings(bootstrap=kafka.bootstrap), topics, tallies, stopping)
    watch.start()
    try:
        wait_for(lambda: watch.counted, what="the ends of the topics")
        assert watch.missing == (topics.alerts,)
        assert tallies.changes == {("1", "raised"): 2}
        assert tallies.feeds["genhosp"].taken == 1, "one is older than what is looked at"
        make_topics(kafka.bootstrap, {topics.alerts: (1, {})})
        plain.produce(topics.alerts, b"{}")
        plain.flush(20)
        producer.begin_transaction()
        candidate("c_aaaaaaaaaaaa", "withdrawn")
        producer.commit_transaction(30)
        wait_for(lambda: tallies.alerts.count == 1 and tallies.changes["1", "withdrawn"] == 1, what="what came later")
        assert tallies.changes["1", "raised"] == 2
        assert +tallies.candidates.counts == {("1", "raised"): 1, ("1", "withdrawn"): 1}
    finally:
        stopping.set()
        watch.join(20)
    assert not watch.is_alive()
