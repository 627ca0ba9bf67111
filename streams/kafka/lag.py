"""How far each group is behind: per topic and partition, in records and in seconds.

Asked through clients that join no group and commit nothing. One reading takes a handful of requests for all partitions
together, so that a reader can be asked several times a second.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

import msgspec
from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from streams.kafka.settings import KafkaSettings

_SECONDS: Final = 5.0
_PEEK_SECONDS: Final = 1.5

_NOTHING: Final = -1

Place = tuple[str, int]
Waiting = tuple[str, int, int]
"""Topic, partition, and the offset from which on records wait."""


class PartitionLag(msgspec.Struct, frozen=True):
    """`committed` is None when the group never committed there; `lag` counts from the start then.

    `seconds` is the age of the oldest record that is not committed yet (0 when there is none).
    """

    group: str
    topic: str
    partition: int
    committed: int | None
    end: int
    lag: int
    seconds: float


class LagReading(msgspec.Struct, frozen=True):
    """What one look at the cluster found: `at` ms UTC, the lag of every partition, and each group's members."""

    at: int
    lags: Sequence[PartitionLag]
    members: Mapping[str, int]

    @property
    def records(self) -> int:
        """Records that wait, over all groups."""
        return sum(part.lag for part in self.lags)


class LagReader:
    """Reads the lag of `groups` (group -> the topics it reads). For one thread; a context manager, or `close` it.

    End offsets are those of `read_committed`: an open transaction does not count as lag, nor do markers.
    """

    def __init__(self, kafka: KafkaSettings, groups: Mapping[str, Sequence[str]]) -> None:
        self._groups = {group: tuple(kafka.actual(topic) for topic in topics) for group, topics in groups.items()}
        quiet = {
            **kafka.librdkafka(),
            "enable.auto.commit": False,
            "log_level": 2,  # faults are raised here, and told by whoever asks
        }
        self._admin = AdminClient({**kafka.librdkafka(), "log_level": 2})
        # Positions are asked for through consumers that name the group and never subscribe, so that they are no members
        # of it. The admin client's own request brings the process down with a segmentation fault when a coordinator
        # moves (librdkafka 2.16 looks for a consumer's group there, and an admin client has none).
        self._asking = {group: Consumer({**quiet, "group.id": group}) for group in groups}
        self._peeking = Consumer(
            {
                **quiet,
                "group.id": "handoff-lag",  # never joined: partitions are assigned by hand
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 20,
                "fetch.message.max.bytes": 16_384,
                "queued.max.messages.kbytes": 1024,
            }
        )
        self._appended: dict[Waiting, int] = {}
        """Append times (ms UTC) of the records that waited at the last reading: they do not change."""

    def read(self, now: int) -> LagReading:
        """One reading; `now` is ms UTC. Topics that do not exist are left out. Raises KafkaException."""
        topics = {topic for names in self._groups.values() for topic in names}
        known = self._admin.list_topics(timeout=_SECONDS).topics
        parts = {
            topic: [TopicPartition(topic, number) for number in known[topic].partitions]
            for topic in topics
            if topic in known and known[topic].error is None
        }
        every = [part for of_topic in parts.values() for part in of_topic]
        if not every:
            return LagReading(now, (), self._members())
        ends = self._offsets(every, OffsetSpec.latest())
        starts = self._offsets(every, OffsetSpec.earliest())
        positions: dict[tuple[str, str, int], int | None] = {}
        for group, names in self._groups.items():
            wanted = [part for name in names for part in parts.get(name, ())]
            if wanted:
                positions |= self._positions(group, wanted)
        waiting = {
            (topic, number, max(starts[topic, number], position or 0))
            for (_, topic, number), position in positions.items()
        }
        waiting = {place for place in waiting if place[2] < ends[place[0], place[1]]}
        oldest = self._peek(waiting)
        lags = []
        for (group, topic, number), position in positions.items():
            first, end = max(starts[topic, number], position or 0), ends[topic, number]
            lag, seconds = max(0, end - first), 0.0
            if lag:
                appended = oldest.get((topic, number, first))
                if appended == _NOTHING:  # only the markers of transactions lie between
                    lag = 0
                elif appended is not None:
                    seconds = max(0.0, (now - appended) / 1000)
            lags.append(PartitionLag(group, topic, number, position, end, lag, round(seconds, 3)))
        return LagReading(now, sorted(lags, key=lambda lag: (lag.group, lag.topic, lag.partition)), self._members())

    def close(self) -> None:
        """Close the connections."""
        for consumer in (*self._asking.values(), self._peeking):
            consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _offsets(self, parts: Sequence[TopicPartition], spec: Any) -> dict[Place, int]:
        found = self._admin.list_offsets(
            dict.fromkeys(parts, spec), isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=_SECONDS
        )
        return {(part.topic, part.partition): future.result().offset for part, future in found.items()}

    def _positions(self, group: str, parts: list[TopicPartition]) -> dict[tuple[str, str, int], int | None]:
        return {
            (group, part.topic, part.partition): part.offset if part.error is None and part.offset >= 0 else None
            for part in self._asking[group].committed(parts, timeout=_SECONDS)
        }

    def _members(self) -> dict[str, int]:
        """How many workers each group has; 0 for a group that does not exist yet."""
        members = {}
        for group, future in self._admin.describe_consumer_groups(list(self._groups), request_timeout=_SECONDS).items():
            try:
                members[group] = len(future.result().members)
            except KafkaException as error:
                if error.args[0].name() != "GROUP_ID_NOT_FOUND":
                    raise
                members[group] = 0
        return members

    def _peek(self, places: set[Waiting]) -> dict[Waiting, int]:
        """Append times (ms UTC) of the first record at or after each place, `_NOTHING` where none is.

        A place that does not answer in time is missing: it is asked again at the next reading.
        """
        found = {place: self._appended[place] for place in places if place in self._appended}
        asked = {(topic, number): offset for topic, number, offset in places - found.keys()}
        if asked:
            self._peeking.assign([TopicPartition(topic, number, offset) for (topic, number), offset in asked.items()])
        deadline = time.monotonic() + _PEEK_SECONDS
        while asked and time.monotonic() < deadline:
            for message in self._peeking.consume(64, timeout=0.1):
                place = (message.topic() or "", message.partition() or 0)
                error = message.error()
                if place not in asked or (error is not None and error.code() != KafkaError._PARTITION_EOF):
                    continue
                found[(*place, asked.pop(place))] = _NOTHING if error is not None else message.timestamp()[1]
        self._peeking.unassign()
        self._appended = {place: at for place, at in found.items() if at != _NOTHING}
        return found
