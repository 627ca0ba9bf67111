"""The three consumer configurations that handoff uses, by name: member, reader and peeker.

All read committed records only, and none commits by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError

from streams.kafka.settings import KafkaSettings

_CRITICAL: Final = 2
"""librdkafka's log level. Readers raise what goes wrong, so that librdkafka need not log it as well."""

BULK: Final[Mapping[str, Any]] = {
    "fetch.queue.backoff.ms": 5,
    "max.partition.fetch.bytes": 8 * 1024 * 1024,
    "fetch.max.bytes": 32 * 1024 * 1024,
    "queued.min.messages": 200_000,
    "queued.max.messages.kbytes": 128 * 1024,
    # Brokers have checked them. A restore spends a measurable part of its time on checksums otherwise.
    "check.crcs": False,
}
"""Reader tuning for a restore: as many rows a second as one thread can take (`bench restore`)."""

STEADY: Final[Mapping[str, Any]] = {
    "queued.min.messages": 10_000,
    "queued.max.messages.kbytes": 16 * 1024,
    # While the console counts up, its queue is full most of the time and empties quickly.
    "fetch.queue.backoff.ms": 10,
}
"""Reader tuning for a process that follows many topics for a long time in little memory."""


def member(
    kafka: KafkaSettings, *, group: str, instance: str, session: float, on_error: Callable[[KafkaError], None]
) -> Consumer:
    """A consumer that joins `group` as the static member `instance`, with a session time-out of `session` seconds.

    It reports the end of a partition, whose offset lies behind transaction markers, which are not records. A position
    that the log no longer has is an error (`_AUTO_OFFSET_RESET`): records would be skipped otherwise.
    """
    return Consumer(
        {
            **kafka.librdkafka(),
            "group.id": group,
            "group.instance.id": instance,
            "partition.assignment.strategy": "range",
            "isolation.level": "read_committed",
            "auto.offset.reset": "error",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            "session.timeout.ms": int(session * 1000),
            "heartbeat.interval.ms": int(session * 250),
            "max.poll.interval.ms": int(max(60.0, session * 2) * 1000),
            "fetch.wait.max.ms": 50,
            "fetch.queue.backoff.ms": 10,
            "max.partition.fetch.bytes": 4 * 1024 * 1024,
            "queued.min.messages": 20_000,
            "queued.max.messages.kbytes": 64 * 1024,
            "topic.metadata.refresh.interval.ms": 30_000,
            "error_cb": on_error,
        }
    )


def reader(kafka: KafkaSettings, group: str = "handoff.reader", tuning: Mapping[str, Any] = {}) -> Consumer:
    """A consumer of partitions that are assigned by hand, which reports the end of each (see `streams.kafka.read`).

    It joins no group. It can read and set the committed positions of `group`.
    """
    return Consumer(
        {
            **kafka.librdkafka(),
            "group.id": group,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 50,
            "log_level": _CRITICAL,
            **tuning,
        }
    )


def peeker(kafka: KafkaSettings) -> Consumer:
    """A reader of single records here and there: it fetches little, and at once."""
    return reader(
        kafka,
        "handoff.peeker",
        {"fetch.wait.max.ms": 20, "fetch.message.max.bytes": 16_384, "queued.max.messages.kbytes": 1024},
    )
