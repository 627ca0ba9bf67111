"""The committed rows of one partition, and which of them want a tick.

Rows are kept as they stand in the changelog: a sealed row is the schema version, the time it is due, and what the stage
encoded, three msgpack values in a row. So a restore stores bytes without reading them, and the heap of due rows can be
built without decoding one.

`Rows` is all that deciding and the engine ask of them. `MemoryStore` keeps them in memory; the engine has another
that keeps them on local disk (streams/engine/rocksdb.py).
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
"""Changelog key under which a partition's clock stands. No row key begins with a zero byte."""

_HEAD: Final = Struct(">BBq")
_INT64: Final = 0xD3
_BODY: Final = _HEAD.size
_DUE: Final = slice(2, _BODY)
_NEVER_BYTES: Final = NEVER.to_bytes(8, "big")


class Unreadable(Exception):
    """A changelog record that no version can have written, or one that this version does not read."""


class Fault(msgspec.Struct, frozen=True):
    """One record that did not go through: what is logged about it. Holds nothing that the record said."""

    code: str
    place: str
    source: str
    """Coordinates of the record."""
    bug: bool = False
    """Our fault, not theirs: `error` is then the exception's type and `where` the innermost line of code."""
    error: str = ""
    where: str = ""


class ChunkResult(msgspec.Struct, frozen=True):
    """What deciding one chunk comes to. Nothing of it holds until `apply_committed` takes it."""

    changed: dict[str, bytes | None]
    """Row key to sealed row, None for a row that is gone: what the changelog must be told."""
    rows: dict[str, Any]
    """The same rows, decoded: what the next chunk builds on while this one is being committed."""
    emits: list[Emit]
    clock: int
    ticked: int
    """The clock at the last tick of the chunk, or -1 when there was none."""
    faults: list[Fault]
    records: int
    clamped_stamps: int
    """Stamps and ticks that lay too far ahead of their append time and were held to it."""
    due_decided: int
    """Rows decided because they were due."""


def envelope(schema: int, due: int | None, row: bytes) -> bytes:
    """A row as the changelog holds it."""
    return _HEAD.pack(schema, _INT64, NEVER if due is None else due) + row


def body_of(sealed: bytes) -> bytes:
    """What the stage encoded, in the version that `version_of` tells."""
    return sealed[_BODY:]


def version_of(sealed: bytes) -> int:
    """The schema version that the row was written in."""
    return sealed[0]


def row_of(stage: Stage, sealed: bytes) -> Any:
    """The row, whichever version wrote it: an earlier one is brought up step by step, at each reading until the row
    changes and is written anew. Raises Unreadable for a version that the stage does not read.
    """
    body, version = sealed[_BODY:], sealed[0]
    if version != stage.schema:
        check_version(version, stage.schema, stage.oldest)
        for step in stage.upcasters[version - stage.schema :]:
            body = step(body)
    return stage.decode(body)


def check_version(version: int, newest: int, oldest: int) -> None:
    """Raises Unreadable, saying what to do, when rows of that version cannot be read."""
    if version > newest:
        raise Unreadable(
            f"a row of schema version {version}; this version reads up to {newest}: run the version that wrote it"
        )
    if version < oldest:
        raise Unreadable(
            f"a row of schema version {version}; this version reads from {oldest} on: run a version in between first"
        )


def due_of(sealed: bytes) -> int:
    """When the row wants a tick (ms UTC), or `NEVER`."""
    return int.from_bytes(sealed[_DUE], "big", signed=True)


def clock_envelope(clock: int) -> bytes:
    """A partition's clock as the changelog holds it."""
    return _HEAD.pack(0, _INT64, clock)


def check_row(value: bytes, schema: int, oldest: int) -> None:
    """Whether a changelog record is a row of a version from `oldest` to `schema`. Raises Unreadable."""
    if len(value) < _BODY or value[1] != _INT64:
        raise Unreadable("a changelog record that is no row")
    check_version(value[0], schema, oldest)


class RowStore(Protocol):
    """One partition's rows as of the last committed transaction, and its clock (ms UTC)."""

    clock: int
    again: bool
    """Every row is due at the next tick: the clock was set back (`set_back`)."""

    def __len__(self) -> int: ...

    def get(self, key: str) -> bytes | None:
        """A sealed row, None when there is none."""
        ...

    def items(self) -> Iterable[tuple[str, bytes]]:
        """All sealed rows by key, in no order."""
        ...

    def due(self, clock: int) -> Iterator[tuple[int, str]]:
        """(due time, key) of every row due at `clock`, in no order."""
        ...

    def restore(self, key: bytes, value: bytes | None, schema: int, oldest: int = 0) -> None:
        """Take one changelog record; rows of versions from `oldest` to `schema` are read. Raises Unreadable."""
        ...

    def advance(self, position: int) -> None:
        """All changelog records before offset `position` have been taken."""
        ...

    def finish_restore(self) -> None:
        """The last record has been taken: `due` may be asked from now on."""
        ...

    def set_back(self, clock: int) -> None:
        """Set a clock that ran ahead of real time back to `clock` (ms UTC), and make every row due once."""
        ...

    def apply_committed(self, result: ChunkResult, position: int | None = None) -> None:
        """Take what a committed transaction wrote; `position`, where told, is the changelog's offset after it."""
        ...

    def close(self) -> None:
        """Let go of whatever is held for the rows; they are not used afterwards."""
        ...


class MemoryStore:
    """Rows in memory, and their heap of due rows.

    The heap may hold entries that no longer hold (the row has another due time since); an entry is right when it says
    what the row says. Every row that is ever due has a right entry.
    """

    __slots__ = ("again", "clock", "heap", "sealed")

    def __init__(self) -> None:
        self.sealed: dict[str, bytes] = {}
        self.heap: list[tuple[int, str]] = []
        self.clock = 0
        self.again = False

    def __len__(self) -> int:
        return len(self.sealed)

    def get(self, key: str) -> bytes | None:
        """A sealed row, None when there is none."""
        return self.sealed.get(key)

    def items(self) -> Iterable[tuple[str, bytes]]:
        """All sealed rows by key, in no order."""
        return self.sealed.items()

    def advance(self, position: int) -> None:
        """Nothing to do: memory does not outlive the worker, so it need not know how far it has come."""

    def close(self) -> None:
        """Nothing is held but memory."""

    def restore(self, key: bytes, value: bytes | None, schema: int, oldest: int = 0) -> None:
        """Take one changelog record; `finish_restore` must follow the last. Raises Unreadable."""
        if key == CLOCK_KEY:
            if value is not None:
                self.clock = max(self.clock, due_of(value))
            return
        if value is None:
            self.sealed.pop(key.decode(), None)
            return
        check_row(value, schema, oldest)
        self.sealed[key.decode()] = value

    def finish_restore(self) -> None:
        """Build the heap anew from the rows."""
        self.heap = [(due_of(row), key) for key, row in self.sealed.items() if row[_DUE] != _NEVER_BYTES]
        heapify(self.heap)

    def due(self, clock: int) -> Iterator[tuple[int, str]]:
        """Rows that are due at `clock`, in no order; the heap stays as it is."""
        if self.again:
            yield from ((0, key) for key in self.sealed)
            return
        heap, sealed = self.heap, self.sealed
        waiting = [0]
        while waiting:
            index = waiting.pop()
            if index >= len(heap) or heap[index][0] > clock:
                continue
            due, key = heap[index]
            row = sealed.get(key)
            if row is not None and due_of(row) == due:
                yield due, key
            waiting += (2 * index + 1, 2 * index + 2)

    def set_back(self, clock: int) -> None:
        """Set the clock back and make every row due once."""
        self.clock, self.again = clock, True

    def apply_committed(self, result: ChunkResult, position: int | None = None) -> None:  # noqa: ARG002
        """Take what a committed transaction wrote; the position does not matter to memory."""
        sealed, heap = self.sealed, self.heap
        for key, row in result.changed.items():
            if row is None:
                sealed.pop(key, None)
                continue
            before = sealed.get(key)
            sealed[key] = row
            due = row[_DUE]
            if due != _NEVER_BYTES and (before is None or before[_DUE] != due):
                heappush(heap, (int.from_bytes(due, "big", signed=True), key))
        self.clock = max(self.clock, result.clock)
        if result.ticked >= 0:
            self.again = False
            self._drop_stale(result.ticked)
        if len(heap) > 2 * len(sealed) + 1024:
            self.finish_restore()

    def _drop_stale(self, clock: int) -> None:
        """Clear the due end of the heap of entries that no longer hold and of repeats."""
        heap, sealed = self.heap, self.sealed
        right: set[tuple[int, str]] = set()
        while heap and heap[0][0] <= clock:
            entry = heappop(heap)
            row = sealed.get(entry[1])
            if row is not None and due_of(row) == entry[0]:
                right.add(entry)
        for entry in right:
            heappush(heap, entry)


def decoded(rows: RowStore, stage: Stage) -> dict[str, Any]:
    """All rows by key, decoded: for the end of a replay."""
    return {key: row_of(stage, row) for key, row in rows.items()}
