"""Committed rows: what a changelog record comes to, and that every due row is found however rows change."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.runtime.store import (
    CLOCK_KEY,
    HEAD_BYTES,
    NEVER,
    ChunkResult,
    MemoryStore,
    Unreadable,
    clock_envelope,
    due_of,
    envelope,
)


def result(changed: dict[str, bytes | None], *, clock: int = 0, ticked: int = -1) -> ChunkResult:
    return ChunkResult(changed, {}, [], clock, ticked, [], len(changed), 0, 0)


def test_a_sealed_row_says_when_it_is_due_and_keeps_its_body() -> None:
    assert (due_of(envelope(3, 1_764_000_000_000, b"body")), envelope(3, None, b"body")[HEAD_BYTES:]) == (
        1_764_000_000_000,
        b"body",
    )
    assert due_of(envelope(3, None, b"")) == NEVER
    assert due_of(envelope(3, -5, b"")) == -5


def test_changelog_records_are_taken_as_they_stand() -> None:
    rows = MemoryStore()
    rows.restore(b"a", envelope(1, 5, b"1"), schema=1)
    rows.restore(b"b", envelope(0, None, b"1"), schema=1)
    rows.restore(b"a", envelope(1, 7, b"2"), schema=1)
    rows.restore(b"b", None, schema=1)
    rows.restore(b"never-there", None, schema=1)
    rows.restore(CLOCK_KEY, clock_envelope(50), schema=1)
    rows.restore(CLOCK_KEY, clock_envelope(40), schema=1)
    rows.restore(CLOCK_KEY, None, schema=1)
    rows.finish_restore()
    assert rows.envelopes == {"a": envelope(1, 7, b"2")}
    assert rows.clock == 40
    assert list(rows.due(6)) == []
    assert list(rows.due(7)) == [(7, "a")]


@pytest.mark.parametrize("value", [b"", b"\x01\xd3", b"\x01\x01" + bytes(9), envelope(2, None, b"")])
def test_what_this_version_cannot_read_is_refused(value: bytes) -> None:
    with pytest.raises(Unreadable):
        MemoryStore().restore(b"a", value, schema=1)


def test_a_result_moves_the_clock_on_only() -> None:
    rows = MemoryStore()
    rows.apply_committed(result({}, clock=9))
    rows.apply_committed(result({}, clock=5))
    assert rows.clock == 9


keys = st.sampled_from("abcd")
changes = st.dictionaries(keys, st.one_of(st.none(), st.just(NEVER), st.integers(0, 20)), max_size=4)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(changes, st.one_of(st.just(-1), st.integers(0, 20))), max_size=25))
def test_the_due_rows_are_those_whose_time_has_come(steps: list[tuple[dict[str, int | None], int]]) -> None:
    rows, model = MemoryStore(), dict[str, int]()
    for changed, ticked in steps:
        sealed: dict[str, bytes | None] = {}
        for key, due in changed.items():
            if due is None:
                model.pop(key, None)
                sealed[key] = None
            else:
                model[key] = due
                sealed[key] = envelope(1, None if due == NEVER else due, b"")
        rows.apply_committed(result(sealed, ticked=ticked))
        for clock in (0, 7, 20):
            assert set(rows.due(clock)) == {(due, key) for key, due in model.items() if due <= clock}


def test_the_heap_does_not_grow_with_changes() -> None:
    rows = MemoryStore()
    for due in range(10_000):
        rows.apply_committed(result({"a": envelope(1, due, b"")}))
    assert len(rows.heap) < 2_000
    assert list(rows.due(NEVER - 1)) == [(9_999, "a")]
