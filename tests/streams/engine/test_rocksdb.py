"""Rows on disk: the answers memory gives, nothing there that Kafka does not hold, none believed that is not whole."""

from __future__ import annotations

import signal
import stat
import subprocess
import sys
import time
from hashlib import sha512
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory
from threading import Event

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.runtime.store import ChunkResult, MemoryStore, decoded, envelope
from streams.engine.checkpoint import CheckpointMeta, judge
from streams.engine.restore import Local, ends_of, restore
from streams.engine.rocksdb import DISCARD, RocksStore
from streams.engine.rocksdb_files import open_rocks
from tests.conftest import HasBootstrap
from tests.support.counted import ROOT, Counted

NEW = CheckpointMeta("topic", 3, 1, 0, 0, 0, 0)


def usable(seen: CheckpointMeta) -> str:
    return judge(seen, topic_id="topic", partition=3, schema=1, start=10, end=120)


def opened(folder: Path, *, cache: int = 200, new: CheckpointMeta = NEW, oldest: int = 1) -> tuple[RocksStore, int]:
    return open_rocks(folder, "stage", new, usable, cache=cache, oldest=oldest)


def result(changed: dict[str, bytes | None], *, clock: int = 0, ticked: int = -1) -> ChunkResult:
    return ChunkResult(changed, {}, [], clock, ticked, [], len(changed), 0, 0)


ROWS: dict[str, bytes | None] = {
    f"k{number}": envelope(1, number, sha512(b"%d" % number).digest()) for number in range(500)
}

changes = st.dictionaries(
    st.sampled_from(["a", "b", "c", "dé", "r"]), st.one_of(st.none(), st.just("never"), st.integers(-3, 20)), max_size=4
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(changes, st.one_of(st.just(-1), st.integers(0, 20)), st.booleans()), max_size=12))
def test_it_answers_as_memory_does_closed_in_between_or_not(
    steps: list[tuple[dict[str, int | str | None], int, bool]],
) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        store, _ = opened(folder)
        memory = MemoryStore()
        for step, (changed, ticked, again) in enumerate(steps):
            sealed = {
                key: None
                if due is None
                else envelope(1, due if isinstance(due, int) else None, b"x" * 50 + bytes([step]))
                for key, due in changed.items()
            }
            for rows in (memory, store):
                rows.apply_committed(result(sealed, clock=step, ticked=ticked), 20 + step)
            if again:
                store.close()
                store, position = opened(folder)
                assert position == 20 + step
            assert dict(store.items()) == dict(memory.items())
            assert {key: store.get(key) for key in "abc"} == {key: memory.get(key) for key in "abc"}
            assert (len(store), store.clock) == (len(memory), memory.clock)
            for clock in (0, 7, 20):
                assert list(store.due(clock)) == sorted(set(memory.due(clock)))
        store.close()


def test_the_cache_keeps_to_its_bytes(tmp_path: Path) -> None:
    store, _ = opened(tmp_path, cache=1_000)
    store.apply_committed(result(ROWS), 50)
    assert 0 < sum(len(row) for row in store._hot.values()) == store._hot_bytes <= 1_000
    assert [store.get(f"k{number}") for number in range(500)] == list(ROWS.values())
    assert 0 < sum(len(row) for row in store._hot.values()) == store._hot_bytes <= 1_000
    store.close()


def test_rows_are_not_taken_without_their_position(tmp_path: Path) -> None:
    store, _ = opened(tmp_path)
    with pytest.raises(ValueError, match="position"):
        store.apply_committed(result(ROWS))
    store.close()


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    store, _ = opened(tmp_path)
    store.apply_committed(result(ROWS, clock=7), 100)
    store.close()
    return tmp_path


def test_one_that_is_whole_is_gone_on_from_and_only_the_owner_can_enter(filled: Path) -> None:
    store, position = opened(filled)
    assert (position, len(store), store.clock, dict(store.items())) == (100, 500, 7, ROWS)
    store.close()
    assert stat.S_IMODE((filled / "stage-3.rocksdb").stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "other",
    [{"topic_id": "another"}, {"partition": 2}, {"schema": 2}, {"offset": 121}, {"offset": 9}, {"written": 0}],
)
def test_one_that_stands_for_something_else_is_made_anew(tmp_path: Path, other: dict[str, object]) -> None:
    # Written as by a worker of that topic, version or time; the folder's name says partition 3 all the same.
    claimed = msgspec.structs.replace(NEW, **other)
    store, _ = open_rocks(tmp_path, "stage", claimed, lambda _: "", cache=0)
    now = int(time.time() * 1000)
    store._write(ROWS, int(str(other.get("offset", 100))), int(str(other.get("written", now))))
    store.close()
    if "partition" in other:
        (tmp_path / "stage-2.rocksdb").rename(tmp_path / "stage-3.rocksdb")
    store, position = opened(tmp_path)
    assert (position, len(store), dict(store.items())) == (0, 0, {})
    store.close()


def test_one_of_an_earlier_version_serves_unless_it_holds_rows_out_of_reach(filled: Path) -> None:
    def judged(seen: CheckpointMeta) -> str:
        return judge(seen, topic_id="topic", partition=3, schema=2, start=10, end=120)

    later = msgspec.structs.replace(NEW, schema=2)
    store, position = open_rocks(filled, "stage", later, judged, cache=0)
    assert (position, len(store)) == (100, 500)
    store.apply_committed(result({"k0": envelope(2, None, b"new")}), 101)
    store.close()
    # The version that wrote the rest is a version back: it may not read what the later one wrote.
    store, position = open_rocks(filled, "stage", later, judged, cache=0, oldest=2)
    assert (position, len(store)) == (0, 0)
    store.close()


def test_one_whose_restore_was_broken_off_is_made_anew(tmp_path: Path) -> None:
    store, _ = opened(tmp_path)
    for number in range(9_000):
        store.restore(f"k{number}".encode(), envelope(1, None, b""), 1)
        store.advance(20 + number % 100)
    assert len(store) > 0
    store.close()
    store, position = opened(tmp_path)
    assert (position, len(store)) == (0, 0)
    store.close()


def test_a_shadow_of_the_same_stage_has_stores_of_its_own(filled: Path) -> None:
    another = msgspec.structs.replace(NEW, topic_id="another")
    shadow, position = open_rocks(filled, "shadow.next.changelog", another, usable, cache=0)
    assert (position, len(shadow)) == (0, 0)
    shadow.close()
    store, position = opened(filled)
    assert (position, len(store)) == (100, 500)
    store.close()


@pytest.mark.parametrize("torn", ["CURRENT", "MANIFEST", DISCARD])
def test_one_that_cannot_be_read_is_made_anew(filled: Path, torn: str) -> None:
    path = filled / "stage-3.rocksdb"
    found = [each for each in path.iterdir() if each.name.startswith(torn)] or [path / torn]
    for each in found:
        each.write_bytes(b"nothing of the sort")
    store, position = opened(filled)
    assert (position, len(store)) == (0, 0)
    store.close()


@pytest.mark.parametrize("damaged", ["rows", "due times"])
def test_a_store_that_cannot_be_read_ends_the_worker_and_is_discarded(filled: Path, damaged: str) -> None:
    store, _ = opened(filled)
    store._database.flush()
    store.close()
    tables = list((filled / "stage-3.rocksdb").glob("*.sst"))
    assert tables
    for each in tables:
        whole = each.read_bytes()
        # In the order of keys: due times come first, then rows; the index at the end is read on opening and stays.
        at = 100 if damaged == "due times" else len(whole) // 2
        each.write_bytes(whole[:at] + bytes(byte ^ 0x55 for byte in whole[at : at + 50]) + whole[at + 50 :])
    script = (
        "import sys; from pathlib import Path; from tests.streams.engine.test_rocksdb import opened\n"
        "store, _ = opened(Path(sys.argv[1]))\n"
        "[store.get(f'k{number}') for number in range(500)] if sys.argv[2] == 'rows' else list(store.due(9999))\n"
        "print('all read')"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, str(filled), damaged],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 70, ended.stdout + ended.stderr
    assert "all read" not in ended.stdout
    store, position = opened(filled)
    assert (position, len(store)) == (0, 0)
    store.close()


def test_a_torn_log_of_writes_gives_an_earlier_state_whole(filled: Path) -> None:
    store, _ = opened(filled)
    store._database.flush()
    store.apply_committed(result({"late": envelope(1, 5, b"")}, clock=9), 110)
    # As a kill leaves it: not closed.
    copytree(filled, filled / "found")
    store.close()
    for each in (filled / "found" / "stage-3.rocksdb").glob("*.log"):
        each.write_bytes(each.read_bytes()[:-3])
    store, position = opened(filled / "found")
    assert (position, store.clock, len(store), store.get("late")) == (100, 7, 500, None)
    store.close()


def test_one_that_another_holds_is_left_alone_and_the_spare_goes_later(filled: Path) -> None:
    holder, _ = opened(filled)
    spare, position = opened(filled)
    spare.apply_committed(result({"k": envelope(1, None, b"")}), 50)
    assert (position, len(spare), len(holder)) == (0, 1, 500)
    assert len(list(filled.glob("*.spare-*"))) == 1
    third, _ = opened(filled)
    assert len(list(filled.glob("*.spare-*"))) == 2
    for store in (holder, spare, third):
        store.close()
    store, position = opened(filled)
    assert (position, len(store)) == (100, 500)
    assert list(filled.glob("*.spare-*")) == []
    store.close()


def restored(counted: Counted, local: Local) -> tuple[int, dict[int, dict[str, object]]]:
    found: dict[int, dict[str, object]] = {}

    def ready(partition: int, rows: MemoryStore) -> None:
        found[partition] = decoded(rows, counted.stage)
        rows.close()

    read = restore(counted.stage, counted.kafka, range(2), ready, cancelled=Event(), local=local)
    return read, found


@pytest.mark.kafka
@pytest.mark.parametrize("point", ["after-offsets:3", "after-commit:3"])
def test_a_kill_leaves_nothing_on_disk_that_kafka_does_not_hold(
    kafka: HasBootstrap, tmp_path: Path, point: str
) -> None:
    with Counted(kafka.bootstrap, partitions=2) as counted:
        counted.produce(1_000)
        options = {"rows": "disk", "checkpoint_folder": str(tmp_path), "max_records": 100}
        assert counted.worker(kill_at=point, **options).wait(60) == -signal.SIGKILL
        # Two transactions were committed and folded; the third was open, or committed and not folded.
        stores = {
            partition: open_rocks(
                tmp_path,
                counted.stage.changelog,
                msgspec.structs.replace(NEW, partition=partition),
                lambda _: "",
                cache=0,
            )[0]
            for partition in range(2)
        }
        counts = [decoded(store, counted.stage) for store in stores.values()]
        assert 0 < sum(row.count for rows in counts for row in rows.values()) <= 200
        for store in stores.values():
            store.close()
        counted.deaths.append(-signal.SIGKILL)
        slots = {0: counted.worker(**options)}
        counted.finish(slots)
        counted.check(f"rows on disk, kill -9 {point}", 1)
        assert slots[0].stop() == 0
        read, rows = restored(counted, Local(stores=tmp_path))
        assert read <= 4, "only what a marker leaves between the last record and the end"
        assert rows == counted.expected()[0]


@pytest.mark.kafka
def test_a_restart_reads_only_the_tail_and_an_outdated_store_catches_up(kafka: HasBootstrap, tmp_path: Path) -> None:
    with Counted(kafka.bootstrap, partitions=2) as counted:
        counted.produce(1_000)
        slots = {0: counted.worker(rows="disk", checkpoint_folder=str(tmp_path), max_records=50)}
        counted.finish(slots)
        assert slots[0].stop() == 0
        # A worker without the store continues, and removes a row.
        counted.produce(60)
        counted.produce(1, do="remove")
        slots = {0: counted.worker(max_records=50)}
        counted.finish(slots)
        assert slots[0].stop() == 0
        read, rows = restored(counted, Local(stores=tmp_path))
        assert 0 < read <= 120
        assert rows == counted.expected()[0]
        ends = ends_of(counted.kafka, counted.stage.changelog, range(2), 20.0)
        assert sum(len(each) for each in rows.values()) < 50
        # A store that is ahead of the log: the log lost what the store has.
        store, _ = open_rocks(
            tmp_path, counted.stage.changelog, msgspec.structs.replace(NEW, partition=0), lambda _: "", cache=0
        )
        store.apply_committed(result({"k-not-there": envelope(1, None, b"")}), ends.offsets[0][1] + 1)
        store.close()
        assert restored(counted, Local(stores=tmp_path))[1] == counted.expected()[0]
