"""Lag on a real Kafka: counted from what is committed, whatever else goes on in the log."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from streams.kafka.lag import LagReader, PartitionLag
from streams.kafka.settings import KafkaSettings
from tests.conftest import HasBootstrap
from tests.support.kafka import TopicNames, make_topics, wait_for

pytestmark = pytest.mark.kafka


class OneGroup:
    """A topic of one partition, a group that has committed 3 of its 10 records, and the lag of both."""

    def __init__(self, bootstrap: str, names: TopicNames) -> None:
        self.bootstrap, self.topic, self.group = bootstrap, names("lagging"), names("group")
        make_topics(bootstrap, {self.topic: (1, {})})
        producer = Producer({"bootstrap.servers": bootstrap})
        for _ in range(10):
            producer.produce(self.topic, b"x", partition=0)
        producer.flush(20)
        self.consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": self.group, "enable.auto.commit": False})
        self.consumer.commit(offsets=[TopicPartition(self.topic, 0, 3)], asynchronous=False)
        self.reader = LagReader(KafkaSettings(bootstrap=bootstrap), {self.group: [self.topic]})
        wait_for(lambda: self.lag().committed == 3, what="the position")

    def lag(self) -> PartitionLag:
        (found,) = self.reader.read(time.time_ns() // 1_000_000).lags
        return found


@pytest.fixture
def one(kafka: HasBootstrap, topic_names: TopicNames) -> Iterator[OneGroup]:
    one = OneGroup(kafka.bootstrap, topic_names)
    yield one
    one.reader.close()
    one.consumer.close()


def test_records_that_were_deleted_unread_are_lag(one: OneGroup) -> None:
    assert (one.lag().lag, one.lag().end) == (7, 10)
    admin = AdminClient({"bootstrap.servers": one.bootstrap})
    for before in (6, -1):
        for done in admin.delete_records([TopicPartition(one.topic, 0, before)]).values():
            done.result(20)
        assert (one.lag().committed, one.lag().lag) == (3, 7)


def test_a_transaction_that_would_move_the_position_is_not_waited_for(one: OneGroup, topic_names: TopicNames) -> None:
    producer = Producer({"bootstrap.servers": one.bootstrap, "transactional.id": topic_names("open")})
    producer.init_transactions(30)
    producer.begin_transaction()
    metadata = one.consumer.consumer_group_metadata()
    producer.send_offsets_to_transaction([TopicPartition(one.topic, 0, 8)], metadata, 30)
    began = time.monotonic()
    assert (one.lag().committed, one.lag().lag) == (3, 7)
    assert time.monotonic() - began < 3, "the answer came when the position was free"
    producer.commit_transaction(30)
    wait_for(lambda: one.lag().lag == 2, what="the position moved")
