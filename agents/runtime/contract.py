"""What a stage is, to the engine that runs it: records in, a row, emits out. Everything here is pure.

The engine owns Kafka, rows and transactions; a stage owns meaning. `decide` is called with one record at a time, in log
order, and must not look at a clock, at the network, or at anything but its arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from agents.topics import TICKS


class Record(msgspec.Struct, frozen=True, gc=False):
    """One Kafka record. `timestamp` is the broker's append time in milliseconds UTC; headers hold bytes."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: Mapping[str, bytes] = {}
    stored: str = ""
    """The topic as the cluster calls it, where that is another name than the one decisions know (`agents.topics`)."""

    @property
    def coordinates(self) -> str:
        """`topic/partition/offset`: how this record is named in evidence, logs and dead letters."""
        return f"{self.stored or self.topic}/{self.partition}/{self.offset}"


class Emit(msgspec.Struct, frozen=True, gc=False):
    """One record to write, in the same transaction as the row and the input's position.

    `partition` None leaves the choice to the key (murmur2, as Java's clients do).
    """

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    partition: int | None = None


class Context(msgspec.Struct, frozen=True):
    """What a decision may know beside its row and record.

    `now`: the partition's clock, milliseconds UTC: the largest `received` or tick decided so far, this record's own
    included. It never runs backwards. `lookups`: answers to `Stage.lookups` for the whole chunk (None when the
    directory could not be asked: the decision must then say `directory-unavailable`).
    """

    now: int
    lookups: Mapping[str, str | None] | None = None
    again: bool = False
    """A tick after the clock was set back: judge the row though it is not due."""


class TooCostly(BaseException):
    """Raised into a decision that takes too long. No code between the timer and the chunk may catch it."""


class Progress:
    """How many records of a chunk have been begun. The engine reads it while a chunk is decided."""

    __slots__ = ("records",)

    def __init__(self) -> None:
        self.records = 0


Decide = Callable[[Any, Record, Context], tuple[Any, list[Emit]]]
"""(row or None, record, context) -> (row, emits). Returning the same row object means "nothing changed"; returning None
removes the row. Raises `Refusal` when the record cannot be taken; anything else that is raised is a bug of ours."""


Upcaster = Callable[[bytes], bytes]
"""One step between row versions: what the stage encoded as version v, as version v + 1 would have encoded it. Pure, and
never changed once released. A field that is new gets the value that means "not known yet"."""


class Stage(msgspec.Struct, frozen=True):
    """A stage as the engine runs it.

    `row_key(record)` names the row that a record is for, or raises `Refusal`. `lookups(record)` lists the directory
    questions a record brings (asked once per chunk, in one pipeline). `next_due(row)` is the time (ms UTC) at which the
    row wants a tick though no record came, or None. A tick is a record of topic `clock.ticks.v1` with the row's key.
    `dead_letters` is the topic that refused records go to.
    """

    name: str
    inputs: tuple[str, ...]
    changelog: str
    outputs: tuple[str, ...]
    dead_letters: str
    row_key: Callable[[Record], str]
    decide: Decide
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]
    next_due: Callable[[Any], int | None]
    lookups: Callable[[Record], Iterable[str]]
    ticks: bool = True
    """Whether the owner of a partition produces ticks to it (the member stage's does)."""
    impair: Callable[[Any], Any] | None = None
    """Marks a row as missing a record that a bug of ours kept out (same object: it says so already)."""
    schema: int = 1
    """Version of the rows that `encode` writes and `decode` reads, 1 to 127."""
    upcasters: tuple[Upcaster, ...] = ()
    """How rows of earlier versions are read: the last turns version `schema - 1` into `schema`, the one before it
    `schema - 2` into `schema - 1`, and so on. A row that is older than the first, or later than `schema`, stops the
    worker from starting."""
    clock: str = TICKS
    """The topic of its ticks."""

    @property
    def oldest(self) -> int:
        """The earliest version of rows that can be read."""
        return self.schema - len(self.upcasters)


def received_of(record: Record) -> int:
    """When the gateway took the fact this record carries (ms UTC): its `received` header, else the append time."""
    stamp = record.headers.get("received")
    if stamp is not None and len(stamp) < 16 and stamp.isdigit():
        return int(stamp)
    return record.timestamp
