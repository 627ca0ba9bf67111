"""Topics for one test on the shared Kafka, and waiting for what the cluster knows."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from uuid import uuid4

from confluent_kafka.admin import AdminClient, NewTopic

Shape = tuple[int, Mapping[str, str]]


def wait_for(condition: Callable[[], bool], seconds: float = 20.0, what: str = "the condition") -> None:
    """Return once `condition()` holds; AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come about in {seconds} s"
        time.sleep(0.02)


def make_topics(bootstrap: str, topics: Mapping[str, Shape], *, replication: int = 1) -> None:
    """Create topics, `{name: (partitions, configs)}`, and wait until every partition has a leader in the metadata."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    wanted = [
        NewTopic(name, num_partitions=partitions, replication_factor=replication, config=dict(configs))
        for name, (partitions, configs) in topics.items()
    ]
    for future in admin.create_topics(wanted, operation_timeout=20).values():
        future.result(timeout=30)

    def known() -> bool:
        seen = admin.list_topics(timeout=10).topics
        return all(
            name in seen
            and len(seen[name].partitions) == partitions
            and all(partition.leader >= 0 for partition in seen[name].partitions.values())
            for name, (partitions, _) in topics.items()
        )

    wait_for(known, what="the topics' metadata")


class TopicNames:
    """Names that no other test has: `names("adt.raw.v1")` is the same all through one test."""

    def __init__(self) -> None:
        self.suffix = uuid4().hex[:8]

    def __call__(self, name: str) -> str:
        return f"{name}.{self.suffix}"
