"""Opening a partition's store: the one that is there if it can be gone on from, else a new one.

A store is believed as far as it says of itself which changelog, schema version and position it meta_ for; one that is
torn, foreign, too old or ahead of the log is removed with a log line, and the changelog is read whole. One that another
process still holds (a worker that was stopped in its tracks, and will be fenced when it wakes) is left alone, and a
spare one is made beside it.

Files hold rows, hence names of members: their folder can be entered by its owner only.
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
"""How RocksDB says that somebody has the database open: the name of the lock file, and why it could not be had."""


def open_rocks(
    folder: Path,
    changelog: str,
    new: CheckpointMeta,
    usable: Callable[[CheckpointMeta], str],
    *,
    cache: int,
    oldest: int = 1,
) -> tuple[RocksStore, int]:
    """The store of a changelog's `new.partition`, and the offset to go on at. Raises what RocksDB does on a full disk.

    `new` is what an empty one meta_ for; `usable` answers what is wrong with one that is there, or an empty text.
    `oldest` is the earliest row version that can be read, `cache` the bytes of rows to keep in memory.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"{changelog}-{new.partition}.shelf"
    _remove_spares(path)
    try:
        found = _open_known(path, usable, oldest)
    except _Locked:
        path = path.with_suffix(f".spare-{uuid4().hex[:8]}")
        _log.warning("store locked by another process", instead=path.name)
        found = None
    if found is not None:
        database, meta_ = found
        # What is written from now on is of this version.
        meta = msgspec.structs.replace(meta_.meta, schema=new.schema)
        return RocksStore(database, path, StoreMeta(meta, meta_.oldest), cache), meta.offset
    path.mkdir(mode=0o700, exist_ok=True)
    return RocksStore(Rdict(str(path), rocks_options()), path, StoreMeta(new, new.schema), cache), 0


class _Locked(Exception):
    """Somebody else has the database open."""


def _open_known(path: Path, usable: Callable[[CheckpointMeta], str], oldest: int) -> tuple[Rdict, StoreMeta] | None:
    """The database there, None when there is none of use (any more). Raises _Held."""
    if not path.exists():
        return None
    database = None
    try:
        database = Rdict(str(path), rocks_options())
        if (path / DISCARD).exists():
            raise Unusable("found unreadable before")
        meta_ = meta_of(database)
        if meta_ is None:
            raise Unusable("without a meta")
        if wrong := usable(meta_.meta):
            raise Unusable(wrong)
        if meta_.oldest < oldest:
            raise Unusable("rows older than this version reads")
    except Exception as error:
        if _LOCKED in str(error):
            raise _Locked from error
        why = str(error) if isinstance(error, Unusable | msgspec.DecodeError) else type(error).__name__
        _log.warning("shelf set aside", file=path.name, why=why)
        if database is not None:
            database.close()
        shutil.rmtree(path)
        return None
    return database, meta_


def _remove_spares(path: Path) -> None:
    """Remove the spare shelves that nobody holds any more."""
    for spare in path.parent.glob(f"{path.stem}.spare-*"):
        try:
            Rdict.destroy(str(spare), rocks_options())
        except Exception as error:
            if _LOCKED in str(error):
                continue
        shutil.rmtree(spare, ignore_errors=True)
