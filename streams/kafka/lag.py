"""How far each group is behind: per topic and partition, in records and in seconds.

Its clients join no group and commit nothing. One reading takes a handful of requests for all partitions together, so
several readings a second are possible.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Final, Self

import msgspec
from confluent_kafka import KafkaException, TopicPartition

from streams.kafka.consumers import peeker, reader
from streams.kafka.offsets import Place, admin_client, committed, ends, places_of, starts
from streams.kafka.read import tail
from streams.kafka.settings import KafkaSettings

_SECONDS: Final = 5.0
_PEEK_SECONDS: Final = 1.5

_NOTHING: Final = -1
"""In place of an append time: no record, at most markers of transactions."""

Waiting = tuple[str, int, int]
"""Topic, partition, and the offset from which on records wait."""


class PartitionLag(msgspec.Struct, frozen=True):
    """`committed` is None when the group never committed there; `lag` counts from the start of the log then.

    Otherwise `lag` counts from the committed position, also where the log no longer goes back that far: what was
    deleted unread is lag. `seconds` is the age of the oldest record that waits (0 when there is none).
    """

    group: str
    topic: str
    partition: int
    committed: int | None
    end: int
    lag: int
    seconds: float


class LagReading(msgspec.Struct, frozen=True):
    """One reading at `at` (ms UTC): the lag of every partition, and the number of each group's members."""

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
        self._admin = admin_client(kafka)
        # Positions are asked for through consumers that name the group and never subscribe, so that they are no members
        # of it. The admin client's own request brings the process down with a segmentation fault when a coordinator
        # moves (librdkafka 2.16 looks for a consumer's group there, and an admin client has none).
        # They read uncommitted: a committed reader would wait for a dead worker's transaction that may still move the
        # positions.
        uncommitted = {"isolation.level": "read_uncommitted"}
        self._consumers = {group: reader(kafka, group, uncommitted) for group in groups}
        self._peek = Peek(kafka)

    def read(self, now: int) -> LagReading:
        """One reading; `now` is ms UTC. Topics that do not exist are left out. Raises KafkaException."""
        places = places_of(self._admin, sorted({t for names in self._groups.values() for t in names}), missing_ok=True)
        if not places:
            return LagReading(now, (), self._members())
        last = ends(self._admin, places, seconds=_SECONDS)
        first = starts(self._admin, places, seconds=_SECONDS)
        positions = self._positions(places)
        # Records wait from the committed position on, even where some of them are no longer retained; the oldest that
        # can be looked at is the first that is.
        waiting = {
            (topic, number, max(first[topic, number], position or 0))
            for (_, topic, number), position in positions.items()
        }
        oldest = self._peek.append_times({place for place in waiting if place[2] < last[place[0], place[1]]})
        lags = [
            _lag(group, (topic, number), position, first[topic, number], last[topic, number], oldest, now)
            for (group, topic, number), position in positions.items()
        ]
        return LagReading(now, sorted(lags, key=lambda lag: (lag.group, lag.topic, lag.partition)), self._members())

    def close(self) -> None:
        """Close the connections."""
        for consumer in self._consumers.values():
            consumer.close()
        self._peek.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _positions(self, places: Sequence[Place]) -> dict[tuple[str, str, int], int | None]:
        found = {}
        for group, topics in self._groups.items():
            wanted = [place for place in places if place[0] in topics]
            for place, position in committed(self._consumers[group], wanted, seconds=_SECONDS).items():
                found[group, *place] = position
        return found

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


class Peek:
    """The first record at or after given places, by a consumer that joins no group. For one thread; `close` it."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._consumer = peeker(kafka)
        self._appended: dict[Waiting, int] = {}
        """Append times (ms UTC) of the records that waited at the last call: they do not change."""

    def with_records(self, places: set[Waiting]) -> list[Waiting]:
        """Those of the places at or after which a committed record is, not only markers of transactions."""
        return [place for place, at in self.append_times(places).items() if at != _NOTHING]

    def append_times(self, places: set[Waiting]) -> dict[Waiting, int]:
        """Append times (ms UTC) of the first record at or after each place, `_NOTHING` where none is.

        A place that does not answer in time is missing: it is looked at again at the next call.
        """
        found = {place: self._appended[place] for place in places if place in self._appended}
        asked = {(topic, number): offset for topic, number, offset in places - found.keys()}
        if asked:
            self._consumer.assign([TopicPartition(*place, offset) for place, offset in asked.items()])
            deadline = time.monotonic() + _PEEK_SECONDS
            for batch in tail(self._consumer, size=64, wait=0.1):
                for message in batch.messages:
                    place = (message.topic() or "", message.partition() or 0)
                    if place in asked:
                        found[*place, asked.pop(place)] = message.timestamp()[1]
                for place in asked.keys() & batch.ends.keys():
                    found[*place, asked.pop(place)] = _NOTHING
                if not asked or time.monotonic() > deadline:
                    break
            self._consumer.unassign()
        self._appended = {place: at for place, at in found.items() if at != _NOTHING}
        return found

    def close(self) -> None:
        """Close the connection."""
        self._consumer.close()


def _lag(
    group: str, place: Place, position: int | None, first: int, end: int, oldest: Mapping[Waiting, int], now: int
) -> PartitionLag:
    """The lag of one partition, from the committed position (the start where there is none) to the end."""
    lag = max(0, end - (first if position is None else position))
    seconds = 0.0
    appended = oldest.get((*place, max(first, position or 0)))
    if appended == _NOTHING and (position is None or position >= first):  # only markers of transactions lie between
        lag = 0
    elif lag and appended is not None and appended != _NOTHING:
        seconds = max(0.0, (now - appended) / 1000)
    return PartitionLag(group, *place, position, end, lag, round(seconds, 3))
