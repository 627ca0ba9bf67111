"""A small stage that counts, for tests of the engine: everything the engine promises can be seen in what it writes.

A fact is JSON: `{"id": 7, "key": "k1"}` and, to make something happen, one of: `"do": "refuse"`, `"raise"` (a bug),
`"die"` (kills the process of a `lethal` stage; a bug otherwise), `"hang"`, `"grow"` with `"bytes"`, `"remove"`, `"due"`
with `"at"`; or a `"question"`. Each fact taken gives one output with its id and the row's count. A row's chain depends
on the order of its facts, so a row equals another only if it saw the same facts in the same order.
"""

from __future__ import annotations

import os
import signal
from threading import Event
from typing import Any
from zlib import crc32

import msgspec

from agents.runtime.contract import Context, Emit, Record, Stage
from agents.topics import TICKS
from domain.errors import Refusal


class Row(msgspec.Struct, frozen=True, array_like=True):
    """What the stage keeps for a key."""

    key: str
    count: int = 0
    chain: int = 0
    due: int | None = None
    padding: str = ""
    impaired: bool = False


class Fact(msgspec.Struct, frozen=True):
    """What a record says."""

    id: int
    key: str
    do: str = ""
    at: int = 0
    bytes: int = 0
    question: str = ""


_read = msgspec.json.Decoder(Fact).decode
_write = msgspec.json.Encoder().encode


def fact(id: int, key: str, **more: Any) -> bytes:
    """A fact as JSON."""
    return _write({"id": id, "key": key, **more})


def _fact(record: Record) -> Fact:
    try:
        return _read(record.value or b"")
    except msgspec.DecodeError as error:
        raise Refusal("unreadable", "fact") from error


def counting_stage(suffix: str, *, ticks: bool = False, partitions_ticked: bool = False, lethal: bool = False) -> Stage:
    """The stage over topics `facts.SUFFIX`, `counts.SUFFIX`, `letters.SUFFIX` and `counting.changelog.SUFFIX`.

    With `partitions_ticked` the clock's topic is an input; with `ticks` the worker produces to it.
    """
    counts = f"counts.{suffix}"

    def decide(row: Row | None, record: Record, context: Context) -> tuple[Row | None, list[Emit]]:
        if record.topic == TICKS:
            assert row is not None
            said = _write({"due": row.key, "at": row.due, "count": row.count})
            return msgspec.structs.replace(row, due=None), [Emit(counts, row.key.encode(), said)]
        said_fact = _fact(record)
        row = row or Row(said_fact.key)
        changes: dict[str, Any] = {
            "count": row.count + 1,
            "chain": crc32(said_fact.id.to_bytes(8, "big"), row.chain),
        }
        match said_fact.do:
            case "refuse":
                raise Refusal("not-wanted", "do")
            case "die" if lethal:
                os.kill(os.getpid(), signal.SIGKILL)
            case "raise" | "die":
                raise RuntimeError(f"a bug that met {said_fact.key}")
            case "hang":
                Event().wait()
            case "remove":
                return None, []
            case "due":
                changes["due"] = said_fact.at
            case "grow":
                changes["padding"] = row.padding + "x" * said_fact.bytes
        output: dict[str, Any] = {"id": said_fact.id, "count": changes["count"]}
        if said_fact.question:
            output["answer"] = "away" if context.lookups is None else context.lookups[said_fact.question]
        return msgspec.structs.replace(row, **changes), [Emit(counts, row.key.encode(), _write(output))]

    def impair(row: Row) -> Row:
        return row if row.impaired else msgspec.structs.replace(row, impaired=True)

    def questions(record: Record) -> list[str]:
        question = _fact(record).question
        return [question] if question else []

    return Stage(
        name=f"counting-{suffix}",
        inputs=(f"facts.{suffix}", *((TICKS,) if partitions_ticked else ())),
        changelog=f"counting.changelog.{suffix}",
        outputs=(counts,),
        dead_letters=f"letters.{suffix}",
        row_key=lambda record: _fact(record).key,
        decide=decide,
        encode=msgspec.msgpack.Encoder().encode,
        decode=msgspec.msgpack.Decoder(Row).decode,
        next_due=lambda row: row.due,
        lookups=questions,
        ticks=ticks,
        impair=impair,
    )
