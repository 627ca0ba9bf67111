"""Moving topics to a new version: each record once, in its key's order, though the copy is killed half-way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest
from confluent_kafka import Producer

from agents.runtime.contract import Record
from agents.runtime.store import CLOCK_KEY, MemoryStore, clock_envelope, envelope
from domain.errors import BadDeclaration
from streams.kafka.read import snapshot
from streams.kafka.settings import KafkaSettings, producer_config
from streams.migrate import copy, moves
from streams.topics import Topic
from tests.conftest import HasBootstrap
from tests.support.kafka import TopicNames, make_topics

pytestmark = pytest.mark.kafka

KILLED = """
import os, signal, sys
from streams import migrate as migration
from streams.kafka.settings import KafkaSettings
from tests.streams.test_migrate import topics
bootstrap, suffix = sys.argv[1:]
migration._BATCH = 50
kafka = KafkaSettings(bootstrap=bootstrap)
def progress(count):
    if count >= 100:
        os.kill(os.getpid(), signal.SIGKILL)
migration.copy(kafka, migration.moves(topics(suffix), kafka, "v2", 5), f"v2.{suffix}", progress)
"""


def topics(suffix: str) -> list[Topic]:
    names = (f"raw.{suffix}.v1", f"x.changelog.{suffix}.v1", f"out.{suffix}.v1")
    groups = ("patient", "patient", None)
    return [Topic(name, 2, 1, {}, group, "phi", ("a",), ("b",)) for name, group in zip(names, groups, strict=True)]


def by_key(records: list[Record]) -> dict[bytes | None, list[tuple[bytes | None, dict[str, bytes], int]]]:
    found = defaultdict(list)
    for each in records:
        found[each.key].append((each.value, dict(each.headers), each.timestamp))
    return dict(found)


def test_a_killed_copy_goes_on_where_it_stopped(kafka: HasBootstrap, topic_names: TopicNames) -> None:
    suffix = topic_names.suffix
    settings = KafkaSettings(bootstrap=kafka.bootstrap)
    raw, rows = (each.name for each in topics(suffix)[:2])
    shape = {"message.timestamp.type": "LogAppendTime"}
    make_topics(kafka.bootstrap, {raw: (2, shape), rows: (2, {"cleanup.policy": "compact"})})
    producer = Producer(producer_config(settings))
    for number in range(400):
        key = f"k{number % 23}".encode()
        producer.produce(raw, str(number).encode(), key, headers=[("received", str(number).encode())])
        producer.produce(rows, envelope(1, None, str(number).encode()), key)
    for partition, clock in ((0, 50), (1, 70)):
        producer.produce(rows, clock_envelope(clock), CLOCK_KEY, partition)
    assert producer.flush(30) == 0
    old = list(snapshot(settings, [raw]))

    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, kafka.bootstrap, suffix],
        env={**os.environ, "PYTHONPATH": str(root)},
        cwd=root,
        timeout=60,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    planned = moves(topics(suffix), settings, "v2", 5)
    assert [move.old for move in planned] == [raw, rows], "a topic that nothing is co-partitioned with stays"
    new_raw, new_rows = (move.new for move in planned)
    part = len(list(snapshot(settings, [new_raw])))
    assert 100 <= part < 400
    assert copy(settings, planned, f"v2.{suffix}", lambda _: None) == {raw: 400 - part, rows: 400}
    assert copy(settings, planned, f"v2.{suffix}", lambda _: None) == {raw: 0, rows: 0}

    new = list(snapshot(settings, [new_raw]))
    assert len(new) == 400
    assert by_key(new) == by_key(old)
    homes: dict[bytes | None, set[int]] = defaultdict(set)
    for each in (*new, *snapshot(settings, [new_rows])):
        homes[each.key].add(each.partition)
    assert all(len(found) == 1 for found in homes.values()), "a row lies where its key's records lie"
    assert len(set.union(*homes.values())) == 5
    state = MemoryStore()
    for each in snapshot(settings, [new_rows]):
        state.restore(each.key or b"", each.value, 1)
    assert len(state) == 23
    assert state.clock == 0, "clocks are set when the move is finished"


def test_what_stands_in_the_way_is_said(kafka: HasBootstrap, topic_names: TopicNames) -> None:
    suffix = topic_names.suffix
    settings = KafkaSettings(bootstrap=kafka.bootstrap)
    raw, rows = (each.name for each in topics(suffix)[:2])
    make_topics(kafka.bootstrap, {raw: (2, {}), raw.replace(".v1", ".v2"): (3, {})})
    with pytest.raises(BadDeclaration) as wrong:
        moves(topics(suffix), settings, "v2", 5)
    assert [fault.split(" ")[1] for fault in wrong.value.faults] == [raw.replace(".v1", ".v2"), rows]
    with pytest.raises(BadDeclaration, match="already"):
        moves(topics(suffix)[:1], settings, "v1", 2)
    with pytest.raises(BadDeclaration, match="--suffix two"):
        moves(topics(suffix), settings, "two", 2)
