"""One system for each data folder: a lock of the operating system, which ends with the process that holds it."""

from __future__ import annotations

import fcntl
import json
import os
from datetime import datetime
from pathlib import Path
from typing import Final

from handoff.embedded.process import Refused

LOCK_FILE: Final = "lock"


class FolderLock:
    """An exclusive lock on `folder`. The lock file's content says who holds it and since when."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / LOCK_FILE
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._descriptor is not None

    def take(self) -> None:
        """Take the lock, at once. Raises Refused: it names the holder when another process has the lock."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Refused(f"The data folder {self._folder} cannot be used: {error.strerror or error}.") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as taken:
            os.close(descriptor)
            raise Refused(
                f"A handoff already runs on {self._folder} ({self._holder()}). Stop it with `handoff down`, "
                "or name another folder with --data or HANDOFF_DATA."
            ) from taken
        since = datetime.now().astimezone().isoformat(timespec="seconds")
        os.ftruncate(descriptor, 0)
        os.write(descriptor, json.dumps({"pid": os.getpid(), "since": since}).encode())
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back. The file stays: a waiting process may have it open."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _holder(self) -> str:
        try:
            holder = json.loads(self._path.read_text(encoding="utf-8"))
            return f"process {holder['pid']}, since {holder['since']}"
        except (OSError, ValueError, KeyError, TypeError):
            return "it has just started"
