"""State store: the committed rows of one partition, and when each is due.

Rows are kept in the form of the changelog, the envelope: schema version, due time (ms UTC) and what the stage encoded,
three msgpack values in sequence. A restore therefore stores bytes without decoding them, and the heap of due rows is
built from the envelopes alone.

`RowStore` is the interface that deciding and the engine use. `MemoryStore` keeps rows in memory; `RocksStore`
(streams/engine/rocksdb.py) keeps them on local disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import heapify, heappop, heappush
from struct import Struct
from typing import Any, Final, Protocol

import msgspec

from agents.runtime.contract import Emit, Stage

NEVER: Final = 2**63 - 1
CLOCK_KEY: Final = b"\x00clock"
"""Changelog key of a partition's clock. No row key begins with a zero byte."""

_HEAD: Final = Struct(">BBq")
HEAD_BYTES: Final = _HEAD.size
"""What an envelope adds to an encoded row."""
_INT64: Final = 0xD3
_DUE: Final = slice(2, HEAD_BYTES)
_NEVER_BYTES: Final = NEVER.to_bytes(8, "big")


class Unreadable(Exception):
    """A changelog record that no version wrote, or that this version does not read."""


class Fault(msgspec.Struct, frozen=True):
    """One record that was set aside: what is logged about it. Never holds content of the record."""

    code: str
    place: str
    source: str
    """Coordinates of the record."""
    bug: bool = False
    """The fault is in our code: `error` is the exception's type and `where` the innermost line of code."""
    error: str = ""
    where: str = ""


class ChunkResult(msgspec.Struct, frozen=True):
    """The result of deciding one chunk. It takes effect when `RowStore.apply_committed` applies it."""

    changed: dict[str, bytes | None]
    """Row key -> envelope, None for a removed row: what goes to the changelog."""
    rows: dict[str, Any]
    """The same rows, decoded: the next chunk reads them while this one is being committed."""
    emits: list[Emit]
    clock: int
    """Ms UTC."""
    ticked: int
    """The clock (ms UTC) at the last tick of the chunk, or -1 when there was none."""
    faults: list[Fault]
    records: int
    clamped_stamps: int
    """Stamps and ticks that lay too far ahead of their append time and were clamped to it."""
    due_decided: int
    """Rows decided because they were due."""
    forwarded: int = 0
    """Records written again to the partition of their key."""


def envelope(schema: int, due: int | None, row: bytes) -> bytes:
    """The envelope of an encoded row; `due` in ms UTC, None for never."""
    return _HEAD.pack(schema, _INT64, NEVER if due is None else due) + row


def version_of(stored: bytes) -> int:
    """The schema version of an envelope."""
    return stored[0]


def row_of(stage: Stage, stored: bytes) -> Any:
    """The decoded row of an envelope. Raises Unreadable for a version that the stage does not read.

    A row of an earlier version goes through the stage's upcasters, each time it is read, until it is written anew.
    """
    body, version = stored[HEAD_BYTES:], stored[0]
    if version != stage.schema:
        check_version(version, stage.schema, stage.oldest)
        for step in stage.upcasters[version - stage.schema :]:
            body = step(body)
    return stage.decode(body)


def check_version(version: int, newest: int, oldest: int) -> None:
    """Raises Unreadable, with the remedy, when rows of that version cannot be read."""
    if version > newest:
        raise Unreadable(
            f"a row of schema version {version}; this version reads up to {newest}: run the version that wrote it"
        )
    if version < oldest:
        raise Unreadable(
            f"a row of schema version {version}; this version reads from {oldest} on: run a version in between first"
        )


def due_of(stored: bytes) -> int:
    """The due time of an envelope (ms UTC), or `NEVER`."""
    return int.from_bytes(stored[_DUE], "big", signed=True)


def clock_envelope(clock: int) -> bytes:
    """The envelope of a partition's clock (ms UTC)."""
    return _HEAD.pack(0, _INT64, clock)


def check_row(value: bytes, schema: int, oldest: int) -> None:
    """Raises Unreadable unless a changelog value is a row of a version from `oldest` to `schema`."""
    if len(value) < HEAD_BYTES or value[1] != _INT64:
        raise Unreadable("a changelog record that is not a row")
    check_version(value[0], schema, oldest)


class RowStore(Protocol):
    """One partition's rows as of the last committed transaction, and its clock (ms UTC)."""

    clock: int
    all_due: bool
    """Every row is due at the next tick, because the clock was set back (`set_back`)."""

    def __len__(self) -> int: ...

    def get(self, key: str) -> bytes | None:
        """The envelope of a row, None when there is none."""
        ...

    def items(self) -> Iterable[tuple[str, bytes]]:
        """(key, envelope) of all rows, in no order."""
        ...

    def due(self, clock: int) -> Iterator[tuple[int, str]]:
        """(due time, key) of every row due at `clock`, in no order."""
        ...

    def restore(self, key: bytes, value: bytes | None, schema: int, oldest: int = 0) -> None:
        """Apply one changelog record; `finish_restore` must follow the last. Raises Unreadable for a row of a version
        that is not from `oldest` to `schema`."""
        ...

    def advance(self, position: int) -> None:
        """All changelog records before offset `position` have been applied."""
        ...

    def finish_restore(self) -> None:
        """The last changelog record has been applied; `due` may be called from now on."""
        ...

    def set_back(self, clock: int) -> None:
        """Set a clock that ran ahead of real time back to `clock` (ms UTC), and make every row due once."""
        ...

    def apply_committed(self, result: ChunkResult, position: int | None = None) -> None:
        """Apply what a committed transaction wrote; `position` is the changelog offset after it, where known."""
        ...

    def close(self) -> None:
        """Release all resources; the store is not used afterwards."""
        ...


class MemoryStore:
    """Rows in memory, with a heap of their due times.

    The heap may contain stale entries: (due time, key) of a row whose due time has changed since. An entry is valid if
    the row's envelope has the same due time. Every row that has a due time has a valid entry.
    """

    __slots__ = ("all_due", "clock", "envelopes", "heap")

    def __init__(self) -> None:
        self.envelopes: dict[str, bytes] = {}
        self.heap: list[tuple[int, str]] = []
        self.clock = 0
        self.all_due = False

    def __len__(self) -> int:
        return len(self.envelopes)

    def get(self, key: str) -> bytes | None:
        """The envelope of a row, None when there is none."""
        return self.envelopes.get(key)

    def items(self) -> Iterable[tuple[str, bytes]]:
        """(key, envelope) of all rows, in no order."""
        return self.envelopes.items()

    def advance(self, position: int) -> None:
        """Does nothing: memory does not outlive the worker, so the position is not needed."""

    def close(self) -> None:
        """Does nothing: there is only memory to release."""

    def restore(self, key: bytes, value: bytes | None, schema: int, oldest: int = 0) -> None:
        """Apply one changelog record; `finish_restore` must follow the last. Raises Unreadable."""
        if key == CLOCK_KEY:
            if value is not None:
                # The last one, not the largest: a clock that ran ahead was set back.
                self.clock = due_of(value)
            return
        if value is None:
            self.envelopes.pop(key.decode(), None)
            return
        check_row(value, schema, oldest)
        self.envelopes[key.decode()] = value

    def finish_restore(self) -> None:
        """Build the heap anew from the rows."""
        self.heap = [(due_of(row), key) for key, row in self.envelopes.items() if row[_DUE] != _NEVER_BYTES]
        heapify(self.heap)

    def due(self, clock: int) -> Iterator[tuple[int, str]]:
        """(due time, key) of every row due at `clock`, in no order. The heap is walked from its top and not changed."""
        if self.all_due:
            yield from ((0, key) for key in self.envelopes)
            return
        heap, envelopes = self.heap, self.envelopes
        waiting = [0]
        while waiting:
            index = waiting.pop()
            if index >= len(heap) or heap[index][0] > clock:
                continue
            due, key = heap[index]
            row = envelopes.get(key)
            if row is not None and due_of(row) == due:
                yield due, key
            waiting += (2 * index + 1, 2 * index + 2)

    def set_back(self, clock: int) -> None:
        """Set the clock back and make every row due once."""
        self.clock, self.all_due = clock, True

    def apply_committed(self, result: ChunkResult, position: int | None = None) -> None:  # noqa: ARG002
        """Apply what a committed transaction wrote."""
        envelopes, heap = self.envelopes, self.heap
        for key, row in result.changed.items():
            if row is None:
                envelopes.pop(key, None)
                continue
            before = envelopes.get(key)
            envelopes[key] = row
            due = row[_DUE]
            if due != _NEVER_BYTES and (before is None or before[_DUE] != due):
                heappush(heap, (int.from_bytes(due, "big", signed=True), key))
        self.clock = max(self.clock, result.clock)
        if result.ticked >= 0:
            self.all_due = False
            self._drop_stale(result.ticked)
        if len(heap) > 2 * len(envelopes) + 1024:
            self.finish_restore()

    def _drop_stale(self, clock: int) -> None:
        """Remove stale and repeated entries up to `clock` from the heap."""
        heap, envelopes = self.heap, self.envelopes
        valid: set[tuple[int, str]] = set()
        while heap and heap[0][0] <= clock:
            entry = heappop(heap)
            row = envelopes.get(entry[1])
            if row is not None and due_of(row) == entry[0]:
                valid.add(entry)
        for entry in valid:
            heappush(heap, entry)


def decoded(rows: RowStore, stage: Stage) -> dict[str, Any]:
    """All rows by key, decoded: for replays and tests."""
    return {key: row_of(stage, row) for key, row in rows.items()}
