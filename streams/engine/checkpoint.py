"""Checkpoints: a partition's rows on local disk with the changelog position that they include, so that a restart reads
only what came later (docs/engine.md#checkpoints).

A checkpoint saves time and is never needed. One that is torn, altered, of another topic, of a later schema
version, too old, or not between the changelog's ends is set aside with a log line, and the changelog is read whole.
Rows lie in it as they lie in the changelog, each with its own version, so one of an earlier version serves an upgrade.
Files hold rows, hence names of members: they are readable by their owner only.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from struct import Struct, error
from typing import BinaryIO, Final
from zlib import crc32

import msgspec
import structlog

from agents.runtime.store import MemoryStore, version_of

_log = structlog.get_logger("engine")
_MAGIC: Final = b"handoff rows 1\n"
_FRAME: Final = Struct(">II")
_BLOCK: Final = 4_096
OLDEST: Final = 12 * 3_600_000
"""Milliseconds. A compacted log forgets tombstones after a day (delete.retention.ms): rows removed since an older
checkpoint could rise again."""


class Unusable(Exception):
    """A checkpoint that is not whole."""


class CheckpointMeta(msgspec.Struct, frozen=True, array_like=True):
    """Which rows a checkpoint holds."""

    topic_id: str
    """Kafka's own ID of the changelog: a topic created again under the same name has another."""
    partition: int
    schema: int
    """The version that wrote it: none of its rows is of a later one."""
    offset: int
    """The changelog's end when the rows were taken: the next record to read."""
    clock: int
    written: int
    """Milliseconds UTC."""
    rows: int


def file_of(folder: Path, changelog: str, partition: int) -> Path:
    """Where the checkpoint of a changelog's partition is. A shadow has another changelog, hence another file."""
    return folder / f"{changelog}-{partition}.rows"


def write(path: Path, meta: CheckpointMeta, rows: Mapping[str, bytes]) -> None:
    """Write a checkpoint so that either the former or this one is there whole. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    scratch = path.with_suffix(".new")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(_MAGIC)
        _write_frame(file, msgspec.msgpack.encode(meta))
        entries = iter(rows.items())
        while block := dict(islice(entries, _BLOCK)):
            _write_frame(file, msgspec.msgpack.encode(block))
        _write_frame(file, b"")
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)


def read(
    path: Path, usable: Callable[[CheckpointMeta], str], *, oldest: int = 1
) -> tuple[CheckpointMeta, MemoryStore] | None:
    """The rows of a checkpoint, without their heap, if there is one and `usable(meta)` finds nothing wrong with it.

    `usable` answers with what is wrong, or with an empty text. `oldest` is the earliest row version that can be read.
    """
    try:
        with open(path, "rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                raise Unusable("no checkpoint of this version")
            meta = msgspec.msgpack.decode(_read_frame(file), type=CheckpointMeta)
            wrong = usable(meta)
            if wrong:
                raise Unusable(wrong)
            rows = MemoryStore()
            for block in _read_blocks(file):
                # Versions begin at 1: rows can be too old only once an upcaster has been removed.
                if oldest > 1 and any(version_of(row) < oldest for row in block.values()):
                    raise Unusable("rows older than this version reads")
                rows.envelopes.update(block)
            if len(rows) != meta.rows:
                raise Unusable("rows are missing")
            rows.clock = meta.clock
            return meta, rows
    except FileNotFoundError:
        return None
    except (Unusable, OSError, msgspec.DecodeError) as found:
        _log.warning("checkpoint set aside", file=path.name, why=str(found))
        return None


def judge(meta: CheckpointMeta, *, topic_id: str, partition: int, schema: int, start: int, end: int) -> str:
    """What is wrong with a checkpoint for a changelog whose partition reaches from `start` to `end`; empty: nothing."""
    if meta.topic_id != topic_id or meta.partition != partition:
        return "of another topic"
    if meta.schema > schema:
        return f"of schema version {meta.schema}"
    if not start <= meta.offset <= end:
        return f"at {meta.offset}, while the changelog reaches from {start} to {end}"
    if time.time() * 1000 - meta.written > OLDEST:
        return "too old"
    return ""


def _write_frame(file: BinaryIO, body: bytes) -> None:
    file.write(_FRAME.pack(len(body), crc32(body)))
    file.write(body)


def _read_frame(file: BinaryIO) -> bytes:
    try:
        length, checksum = _FRAME.unpack(file.read(_FRAME.size))
    except error as torn:
        raise Unusable("torn") from torn
    body = file.read(length)
    if len(body) != length or crc32(body) != checksum:
        raise Unusable("torn or altered")
    return body


def _read_blocks(file: BinaryIO) -> Iterator[dict[str, bytes]]:
    decode = msgspec.msgpack.Decoder(dict[str, bytes]).decode
    while body := _read_frame(file):
        yield decode(body)
