"""Checkpoints: a good one saves reading, a bad one is never believed."""

from __future__ import annotations

import stat
import time
from pathlib import Path
from threading import Event

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.runtime.store import MemoryStore, decoded, envelope
from streams.engine import checkpoint
from streams.engine.checkpoint import CheckpointMeta, judge
from streams.engine.restore import Local, restore
from tests.conftest import HasBootstrap
from tests.support.counted import Counted

ROWS = {f"k{number}": envelope(1, number, b"row") for number in range(5_000)}


def standing(**other: object) -> CheckpointMeta:
    now = int(time.time() * 1000)
    return msgspec.structs.replace(CheckpointMeta("topic", 3, 1, 100, 7, now, len(ROWS)), **other)


def usable(seen: CheckpointMeta) -> str:
    return judge(seen, topic_id="topic", partition=3, schema=1, start=10, end=120)


def test_rows_and_clock_come_back_and_only_the_owner_can_read_them(tmp_path: Path) -> None:
    path = checkpoint.file_of(tmp_path / "rows", "stage", 3)
    checkpoint.write(path, standing(), ROWS)
    found = checkpoint.read(path, usable)
    assert found is not None
    assert (found[0].offset, found[1].envelopes, found[1].clock) == (100, ROWS, 7)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_there_may_be_none(tmp_path: Path) -> None:
    assert checkpoint.read(tmp_path / "none", usable) is None


@pytest.mark.parametrize(
    "other",
    [
        {"topic_id": "another"},
        {"partition": 2},
        {"schema": 2},
        {"offset": 121},
        {"offset": 9},
        {"written": 0},
        {"rows": 4_999},
    ],
)
def test_one_that_stands_for_something_else_is_set_aside(tmp_path: Path, other: dict[str, object]) -> None:
    path = tmp_path / "rows"
    checkpoint.write(path, standing(**other), ROWS)
    assert checkpoint.read(path, usable) is None


def test_one_of_an_earlier_version_serves_unless_it_holds_rows_out_of_reach(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    mixed = {"a": envelope(1, None, b"1"), "b": envelope(2, None, b"2")}
    checkpoint.write(path, standing(schema=2, rows=2), mixed)

    def judged(seen: CheckpointMeta) -> str:
        return judge(seen, topic_id="topic", partition=3, schema=3, start=10, end=120)

    found = checkpoint.read(path, judged)
    assert found is not None
    assert found[1].envelopes == mixed
    assert checkpoint.read(path, judged, oldest=2) is None


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_one_that_is_torn_or_altered_is_set_aside(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "rows"
    few = dict(list(ROWS.items())[:50])
    checkpoint.write(path, standing(rows=50), few)
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        path.write_bytes(whole[:at])
    else:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :])
    assert checkpoint.read(path, usable) is None


def restored(counted: Counted, folder: Path) -> tuple[int, dict[int, MemoryStore]]:
    found: dict[int, MemoryStore] = {}
    read = restore(counted.stage, counted.kafka, range(2), found.__setitem__, cancelled=Event(), local=Local(folder))
    return read, found


@pytest.mark.kafka
def test_a_restart_reads_only_the_tail(kafka: HasBootstrap, tmp_path: Path) -> None:
    with Counted(kafka.bootstrap, partitions=2) as counted:
        counted.produce(1_000)
        slots = {0: counted.worker(checkpoint_folder=str(tmp_path), max_records=50)}
        counted.finish(slots)
        assert slots[0].stop() == 0
        read, rows = restored(counted, tmp_path)
        assert read == 0
        assert {p: decoded(each, counted.stage) for p, each in rows.items()} == counted.expected()[0]

        # Without taking a checkpoint at its end: killed. The former one is behind then.
        counted.produce(100)
        slots = {0: counted.worker(checkpoint_folder=str(tmp_path), max_records=50)}
        counted.finish(slots)
        slots[0].end()
        read, rows = restored(counted, tmp_path)
        assert 0 < read <= 120
        assert {p: decoded(each, counted.stage) for p, each in rows.items()} == counted.expected()[0]

        # One that claims what the log does not hold.
        path = checkpoint.file_of(tmp_path, counted.stage.changelog, 0)
        found = checkpoint.read(path, lambda _: "")
        assert found is not None
        checkpoint.write(path, msgspec.structs.replace(found[0], offset=found[0].offset + 10**6), found[1].envelopes)
        _, rows = restored(counted, tmp_path)
        assert {p: decoded(each, counted.stage) for p, each in rows.items()} == counted.expected()[0]
