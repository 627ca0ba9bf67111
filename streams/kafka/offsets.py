"""Offsets: where logs begin and end, and the positions that groups have committed."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Final

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from streams.kafka.settings import KafkaSettings

SECONDS: Final = 10.0
_AGAIN_SECONDS: Final = 0.1
_LEADER_CHANGES: Final = frozenset(
    (
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.OFFSET_NOT_AVAILABLE,
    )
)
"""Answers to ListOffsets while a partition's leader is being elected or is new (Kafka protocol: retriable)."""
Place = tuple[str, int]
"""Topic (as the cluster calls it) and partition."""


class TopicMissing(Exception):
    """The cluster does not have this topic."""


def admin_client(kafka: KafkaSettings) -> AdminClient:
    """An admin client that logs nothing: what goes wrong is raised to the caller."""
    return AdminClient({**kafka.librdkafka(), "log_level": 0})


def places_of(
    client: AdminClient | Consumer, topics: Sequence[str], *, missing_ok: bool = False, seconds: float = SECONDS
) -> list[Place]:
    """Every partition of the topics. Raises TopicMissing unless `missing_ok`, and KafkaException."""
    known = client.list_topics(timeout=seconds).topics
    present = [topic for topic in topics if topic in known and known[topic].error is None]
    if len(present) < len(topics) and not missing_ok:
        raise TopicMissing(", ".join(topic for topic in topics if topic not in present))
    return [(topic, number) for topic in present for number in sorted(known[topic].partitions)]


def starts(admin: AdminClient, places: Iterable[Place], *, seconds: float = SECONDS) -> dict[Place, int]:
    """The first offset that each log still has. Raises KafkaException."""
    return _offsets(admin, places, OffsetSpec.earliest(), IsolationLevel.READ_UNCOMMITTED, seconds)


def ends(
    admin: AdminClient, places: Iterable[Place], *, committed: bool = True, seconds: float = SECONDS
) -> dict[Place, int]:
    """The offset after each log's last record, or its last transaction marker. Raises KafkaException.

    `committed`: up to the first transaction that is still open; otherwise the high watermark, which counts those too.
    """
    level = IsolationLevel.READ_COMMITTED if committed else IsolationLevel.READ_UNCOMMITTED
    return _offsets(admin, places, OffsetSpec.latest(), level, seconds)


def committed(consumer: Consumer, places: Iterable[Place], *, seconds: float = SECONDS) -> dict[Place, int | None]:
    """Positions that the consumer's group has committed, None where it has not. Raises KafkaException.

    A position that an open transaction may still move is waited for.
    """
    asked = [TopicPartition(*place) for place in places]
    found: dict[Place, int | None] = {}
    for part in consumer.committed(asked, timeout=seconds) if asked else ():
        if part.error is not None:
            raise KafkaException(part.error)
        found[part.topic, part.partition] = part.offset if part.offset >= 0 else None
    return found


def topic_id(admin: AdminClient, topic: str, *, seconds: float = SECONDS) -> str:
    """Kafka's own ID of a topic: one created again under the same name has another. Raises KafkaException."""
    described = admin.describe_topics(TopicCollection([topic]), request_timeout=seconds)[topic].result(seconds)
    return str(described.topic_id)


def _offsets(
    admin: AdminClient, places: Iterable[Place], spec: OffsetSpec, level: IsolationLevel, seconds: float
) -> dict[Place, int]:
    """Offset of each partition. One whose leader changes, as after its topic was created, is asked again."""
    found: dict[Place, int] = {}
    asked = [TopicPartition(*place) for place in places]
    deadline = time.monotonic() + seconds
    while asked:
        answers = admin.list_offsets(dict.fromkeys(asked, spec), isolation_level=level, request_timeout=seconds)
        asked = []
        for part, answer in answers.items():
            try:
                found[part.topic, part.partition] = int(answer.result(seconds).offset)
            except KafkaException as error:
                if error.args[0].code() not in _LEADER_CHANGES or time.monotonic() >= deadline:
                    raise
                asked.append(part)
        if asked:
            time.sleep(_AGAIN_SECONDS)
    return found
