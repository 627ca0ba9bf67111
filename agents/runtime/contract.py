"""The contract between a stage and the engine that runs it: records in, a row, emits out. Everything here is pure.

The engine has Kafka, rows and transactions; a stage has the meaning. `decide` is called with one record at a time, in
log order, and depends on nothing but its arguments: no clock, no network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec

from agents.topics import TICKS
from domain.errors import Refusal
from domain.times import MINUTE

AHEAD: Final = 5 * MINUTE
"""How far (ms) a `received` stamp or a tick may lie ahead of the record's append time."""


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
    """The topic's name in the cluster, where it differs from the declared name (`agents.runtime.rename`)."""

    @property
    def coordinates(self) -> str:
        """`topic/partition/offset`, as evidence, logs and dead letters name this record."""
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
    """What a decision depends on beside its row and record.

    `now`: the partition's clock (ms UTC), the largest `received` stamp or tick decided so far, this record's own
    included. It never runs backwards. `lookups`: the answers to `Stage.lookups` of the whole chunk, or None when the
    directory did not answer (the reason is then `directory-unavailable`).
    """

    now: int
    lookups: Mapping[str, str | None] | None = None
    all_due: bool = False
    """A tick after the clock was set back: every row is decided, due or not."""


class Doubtful(Refusal):
    """A record that is refused and kept all the same: the row has it, in case what it names comes later.

    Carries what the decision would have returned.
    """

    def __init__(self, code: str, place: str, row: Any, emits: list[Emit]) -> None:
        super().__init__(code, place)
        self.row, self.emits = row, emits


class TooCostly(BaseException):
    """Raised into a decision that takes too long. No code between the timer and the chunk may catch it."""


class Progress:
    """How many records of a chunk have been begun. The engine reads it while a chunk is decided."""

    __slots__ = ("records",)

    def __init__(self) -> None:
        self.records = 0


Decide = Callable[[Any, Record, Context], tuple[Any, list[Emit]]]
"""(row or None, record, context) -> (row, emits). The same row object means that nothing changed; None removes the row.
Raises `Refusal` when the record is at fault (`Doubtful`: and the row keeps it); any other exception is a fault of ours.
"""


Upcaster = Callable[[bytes], bytes]
"""One step between row versions: what the stage encoded as version v, as version v + 1 would have encoded it. Pure, and
never changed once released. A field that is new gets the value that means "not known yet"."""


class Stage(msgspec.Struct, frozen=True):
    """A stage as the engine runs it.

    `row_key(record)` is the key of the row that a record is for; it may raise `Refusal`. `lookups(record)` lists the
    keys to look up in the directory for a record (one pipeline per chunk). `next_due(row)` is the time (ms UTC) at
    which the row has to be decided though no record came, or None. The engine then passes `decide` a record of topic
    `clock` with the row's key. `dead_letters` is the topic of refused records.
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
    """Whether the worker that owns a partition produces ticks to it (the member stage's does)."""
    impair: Callable[[Any], Any] | None = None
    """Marks a row as missing a record that an error of ours kept out; the same object if it is marked already."""
    schema: int = 1
    """Version of the rows that `encode` writes and `decode` reads, 1 to 127."""
    upcasters: tuple[Upcaster, ...] = ()
    """How rows of earlier versions are read: the last turns version `schema - 1` into `schema`, the one before it
    `schema - 2` into `schema - 1`, and so on. A row that is older than the first, or later than `schema`, stops the
    worker from starting."""
    clock: str = TICKS
    """The topic of its ticks."""
    foreign: tuple[str, ...] = ()
    """Inputs that other systems write. Their clients may choose another partition for a key than ours do; such a record
    is written again to the partition of its key."""
    forwards: bool = True
    """Whether it is this stage that writes such a record again. A shadow does not: the live stage does."""

    @property
    def oldest(self) -> int:
        """The earliest version of rows that can be read."""
        return self.schema - len(self.upcasters)


def stamp_of(record: Record) -> int:
    """What a record says about when its content was received (ms UTC): its `received` header, else the append time."""
    stamp = record.headers.get("received")
    if stamp is not None and len(stamp) < 16 and stamp.isdigit():
        return int(stamp)
    return record.timestamp


def received_of(record: Record) -> int:
    """When the gateway received this record's content (ms UTC): its stamp, or the append time if it claims to be
    later by more than AHEAD."""
    at = stamp_of(record)
    return record.timestamp if at > record.timestamp + AHEAD else at
