"""Rows of earlier versions: read through the steps between, decided, and written anew only when they change."""

from __future__ import annotations

import msgspec
import pytest

from agents.runtime.chunk import decide_chunk
from agents.runtime.contract import Emit, Record, Stage
from agents.runtime.store import MemoryStore, Unreadable, decoded, envelope, row_of, version_of
from agents.topics import TICKS
from parsers.records.ticks import Tick, write_tick
from tests.support.counting import Row, counting_stage, fact

FACTS = "facts.x"


def from_1(body: bytes) -> bytes:
    """Version 1 knew a key and a count; version 2 has a chain."""
    key, count = msgspec.msgpack.decode(body)
    return msgspec.msgpack.encode([key, count, 0])


def from_2(body: bytes) -> bytes:
    """Version 3 counts from ten on, so that a row which misses a step or takes one twice shows."""
    key, count, chain, *rest = msgspec.msgpack.decode(body)
    return msgspec.msgpack.encode([key, count + 10, chain, *rest])


STAGE: Stage = msgspec.structs.replace(counting_stage("x"), schema=3, upcasters=(from_1, from_2))
OLD = {
    "a": envelope(1, None, msgspec.msgpack.encode(["a", 1])),
    "b": envelope(2, None, msgspec.msgpack.encode(["b", 2, 7])),
    "c": envelope(3, None, msgspec.msgpack.encode(["c", 30, 8])),
}


def restored(sealed: dict[str, bytes]) -> MemoryStore:
    rows = MemoryStore()
    for key, value in sealed.items():
        rows.restore(key.encode(), value, STAGE.schema)
    rows.finish_restore()
    return rows


def record(key: str, offset: int = 0, **more: object) -> Record:
    return Record(FACTS, 0, offset, key.encode(), fact(offset, key, **more), 1_000)


def test_a_restore_keeps_the_bytes_and_a_reading_brings_them_up() -> None:
    rows = restored(OLD)
    assert rows.envelopes == OLD
    assert decoded(rows, STAGE) == {"a": Row("a", 11, 0), "b": Row("b", 12, 7), "c": Row("c", 30, 8)}
    assert rows.envelopes == OLD


def test_a_changed_row_is_written_in_the_new_version_and_no_other_is() -> None:
    rows = restored(OLD)
    result = decide_chunk(STAGE, rows, [record("a"), record("c", 1)])
    assert {key: version_of(row or b"") for key, row in result.changed.items()} == {"a": 3, "c": 3}
    assert [msgspec.json.decode(emit.value or b"")["count"] for emit in result.emits] == [12, 31]
    rows.apply_committed(result)
    assert {key: version_of(row) for key, row in rows.envelopes.items()} == {"a": 3, "b": 2, "c": 3}
    assert decoded(rows, STAGE)["a"].count == 12


def test_a_row_that_a_record_does_not_change_stays_as_it_was() -> None:
    rows = restored(OLD)
    result = decide_chunk(STAGE, rows, [record("b", do="refuse")])
    assert result.changed == {}


def test_an_earlier_row_is_due_when_it_said_so() -> None:
    rows = restored(
        {
            "a": envelope(1, 50, msgspec.msgpack.encode(["a", 1])),
            "b": envelope(2, 60, msgspec.msgpack.encode(["b", 2, 7])),
            "c": envelope(3, 70, msgspec.msgpack.encode(["c", 30, 8, 70])),
        }
    )
    tick = Record(TICKS, 0, 0, b"0", write_tick(Tick(60)), 60)
    result = decide_chunk(STAGE, rows, [tick])
    assert result.due_decided == 2
    assert {key: version_of(row or b"") for key, row in result.changed.items()} == {"a": 3, "b": 3}
    rows.apply_committed(result)
    assert set(rows.due(1_000)) == {(70, "c")}


def test_deciding_in_old_and_new_bytes_ends_the_same() -> None:
    records = [record(key, number) for number, key in enumerate("abcabcc")]

    def played(rows: MemoryStore) -> tuple[dict[str, Row], list[Emit]]:
        emits: list[Emit] = []
        for each in records:
            result = decide_chunk(STAGE, rows, [each])
            rows.apply_committed(result)
            emits += result.emits
        return decoded(rows, STAGE), emits

    new = {key: envelope(3, None, STAGE.encode(row_of(STAGE, value))) for key, value in OLD.items()}
    assert played(restored(OLD)) == played(restored(new))


@pytest.mark.parametrize(("version", "what"), [(4, "reads up to 3"), (0, "from 1 on")])
def test_a_version_out_of_reach_is_refused_and_says_what_to_do(version: int, what: str) -> None:
    with pytest.raises(Unreadable, match=what):
        row_of(STAGE, envelope(version, None, b""))
