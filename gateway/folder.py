"""The folder listener: HL7 files that appear in a folder take the same way as messages over MLLP.

A file is taken once it is whole: unchanged for a settle time, not hidden, not named like a half-written one. A slow
writer should write under a name with a leading dot (or `.tmp`, `.part`) and rename. Links, hard links, files of another
owner or device and whatever is not a regular file are left alone (`gateway.box`).

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
import time
from hashlib import sha256
from typing import Any, Final

import msgspec
import structlog

from gateway import metrics, signals
from gateway.batchfile import BatchFile, Unreadable, unread
from gateway.box import DONE, FAILED, Box, Mark, Replaced, mark_of
from gateway.config import FolderConfig
from gateway.ingress import Ingress
from parsers.records.dead_letters import INTERNAL_ERROR, OVERSIZE

_log = structlog.get_logger("gateway")
_EMPTY_FACTOR: Final = 15
"""The writer of an empty file may not have begun: its settle time is so many times longer."""


class Folder:
    """Watches the folder from `open` to `stop`. One process at a time takes files from a folder; a second one waits."""

    def __init__(self, ingress: Ingress, config: FolderConfig) -> None:
        self._ingress, self._config = ingress, config
        self._stopping = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._box: Box | None = None
        self._seen: dict[str, tuple[Mark, float]] = {}
        self._taking: dict[str, tuple[Mark, BatchFile]] = {}
        self._settled: dict[str, tuple[Mark, str, dict[str, Any]]] = {}
        """Files that are finished but could not be moved: only the move is tried again."""
        self._reported: dict[str, Mark] = {}
        """Files that cannot be opened: each is logged once."""

    def open(self) -> asyncio.Task[None]:
        """Create `done` and `failed` and start to watch; the task ends after `stop`. Raises OSError."""
        self._box = Box(self._config.path)
        self._running = asyncio.create_task(self._run(self._box))
        return self._running

    async def stop(self, seconds: float) -> None:
        """Take no more; wait at most `seconds` for messages in flight. A file that is not finished stays."""
        self._stopping.set()
        if self._running is not None:
            await asyncio.wait([self._running], timeout=seconds)
            self._running.cancel()
        if self._box is not None:
            self._box.close()
            self._box = None

    async def _run(self, box: Box) -> None:
        said = ""
        while not self._stopping.is_set():
            try:
                fcntl.flock(box.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                box.check()
                said = ""
                metrics.FOLDER_REPLACED.set(0)
                await self._scan(box)
            except BlockingIOError:
                if said != "other":
                    said = "other"
                    _log.warning("folder is another listener's, waiting")
            except Replaced:
                metrics.FOLDER_REPLACED.set(1)
                if said != "replaced":
                    said = "replaced"
                    _log.error("folder was replaced: nothing is taken until it is back, or the listener starts again")
            except OSError as error:
                _log.error("folder cannot be read", error=error.strerror or type(error).__name__)
            try:
                await asyncio.wait_for(self._stopping.wait(), self._config.poll)
            except TimeoutError:
                continue

    async def _scan(self, box: Box) -> None:
        """Take every file that is whole by now, the oldest first."""
        found = await asyncio.to_thread(box.files)
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
            if now - before[1] >= settle and (self._stopping.is_set() or not await self._take(box, name, mark)):
                return

    async def _take(self, box: Box, name: str, mark: Mark) -> bool:
        """Take one file as far as possible. False: do not go on to the next (Kafka is unavailable, or a stop).

        Raises Replaced.
        """
        box.check()
        if name in self._settled and self._settled[name][0] == mark:
            self._put_away(box, name, *self._settled[name])
            return True
        started = time.monotonic()
        try:
            file = box.open(name)
        except OSError as error:
            if self._reported.get(name) != mark:
                self._reported[name] = mark
                signals.file_not_opened(error, _pseudonym(name))
            return True
        where, batch = DONE, BatchFile(self._ingress, self._config.sender, self._config.message_limit)
        if name in self._taking and self._taking[name][0] == mark:
            batch = self._taking[name][1]
        with file:
            try:
                if mark_of(os.fstat(file.fileno())) != mark:
                    return True  # written to since the scan: it has to settle anew
                if mark[0] > self._config.limit:
                    raise Unreadable(OVERSIZE)
                self._taking[name] = (mark, batch)
                if not await batch.take(file, self._stopping):
                    signals.file_left(mark[0], self._stopping.is_set())
                    return False
                if mark_of(os.fstat(file.fileno())) != mark:
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
        self._put_away(box, name, mark, where, {**report, "seconds": round(time.monotonic() - started, 3)})
        return True

    def _put_away(self, box: Box, name: str, mark: Mark, where: str, report: dict[str, Any]) -> None:
        """Move a file with its report. Raises Replaced: nothing is then written, and it is tried again."""
        self._settled[name] = (mark, where, report)
        box.check()
        try:
            moved = box.put_away(name, mark, where, msgspec.json.format(msgspec.json.encode(report)) + b"\n")
        except OSError as error:
            _log.error("file cannot be moved", to=where, error=error.strerror or type(error).__name__)
            return
        if moved:  # otherwise another file has taken the name: the next scan finds it
            del self._settled[name]
            signals.file_finished(where, mark[0], report)


def _pseudonym(name: str) -> str:
    """A name for logs: file names may be persons'."""
    return sha256(os.fsencode(name)).hexdigest()[:12]
