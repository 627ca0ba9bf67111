"""The folder listener: HL7 files that appear in a folder take the same way as messages over MLLP.

A file is taken once it is whole: unchanged for a settle time, not hidden, not named like a half-written one. A slow
writer should write under a name with a leading dot (or `.tmp`, `.part`) and rename. Links, and whatever is not a
regular file, are left alone.

A file goes to `done` when every message of it is stored, on the raw or the dead-letter topic. A refused message does
not fail its file: the bytes are kept and can be driven again after a correction (`handoff deadletters redrive`), while
a second copy of the whole file would repeat all the others. A file goes to `failed` when nothing of it was taken: not
HL7, empty, too large. Beside either, `NAME.report.json` has counts and places, no content. While Kafka is unavailable,
or when the gateway stops in the middle, the file stays where it is and is taken again; a restart may store messages
twice, and the fold counts them once (docs/integrating.md#files-instead-of-a-connection).
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import stat
import time
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec
import structlog

from gateway import metrics, signals
from gateway.batchfile import BatchFile, Unreadable, unread
from gateway.config import FolderConfig
from gateway.ingress import Ingress
from parsers.records.dead_letters import INTERNAL_ERROR, OVERSIZE

_log = structlog.get_logger("gateway")
DONE: Final = "done"
FAILED: Final = "failed"
_LOCK: Final = ".handoff.lock"
_UNFINISHED: Final = (".tmp", ".part")
_EMPTY_FACTOR: Final = 15
"""The writer of an empty file may not have begun: its settle time is so many times longer."""
_NAME_BYTES: Final = 200
Mark = tuple[int, int, int]
"""Size, modification time (ns) and inode: a file with another mark is another file."""


class Folder:
    """Watches the folder from `open` to `stop`. One process at a time takes files from a folder; a second one waits."""

    def __init__(self, ingress: Ingress, config: FolderConfig) -> None:
        self._ingress, self._config = ingress, config
        self._stopping = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._lock = -1
        self._seen: dict[str, tuple[Mark, float]] = {}
        self._taking: dict[str, tuple[Mark, BatchFile]] = {}
        self._settled: dict[str, tuple[Mark, str, dict[str, Any]]] = {}
        """Files that are finished but could not be moved: only the move is tried again."""
        self._reported: dict[str, Mark] = {}
        """Files that cannot be opened: each is logged once."""

    def open(self) -> asyncio.Task[None]:
        """Create `done` and `failed` and start to watch; the task ends after `stop`. Raises OSError."""
        for name in (DONE, FAILED):
            (self._config.path / name).mkdir(mode=0o700, exist_ok=True)
        self._lock = os.open(self._config.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self._running = asyncio.create_task(self._run())
        return self._running

    async def stop(self, seconds: float) -> None:
        """Take no more; wait at most `seconds` for messages in flight. A file that is not finished stays."""
        self._stopping.set()
        if self._running is not None:
            await asyncio.wait([self._running], timeout=seconds)
            self._running.cancel()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    async def _run(self) -> None:
        waits = False
        while not self._stopping.is_set():
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                waits = False
                await self._scan()
            except BlockingIOError:
                if not waits:
                    waits = True
                    _log.warning("folder is another listener's, waiting")
            except OSError as error:
                _log.error("folder cannot be read", error=error.strerror or type(error).__name__)
            try:
                await asyncio.wait_for(self._stopping.wait(), self._config.poll)
            except TimeoutError:
                continue

    async def _scan(self) -> None:
        """Take every file that is whole by now, the oldest first."""
        found = await asyncio.to_thread(self._files)
        metrics.FOLDER_WAITING.set(len(found))
        now = time.monotonic()
        for known in (self._seen, self._taking, self._settled, self._reported):
            for name in known.keys() - found.keys():
                del known[name]
        for name, mark in sorted(found.items(), key=lambda each: (each[1][1], each[0])):
            before = self._seen.get(name)
            if before is None or before[0] != mark:
                before = self._seen[name] = (mark, now)
            settle = self._config.settle if mark[0] else self._config.settle * _EMPTY_FACTOR
            if now - before[1] >= settle and (self._stopping.is_set() or not await self._take(name, mark)):
                return

    def _files(self) -> dict[str, Mark]:
        found: dict[str, Mark] = {}
        with os.scandir(self._config.path) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name.lower().endswith(_UNFINISHED):
                    continue
                try:
                    if entry.is_file(follow_symlinks=False):
                        found[entry.name] = _mark(entry.stat(follow_symlinks=False))
                except FileNotFoundError:
                    continue
        return found

    async def _take(self, name: str, mark: Mark) -> bool:
        """Take one file as far as possible. False: do not go on to the next (Kafka is unavailable, or a stop)."""
        if name in self._settled and self._settled[name][0] == mark:
            self._put_away(name, *self._settled[name])
            return True
        started = time.monotonic()
        try:
            file = _open(self._config.path / name)
        except OSError as error:
            if self._reported.get(name) != mark:
                self._reported[name] = mark
                signals.file_not_opened(error)
            return True
        where, batch = DONE, BatchFile(self._ingress, self._config.sender, self._config.message_limit)
        if name in self._taking and self._taking[name][0] == mark:
            batch = self._taking[name][1]
        with file:
            try:
                if _mark(os.fstat(file.fileno())) != mark:
                    return True  # written to since the scan: it has to settle anew
                if mark[0] > self._config.limit:
                    raise Unreadable(OVERSIZE)
                self._taking[name] = (mark, batch)
                if not await batch.take(file, self._stopping):
                    signals.file_left(mark[0], self._stopping.is_set())
                    return False
                if _mark(os.fstat(file.fileno())) != mark:
                    _log.warning("file changed while it was read, to be taken again", bytes=mark[0])
                    return True
                report = batch.report()
            except Unreadable as refused:
                where, report = FAILED, unread(refused.code, mark[0])
            except OSError as error:
                _log.error("file cannot be read", error=error.strerror or type(error).__name__)
                return True
            except Exception as bug:
                # One file must not stop the others, nor this listener, for ever.
                _log.error("file not taken", error=type(bug).__name__)
                where, report = FAILED, unread(INTERNAL_ERROR, mark[0])
        self._taking.pop(name, None)
        self._put_away(name, mark, where, {**report, "seconds": round(time.monotonic() - started, 3)})
        return True

    def _put_away(self, name: str, mark: Mark, where: str, report: dict[str, Any]) -> None:
        """Write the report first, then move the file: whatever is in `done` or `failed` has its report."""
        self._settled[name] = (mark, where, report)
        source, folder = self._config.path / name, self._config.path / where
        try:
            target = _free(folder, name)
            half = folder / f".{time.monotonic_ns()}.part"
            half.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
            half.rename(_report_of(target))
            if _mark(os.lstat(source)) != mark:
                _report_of(target).unlink()
                return  # another file has taken the name: the next scan finds it
            source.rename(target)
            if _mark(os.lstat(target)) != mark:  # it took the name in this very moment: give it back
                target.rename(_free(self._config.path, name))
        except OSError as error:
            _log.error("file cannot be moved", to=where, error=error.strerror or type(error).__name__)
            return
        del self._settled[name]
        signals.file_finished(where, mark[0], report)


def _open(path: Path) -> BinaryIO:
    """A plain file, opened for reading without following a link or waiting for a pipe. Raises OSError."""
    number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise OSError("not a plain file")
    return os.fdopen(number, "rb")


def _mark(status: os.stat_result) -> Mark:
    return status.st_size, status.st_mtime_ns, status.st_ino


def _report_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.report.json")


def _free(folder: Path, name: str) -> Path:
    """A path for `name` in `folder` that neither a file nor a report has: NAME, NAME.2, NAME.3 …"""
    short = os.fsdecode(os.fsencode(name)[:_NAME_BYTES])
    number, path = 1, folder / short
    while os.path.lexists(path) or os.path.lexists(_report_of(path)):
        number += 1
        path = folder / f"{short}.{number}"
    return path
