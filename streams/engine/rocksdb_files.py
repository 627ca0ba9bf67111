"""Open a partition's store: the existing one if a restore can continue from it, else a new one.

A store has metadata: changelog, schema version, position. One that is torn, foreign, too old or ahead of the changelog
is removed with a log line, and the changelog is read whole. One that another process has open (a suspended worker,
which will be fenced when it continues) is left alone, and a spare one is made beside it.

Files hold rows, hence member IDs and names: only their owner can enter the folder (mode 0700).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final
from uuid import uuid4

import msgspec
import structlog
from rocksdict import Rdict

from streams.engine.checkpoint import CheckpointMeta, Unusable
from streams.engine.rocksdb import DISCARD, RocksStore, StoreMeta, meta_of, rocks_options

_log = structlog.get_logger("engine")
_LOCKED: Final = "/LOCK: "
"""Part of RocksDB's message when another process has the database open: the lock file's name and the reason follow."""


def open_rocks(
    folder: Path,
    changelog: str,
    new: CheckpointMeta,
    usable: Callable[[CheckpointMeta], str],
    *,
    cache: int,
    oldest: int = 1,
) -> tuple[RocksStore, int]:
    """(store of a changelog's `new.partition`, changelog offset to continue at). Raises RocksDB's own exceptions.

    `new` is the metadata of an empty store; `usable` returns what is wrong with an existing one, or an empty text.
    `oldest` is the earliest row version that can be read, `cache` the bytes of rows to keep in memory.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"{changelog}-{new.partition}.rocksdb"
    _remove_spares(path)
    try:
        found = _open_known(path, usable, oldest)
    except _Locked:
        path = path.with_suffix(f".spare-{uuid4().hex[:8]}")
        _log.warning("store locked by another process", instead=path.name)
        found = None
    if found is not None:
        database, stored = found
        # What is written from now on is of this version.
        meta = msgspec.structs.replace(stored.meta, schema=new.schema)
        return RocksStore(database, path, StoreMeta(meta, stored.oldest), cache), meta.offset
    path.mkdir(mode=0o700, exist_ok=True)
    return RocksStore(Rdict(str(path), rocks_options()), path, StoreMeta(new, new.schema), cache), 0


class _Locked(Exception):
    """Another process has the database open."""


def _open_known(path: Path, usable: Callable[[CheckpointMeta], str], oldest: int) -> tuple[Rdict, StoreMeta] | None:
    """The existing database; None where there is none, or none that can be used. Raises _Locked."""
    if not path.exists():
        return None
    database = None
    try:
        database = Rdict(str(path), rocks_options())
        if (path / DISCARD).exists():
            raise Unusable("found unreadable before")
        stored = meta_of(database)
        if stored is None:
            raise Unusable("without metadata")
        if wrong := usable(stored.meta):
            raise Unusable(wrong)
        if stored.oldest < oldest:
            raise Unusable("rows older than this version reads")
    except Exception as error:
        if _LOCKED in str(error):
            raise _Locked from error
        why = str(error) if isinstance(error, Unusable | msgspec.DecodeError) else type(error).__name__
        _log.warning("store set aside", file=path.name, why=why)
        if database is not None:
            database.close()
        shutil.rmtree(path)
        return None
    return database, stored


def _remove_spares(path: Path) -> None:
    """Remove the spare stores that no process has open any more."""
    for spare in path.parent.glob(f"{path.stem}.spare-*"):
        try:
            Rdict.destroy(str(spare), rocks_options())
        except Exception as error:
            if _LOCKED in str(error):
                continue
        shutil.rmtree(spare, ignore_errors=True)
