"""Moving co-partitioned topics to new versions with another partition count, rows included.

A key's partition is a function of its hash and the count, so a count cannot grow in place: a key would be looked for
away from its row. Here each record is copied to where its key belongs in the new version, with its headers and time; a
changelog's rows go the same way, so nothing is decided again and what the inputs no longer hold is not lost.

A copy and how far it came are written in one transaction, so it may be stopped and started at will. The order of a
key's records holds, since all of them lie in one partition of the old version. While records are copied the new topics
keep the producer's time; `finish` gives them their declared setting.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicPartition

from agents.graph import STAGES
from agents.runtime.contract import Stage
from agents.runtime.store import CLOCK_KEY, clock_envelope, due_of
from agents.topics import TICKS
from domain.errors import BadDeclaration
from streams.kafka.consumers import reader
from streams.kafka.lag import LagReader
from streams.kafka.offsets import admin_client, committed, ends, places_of, starts
from streams.kafka.produce import produce_blocking
from streams.kafka.read import snapshot, tail
from streams.kafka.settings import KafkaSettings, producer_config
from streams.shadow import APP
from streams.topics import Plan, Topic, apply, cluster_state, plan

_BATCH: Final = 5_000
_SECONDS: Final = 30.0
_TIMESTAMPS: Final = "message.timestamp.type"
Progress = Callable[[int], None]


class Move(msgspec.Struct, frozen=True):
    """One topic's way from `old` to `new`, as the cluster calls them."""

    topic: Topic
    old: str
    new: str
    partitions: int

    @property
    def copied(self) -> bool:
        """Whether its records go along. Ticks do not: a clock's past says nothing."""
        return self.topic.name != TICKS

    @property
    def changelog(self) -> bool:
        """Whether its records are rows."""
        return ".changelog." in self.topic.name


def moves(topics: Iterable[Topic], kafka: KafkaSettings, suffix: str, partitions: int) -> list[Move]:
    """What is to be moved: every declared topic of a co-partition group.

    `topics` go by their declared names. Raises BadDeclaration when an old topic is missing or a new one is of another
    shape, KafkaException when the cluster does not answer.
    """
    if not (suffix.startswith("v") and suffix[1:].isdigit()):
        raise BadDeclaration((f"--suffix {suffix}: a version is v and a number, as v2",))
    state = cluster_state(admin_client(kafka))
    found, faults = [], []
    for topic in topics:
        if topic.copartition is None:
            continue
        old = kafka.actual(topic.name)
        move = Move(topic, old, f"{topic.name.rpartition('.')[0]}.{suffix}", partitions)
        if old not in state:
            faults.append(f"topic {old} does not exist: run `handoff topics apply`")
        if move.new == old:
            faults.append(f"--suffix {suffix}: {old} is of that version already; name a later one")
        elif move.new in state and state[move.new].partitions != partitions:
            faults.append(f"topic {move.new} is there with {state[move.new].partitions} partitions, not {partitions}")
        found.append(move)
    if faults:
        raise BadDeclaration(tuple(faults))
    return found


def sizes(kafka: KafkaSettings, move: Move) -> int:
    """How many offsets the old topic spans: its records and the marks of transactions."""
    admin = admin_client(kafka)
    places = places_of(admin, [move.old])
    first = starts(admin, places)
    return sum(end - first[place] for place, end in ends(admin, places).items())


def what_is_busy(kafka: KafkaSettings, stages: Iterable[Stage]) -> list[str]:
    """Why the copy cannot be the last one: workers that run, or input that they have not taken. Ticks aside."""
    groups = {f"{APP}.{stage.name}": [topic for topic in stage.inputs if topic != stage.clock] for stage in stages}
    with LagReader(kafka, groups) as reader:
        reading = reader.read(int(time.time() * 1000))
    busy = [f"group {group} has {count} members" for group, count in reading.members.items() if count]
    for group in groups:
        left = sum(part.lag for part in reading.lags if part.group == group)
        if left:
            busy.append(f"{group} has {left} records to take")
    return busy


def copy(kafka: KafkaSettings, planned: Sequence[Move], suffix: str, progress: Progress) -> dict[str, int]:
    """Creates the new topics and copies what has not been copied yet, up to the ends as they are now.

    Gives the records copied by old topic. A second copy of the same name at the same time fences the first. Raises
    KafkaException, and BadDeclaration once the move is finished and workers have positions in the new topics.
    """
    if (done := _positions(kafka, planned)) is not None:
        raise BadDeclaration(
            (f"{done} has positions in the new topics already: the move is finished, nothing is copied",)
        )
    state = cluster_state(admin := admin_client(kafka))
    missing = [_open_for_copy(move) for move in planned if move.new not in state]
    apply(admin, Plan(create=tuple(missing), update=(), refused=(), extra=()))
    group = f"{APP}.migrate.{suffix}"
    producer = Producer(
        producer_config(kafka, **{"transactional.id": group, "transaction.timeout.ms": 60_000, "linger.ms": 20})
    )
    producer.init_transactions(_SECONDS)
    copied_of: dict[str, int] = {}
    for move in planned:
        if move.copied:
            before = sum(copied_of.values())
            copied_of[move.old] = _copy_topic(kafka, move, group, producer, _after(before, progress))
    return copied_of


def _after(before: int, progress: Progress) -> Progress:
    return lambda copied: progress(before + copied)


def finish(kafka: KafkaSettings, planned: Sequence[Move], stages: Iterable[Stage], topics: Iterable[Topic]) -> None:
    """Makes a whole copy ready to be worked on: clocks, declared settings, and last the workers' positions.

    A partition of the new version holds keys of several old ones: its clock is the latest of theirs, so it never runs
    backwards. Raises KafkaException.
    """
    names = {move.topic.name: move.new for move in planned}
    producer = Producer(producer_config(kafka))
    for move in planned:
        if move.changelog:
            clocks = (due_of(r.value) for r in snapshot(kafka, [move.topic.name]) if r.key == CLOCK_KEY and r.value)
            clock = max(clocks, default=0)
            for partition in range(move.partitions):
                producer.produce(move.new, clock_envelope(clock), CLOCK_KEY, partition)
    if producer.flush(_SECONDS):
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "the clocks were not written"))
    admin = admin_client(kafka)
    wanted = [
        msgspec.structs.replace(topic, name=names[topic.name], partitions=planned[0].partitions)
        for topic in topics
        if topic.name in names
    ]
    state = cluster_state(admin)
    apply(admin, plan(wanted, {name: each for name, each in state.items() if name in names.values()}))
    for stage in stages:
        consumer = reader(kafka, f"{APP}.{stage.name}")
        try:
            places = places_of(consumer, [names[topic] for topic in stage.inputs])
            positions = [TopicPartition(*place, end) for place, end in ends(admin, places).items()]
            consumer.commit(offsets=positions, asynchronous=False)
        finally:
            consumer.close()


def _positions(kafka: KafkaSettings, planned: Sequence[Move]) -> str | None:
    """A stage's group that has positions in the topics moved to, if all do."""
    state = cluster_state(admin_client(kafka))
    places = [(m.new, p) for m in planned if m.new in state for p in range(m.partitions)]
    if not places:
        return None
    seen = []
    for stage in STAGES:
        consumer = reader(kafka, f"{APP}.{stage.name}")
        try:
            if any(position is not None for position in committed(consumer, places, seconds=_SECONDS).values()):
                seen.append(f"{APP}.{stage.name}")
        finally:
            consumer.close()
    return seen[0] if len(seen) == len(STAGES) else None


def _open_for_copy(move: Move) -> Topic:
    configs = {**move.topic.configs, _TIMESTAMPS: "CreateTime"}
    return msgspec.structs.replace(move.topic, name=move.new, partitions=move.partitions, configs=configs)


def _copy_topic(kafka: KafkaSettings, move: Move, group: str, producer: Producer, progress: Progress) -> int:
    consumer = reader(kafka, group)
    copied = 0
    try:
        admin = admin_client(kafka)
        places = places_of(consumer, [move.old])
        until, first, done = ends(admin, places), starts(admin, places), committed(consumer, places)
        begin = {place: max(done[place] or 0, first[place]) for place in places}
        waiting = {place for place in places if begin[place] < until[place]}
        consumer.assign([TopicPartition(*place, begin[place]) for place in sorted(waiting)])
        batches = tail(consumer, size=_BATCH, wait=0.5, silence=_SECONDS)
        while waiting:
            batch = next(batches)
            if not batch.positions:
                continue
            producer.begin_transaction()
            try:
                copied += _copy(batch.messages, move, producer)
                # Behind the last record there may be marks of transactions, which are not read.
                offsets = [TopicPartition(*place, at) for place, at in batch.positions.items()]
                producer.send_offsets_to_transaction(offsets, consumer.consumer_group_metadata(), _SECONDS)
                producer.commit_transaction(_SECONDS)
            except BaseException:
                producer.abort_transaction(_SECONDS)
                raise
            waiting -= {place for place, at in batch.positions.items() if at >= until[place]}
            progress(copied)
    finally:
        consumer.close()
    return copied


def _copy(messages: Iterable[Message], move: Move, producer: Producer) -> int:
    """Hands the messages to the producer with their headers and times; returns how many. Clocks of rows stay behind."""
    copied = 0
    for message in messages:
        key, headers, stamp = message.key(), message.headers() or [], message.timestamp()[1]
        if move.changelog and key == CLOCK_KEY:
            continue
        produce_blocking(producer, move.new, message.value(), key, headers=headers, timestamp=stamp)
        copied += 1
    return copied
