"""What every test may ask for: one Kafka and one Redis for the whole run, and topic names of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Protocol

import pytest

from handoff.embedded.jars import JarsUnavailable
from handoff.embedded.kafka import EmbeddedKafka
from handoff.embedded.process import NotStarted
from handoff.embedded.redis import EmbeddedRedis
from tests.support.kafka import TopicNames


class HasBootstrap(Protocol):
    """A Kafka to talk to."""

    @property
    def bootstrap(self) -> str: ...


class GivenKafka:
    """The Kafka of HANDOFF_KAFKA__BOOTSTRAP: not ours to stop."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HasBootstrap]:
    """A Kafka with one broker, shared by the run. Tests that stop or pause a broker start one of their own."""
    given = os.environ.get("HANDOFF_KAFKA__BOOTSTRAP")
    if given:
        yield GivenKafka(given)
        return
    cluster = EmbeddedKafka(tmp_path_factory.mktemp("kafka"), quick=True)
    try:
        cluster.start()
    except (JarsUnavailable, NotStarted) as error:
        pytest.fail(f"the embedded Kafka did not start: {error}", pytrace=False)
    try:
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """A Redis, shared by the run: each test keeps to its own key prefix or database."""
    with EmbeddedRedis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def topic_names() -> TopicNames:
    """Unique topic names for this test."""
    return TopicNames()
