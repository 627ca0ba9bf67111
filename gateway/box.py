"""The watched folder as descriptors: every name is looked up in the folder that was opened, never by its path again.

So nothing is read from or written into another folder that takes the path's place. A file is taken only if it is plain
and nothing else leads to it: no symbolic link, one hard link, on the folder's device, owned by the folder's owner or by
this process's user.
"""

from __future__ import annotations

import os
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

DONE: Final = "done"
FAILED: Final = "failed"
_LOCK: Final = ".handoff.lock"
_REPORT: Final = ".report.json"
_UNFINISHED: Final = (".tmp", ".part")
_NAME_BYTES: Final = 200
_PLACE: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
Mark = tuple[int, int, int]
"""Size, modification time (ns) and inode: a file with another mark is another file."""


class Replaced(Exception):
    """The path, or `done` or `failed` in it, leads to another folder than the one that was opened."""


class Box:
    """A watched folder with its `done` and `failed`, open until `close`."""

    def __init__(self, path: Path) -> None:
        """Creates `done` and `failed`. Raises OSError, also where one of the three is a symbolic link."""
        self._path = path
        self._root = os.open(path, _PLACE)
        self._places: dict[str, int] = {}
        try:
            for name in (DONE, FAILED):
                with suppress(FileExistsError):
                    os.mkdir(name, 0o700, dir_fd=self._root)
                self._places[name] = os.open(name, _PLACE, dir_fd=self._root)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self.lock = os.open(_LOCK, flags, 0o600, dir_fd=self._root)
        except OSError:
            for opened in (self._root, *self._places.values()):
                os.close(opened)
            raise
        own = os.fstat(self._root)
        self._device, self._owners = own.st_dev, {own.st_uid, os.geteuid()}

    def close(self) -> None:
        """Close the folder and its lock, which ends the lock."""
        for opened in (self._root, *self._places.values(), self.lock):
            os.close(opened)

    def check(self) -> None:
        """Raises Replaced when a path leads elsewhere by now."""
        places: list[tuple[str, int | None, int]] = [(os.fspath(self._path), None, self._root)]
        places += [(name, self._root, opened) for name, opened in self._places.items()]
        for name, parent, opened in places:
            try:
                there = os.stat(name, dir_fd=parent, follow_symlinks=False)
            except OSError:
                raise Replaced from None
            if not os.path.samestat(there, os.fstat(opened)):
                raise Replaced

    def files(self) -> dict[str, Mark]:
        """The plain files that lie in it, by name, without hidden and half-written ones. Raises OSError."""
        found: dict[str, Mark] = {}
        with os.scandir(self._root) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name.lower().endswith(_UNFINISHED):
                    continue
                try:
                    if entry.is_file(follow_symlinks=False):
                        found[entry.name] = mark_of(entry.stat(follow_symlinks=False))
                except FileNotFoundError:
                    continue
        return found

    def open(self, name: str) -> BinaryIO:
        """A file of it, opened for reading without waiting for a pipe. Raises OSError, with a reason for one that is
        not to be taken."""
        number = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self._root)
        if why := self._why_not(os.fstat(number)):
            os.close(number)
            raise OSError(None, why)
        return os.fdopen(number, "rb")

    def _why_not(self, status: os.stat_result) -> str:
        """Why an opened file is not to be taken; "" for one that is."""
        if not stat.S_ISREG(status.st_mode):
            return "not a plain file"
        if status.st_nlink != 1:
            return "more than one hard link"
        if status.st_dev != self._device:
            return "on another device"
        return "" if status.st_uid in self._owners else "of another owner"

    def put_away(self, name: str, mark: Mark, where: str, report: bytes) -> bool:
        """Write the report (mode 0600) and then move the file: what is in `done` or `failed` has its report.

        False: another file has taken the name, and stays. Raises OSError.
        """
        place = self._places[where]
        target = _free(place, name)
        half = f".{time.monotonic_ns()}.part"
        try:
            with os.fdopen(os.open(half, _NEW, 0o600, dir_fd=place), "wb") as file:
                file.write(report)
            os.rename(half, target + _REPORT, src_dir_fd=place, dst_dir_fd=place)
        except OSError:
            with suppress(OSError):
                os.unlink(half, dir_fd=place)
            raise
        if mark_of(os.stat(name, dir_fd=self._root, follow_symlinks=False)) != mark:
            os.unlink(target + _REPORT, dir_fd=place)
            return False
        os.rename(name, target, src_dir_fd=self._root, dst_dir_fd=place)
        if mark_of(os.stat(target, dir_fd=place, follow_symlinks=False)) != mark:
            # It took the name in this very moment: give it back.
            os.rename(target, _free(self._root, name), src_dir_fd=place, dst_dir_fd=self._root)
        return True


def mark_of(status: os.stat_result) -> Mark:
    """The mark of a file."""
    return status.st_size, status.st_mtime_ns, status.st_ino


def _free(place: int, name: str) -> str:
    """`name` in an opened folder, or NAME.2, NAME.3 …: the first that neither a file nor a report has."""
    short = os.fsdecode(os.fsencode(name)[:_NAME_BYTES])
    number, free = 1, short
    while _exists(place, free) or _exists(place, free + _REPORT):
        number += 1
        free = f"{short}.{number}"
    return free


def _exists(place: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=place, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
