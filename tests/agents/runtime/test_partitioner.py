"""Our partition of a key is librdkafka's murmur2, for keys of every length."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, Message, Producer

from agents.runtime.partitioner import partition_of
from tests.conftest import HasBootstrap
from tests.support.kafka import TopicNames, make_topics


@pytest.mark.kafka
def test_a_key_has_the_partition_that_the_client_chooses(kafka: HasBootstrap, topic_names: TopicNames) -> None:
    topic = topic_names("keys")
    make_topics(kafka.bootstrap, {topic: (7, {})})
    found: dict[bytes, int] = {}

    def delivered(error: KafkaError | None, message: Message) -> None:
        assert error is None
        found[message.key() or b""] = message.partition() or 0

    keys = [("é" * length + f"9{length:07}A"[length % 5 :]).encode() for length in range(40)]
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "partitioner": "murmur2_random"})
    for key in keys:
        producer.produce(topic, b"", key, on_delivery=delivered)
    assert producer.flush(20) == 0
    assert found == {key: partition_of(key, 7) for key in keys}
    assert len(set(found.values())) > 3
