"""Rows on local disk, for partitions whose rows are more than memory takes: a RocksDB per partition.

The same rule as in memory: nothing is written before Kafka holds the transaction. One batch then writes the rows, their
entries in the index of due times, and the changelog position that they include. The batch goes through the
write-ahead log, which the operating system keeps when the process is killed; a power cut may cost the last batches, but
what is found afterwards is the state after some earlier one, position included. A restart continues from there.

Keys begin with a letter: `r` a row by its key; `d` a due row by due time and key, so that due rows are found by reading
the front of the index and no heap is kept; `m` the metadata.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NoReturn

import msgspec
from rocksdict import BlockBasedOptions, Cache, DBCompressionType, Options, WriteBatch

from agents.runtime.store import CLOCK_KEY, NEVER, ChunkResult, check_row, due_of, version_of
from streams.engine.checkpoint import CheckpointMeta
from streams.engine.crash import crash

DISCARD: Final = "discard"
"""A file of this name in a store's folder marks it as unreadable: the next start builds it again."""
_META: Final = b"m"
_SHIFT: Final = 2**63
_PENDING: Final = 8_192
_WRITE_BUFFER: Final = 16 * 1024 * 1024
_BLOCK_CACHE: Final = 32 * 1024 * 1024


def rocks_options() -> Options:
    """How RocksDB is run. One batch a transaction and point reads by key; files are few and compressed."""
    blocks = BlockBasedOptions()
    blocks.set_block_cache(Cache(_BLOCK_CACHE))
    blocks.set_bloom_filter(10, False)
    blocks.set_format_version(5)
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_write_buffer_size(_WRITE_BUFFER)
    options.set_compression_type(DBCompressionType.lz4())
    options.set_block_based_table_factory(blocks)
    options.set_keep_log_file_num(1)
    return options


class StoreMeta(msgspec.Struct, frozen=True, array_like=True):
    """Metadata of a store: a checkpoint's, as of the last batch, and the earliest version of a row written to it."""

    meta: CheckpointMeta
    oldest: int


class RocksStore:
    """One partition's rows in a database; a `RowStore`. Keeps those last used in memory, `cache` bytes of them.

    A database that cannot be read or written ends the worker: its rows must not be mistaken for missing ones.
    """

    def __init__(self, database: Any, folder: Path, stored: StoreMeta, cache: int) -> None:
        """`database` is an open Rdict in raw mode, now this store's to close."""
        self.clock = stored.meta.clock
        self.all_due = False
        self._database, self._folder, self._cache = database, folder, cache
        self._meta, self._oldest = stored.meta, stored.oldest
        self._opened = _now()
        self._hot: OrderedDict[str, bytes] = OrderedDict()
        self._hot_bytes = 0
        self._pending: dict[str, bytes | None] = {}
        self._position = stored.meta.offset

    @property
    def position(self) -> int:
        """The changelog's next record to read, as of the last batch written."""
        return self._meta.offset

    def __len__(self) -> int:
        return self._meta.rows

    def get(self, key: str) -> bytes | None:
        """A sealed row, None when there is none."""
        hot = self._hot
        row = hot.get(key)
        if row is not None:
            hot.move_to_end(key)
            return row
        row = self._read(key)
        if row is not None:
            self._keep(key, row)
        return row

    def items(self) -> Iterable[tuple[str, bytes]]:
        """All sealed rows by key, in the order of the keys' bytes."""
        for name, row in self._walk(b"r"):
            yield name.decode(), row

    def due(self, clock: int) -> Iterator[tuple[int, str]]:
        """(due time, key) of every row due at `clock`, oldest first."""
        if self.all_due:
            yield from ((0, name.decode()) for name, _ in self._walk(b"r"))
            return
        for name, _ in self._walk(b"d"):
            at = int.from_bytes(name[:8], "big") - _SHIFT
            if at > clock:
                return
            yield at, name[8:].decode()

    def restore(self, key: bytes, value: bytes | None, schema: int, oldest: int = 0) -> None:
        """Take one changelog record. Raises Unreadable."""
        if key == CLOCK_KEY:
            if value is not None:
                # The last one, not the largest: a clock that ran ahead was set back.
                self.clock = due_of(value)
            return
        if value is not None:
            check_row(value, schema, oldest)
        self._pending[key.decode()] = value

    def advance(self, position: int) -> None:
        """All changelog records before `position` have been taken; written in batches."""
        self._position = position
        if len(self._pending) >= _PENDING:
            # Until the log's end is reached the rows are as old as when this store was last there: tombstones of rows
            # that are on it may go from the log meanwhile.
            self._put(self._meta.written)

    def finish_restore(self) -> None:
        """Write the last of what was restored."""
        self._put(self._opened)

    def set_back(self, clock: int) -> None:
        """Set the clock back and make every row due once."""
        self.clock, self.all_due = clock, True

    def apply_committed(self, result: ChunkResult, position: int | None = None) -> None:
        """Take what a committed transaction wrote, which left the changelog at `position`."""
        if position is None:
            raise ValueError("rows on disk need the changelog's position")
        self.clock = max(self.clock, result.clock)
        if result.ticked >= 0:
            self.all_due = False
        self._write(result.changed, position, _now())
        for key, row in result.changed.items():
            if row is not None:
                self._keep(key, row)

    def close(self) -> None:
        """Flush and let another open the database."""
        self._database.close()

    def _put(self, written: int) -> None:
        pending, self._pending = self._pending, {}
        self._write(pending, self._position, written)

    def _write(self, changed: Mapping[str, bytes | None], position: int, written: int) -> None:
        """Write one batch: rows, their due entries, and the metadata after it."""
        batch = WriteBatch(raw_mode=True)
        rows = self._meta.rows
        for key, row in changed.items():
            name = key.encode()
            before = self._read(key) if (hot := self._hot.get(key)) is None else hot
            due_before = NEVER if before is None else due_of(before)
            due = NEVER if row is None else due_of(row)
            if due_before not in (NEVER, due):
                batch.delete(_due_key(due_before, name))
            if row is None:
                if before is not None:
                    rows -= 1
                    batch.delete(b"r" + name)
                    self._forget(key)
                continue
            rows += before is None
            self._oldest = min(self._oldest, version_of(row))
            batch.put(b"r" + name, row)
            if due not in (NEVER, due_before):
                batch.put(_due_key(due, name), b"")
        meta = msgspec.structs.replace(self._meta, offset=position, clock=self.clock, written=written, rows=rows)
        batch.put(_META, msgspec.msgpack.encode(StoreMeta(meta, self._oldest)))
        try:
            self._database.write(batch)
        except Exception as error:
            crash("store-not-written", partition=meta.partition, error=type(error).__name__)
        self._meta, self._position = meta, position

    def _read(self, key: str) -> bytes | None:
        try:
            row: bytes | None = self._database.get(b"r" + key.encode())
        except Exception as error:
            self._give_up(error)
        return row

    def _walk(self, letter: bytes) -> Iterator[tuple[bytes, bytes]]:
        """What is kept under a letter, in order of keys, which are given without it."""
        try:
            # Not `items()` of the database: that ends without a word where it cannot be read.
            found = self._database.iter()
            found.seek(letter)
            while found.valid() and (name := found.key())[:1] == letter:
                yield name[1:], found.value()
                found.next()
            found.status()
        except Exception as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> NoReturn:
        (self._folder / DISCARD).touch()
        crash("store-unreadable", partition=self._meta.partition, error=type(error).__name__)

    def _keep(self, key: str, row: bytes) -> None:
        hot = self._hot
        before = hot.pop(key, None)
        hot[key] = row
        self._hot_bytes += len(row) - (0 if before is None else len(before))
        while self._hot_bytes > self._cache and hot:
            self._hot_bytes -= len(hot.popitem(last=False)[1])

    def _forget(self, key: str) -> None:
        before = self._hot.pop(key, None)
        if before is not None:
            self._hot_bytes -= len(before)


def meta_of(database: Any) -> StoreMeta | None:
    """Metadata of a database; None for a new one. Raises DecodeError, or RocksDB's own exception."""
    stored = database.get(_META)
    return None if stored is None else msgspec.msgpack.decode(stored, type=StoreMeta)


def _now() -> int:
    return int(time.time() * 1000)


def _due_key(due: int, name: bytes) -> bytes:
    return b"d" + (due + _SHIFT).to_bytes(8, "big") + name
