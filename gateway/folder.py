"""The folder door: HL7 files that appear in a folder pass the same intake as messages over MLLP.

A file is taken once it is whole: unchanged for a settle time, not hidden, not named like a half-written one. Who writes
slowly should write under a name with a leading dot (or `.tmp`, `.part`) and rename. Links, and what is no plain file,
are left alone.

Where it goes: to `done` when every message of it is safe, be it accepted or among the dead letters. A refused message
does not make a failed file: its bytes are kept and can be driven again after a correction (`handoff deadletters
redrive`), while giving the whole file in once more would repeat all the others. To `failed` when nothing of it was
taken: not HL7, empty, too large. Beside either lies `NAME.report.json`: counts and places, no content. While Kafka is
away, or when we stop in the middle, the file stays where it is and is taken again: what was stored is known again, and
what a restart made us forget is stored twice and counts once.
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

from gateway import metrics
from gateway.batchfile import BatchFile, Unreadable, unread
from gateway.ingress import INTERNAL, OVERSIZE, Ingress

_log = structlog.get_logger("gateway")
DONE: Final = "done"
FAILED: Final = "failed"
_LOCK: Final = ".handoff.lock"
_UNFINISHED: Final = (".tmp", ".part")
_EMPTY_TIMEOUT: Final = 15
"""An empty file may be one whose writer has not begun: it is waited for so many times longer."""
_NAME_BYTES: Final = 200
Mark = tuple[int, int, int]
"""Size, modification time (ns) and inode: a file with another mark is another file."""


class FolderConfig(msgspec.Struct, frozen=True):
    """Which folder, and what to take from it. Times in seconds, limits in bytes.

    `sender` names the profile of all its messages; "" leaves the choice to MSH-3 and MSH-4.
    """

    path: Path
    sender: str = ""
    poll: float = 1.0
    settle: float = 2.0
    limit: int = 256 * 1024 * 1024
    message_limit: int = 512 * 1024


class Folder:
    """Watches the folder between `open` and `stop`. One process at a time takes from a folder; a second one waits."""

    def __init__(self, intake: Ingress, door: FolderConfig) -> None:
        self._intake, self._door = intake, door
        self._stopping = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._lock = -1
        self._seen: dict[str, tuple[Mark, float]] = {}
        self._taking: dict[str, tuple[Mark, BatchFile]] = {}
        self._settled: dict[str, tuple[Mark, str, dict[str, Any]]] = {}
        """Files that are finished but could not be moved: only the move is tried again."""
        self._told: dict[str, Mark] = {}
        """Files that cannot be opened, said once."""

    def open(self) -> asyncio.Task[None]:
        """Makes `done` and `failed` and begins to watch; the task ends after `stop`. Raises OSError."""
        for name in (DONE, FAILED):
            (self._door.path / name).mkdir(mode=0o700, exist_ok=True)
        self._lock = os.open(self._door.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self._running = asyncio.create_task(self._run())
        return self._running

    async def stop(self, seconds: float) -> None:
        """Takes no more; waits at most `seconds` for what is in flight. A file that is not finished stays."""
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
                await self._look()
            except BlockingIOError:
                if not waits:
                    waits = True
                    _log.warning("folder is another listener's, waiting")
            except OSError as error:
                _log.error("folder cannot be read", error=error.strerror or type(error).__name__)
            try:
                await asyncio.wait_for(self._stopping.wait(), self._door.poll)
            except TimeoutError:
                continue

    async def _look(self) -> None:
        """Takes every file that is whole by now, the oldest first."""
        found = await asyncio.to_thread(self._files)
        metrics.FOLDER_WAITING.set(len(found))
        now = time.monotonic()
        for known in (self._seen, self._taking, self._settled, self._told):
            for name in known.keys() - found.keys():
                del known[name]
        for name, mark in sorted(found.items(), key=lambda each: (each[1][1], each[0])):
            before = self._seen.get(name)
            if before is None or before[0] != mark:
                before = self._seen[name] = (mark, now)
            settle = self._door.settle if mark[0] else self._door.settle * _EMPTY_TIMEOUT
            if now - before[1] >= settle and (self._stopping.is_set() or not await self._take(name, mark)):
                return

    def _files(self) -> dict[str, Mark]:
        found: dict[str, Mark] = {}
        with os.scandir(self._door.path) as entries:
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
        """One file as far as it goes. False: do not go on to the next one now, Kafka is away or we stop."""
        if name in self._settled and self._settled[name][0] == mark:
            self._put_away(name, *self._settled[name])
            return True
        started = time.monotonic()
        try:
            file = _open(self._door.path / name)
        except OSError as error:
            if self._told.get(name) != mark:
                self._told[name] = mark
                metrics.FOLDER_FILES.labels("unopened").inc()
                _log.error("file cannot be opened", error=error.strerror or type(error).__name__)
            return True
        where, said = DONE, BatchFile(self._intake, self._door.sender, self._door.message_limit)
        if name in self._taking and self._taking[name][0] == mark:
            said = self._taking[name][1]
        with file:
            try:
                if _mark(os.fstat(file.fileno())) != mark:
                    return True  # written to since we looked: it has to settle anew
                if mark[0] > self._door.limit:
                    raise Unreadable(OVERSIZE)
                self._taking[name] = (mark, said)
                if not await said.take(file, self._stopping):
                    metrics.FOLDER_FILES.labels("left").inc()
                    _log.warning("file left, to be taken again", bytes=mark[0], stopping=self._stopping.is_set())
                    return False
                if _mark(os.fstat(file.fileno())) != mark:
                    _log.warning("file changed while it was read, to be taken again", bytes=mark[0])
                    return True
                report = said.report()
            except Unreadable as refused:
                where, report = FAILED, unread(refused.code, mark[0])
            except OSError as error:
                _log.error("file cannot be read", error=error.strerror or type(error).__name__)
                return True
            except Exception as bug:
                # One file must not stop the others, nor this door, for ever.
                _log.error("file not taken", error=type(bug).__name__)
                where, report = FAILED, unread(INTERNAL, mark[0])
        self._taking.pop(name, None)
        self._put_away(name, mark, where, {**report, "seconds": round(time.monotonic() - started, 3)})
        return True

    def _put_away(self, name: str, mark: Mark, where: str, report: dict[str, Any]) -> None:
        """The report first, then the file: what lies in `done` or `failed` has its report."""
        self._settled[name] = (mark, where, report)
        source, folder = self._door.path / name, self._door.path / where
        try:
            target = _free(folder, name)
            half = folder / f".{time.monotonic_ns()}.part"
            half.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
            half.rename(_report_of(target))
            if _mark(os.lstat(source)) != mark:
                _report_of(target).unlink()
                return  # another file has taken the name: it will be looked at on its own
            source.rename(target)
            if _mark(os.lstat(target)) != mark:  # it took the name in this very moment: give it back
                target.rename(_free(self._door.path, name))
        except OSError as error:
            _log.error("file cannot be moved", to=where, error=error.strerror or type(error).__name__)
            return
        del self._settled[name]
        metrics.FOLDER_FILES.labels(where).inc()
        tell = _log.warning if where == FAILED or report.get("trailers") else _log.info
        tell(
            "file taken" if where == DONE else "file refused",
            file=str(report.get("content_hash", ""))[:12],
            bytes=mark[0],
            messages=report["messages"],
            codes=report["codes"],
            why=report.get("unreadable", ""),
            miscounts=len(report.get("trailers", ())),
            seconds=report["seconds"],
        )


def _open(path: Path) -> BinaryIO:
    """A plain file, opened for reading without following a link or waiting for a pipe. Raises OSError."""
    number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise OSError("not a plain file")
    return os.fdopen(number, "rb")


def _mark(told: os.stat_result) -> Mark:
    return told.st_size, told.st_mtime_ns, told.st_ino


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
