"""MLLP framing without I/O: VT, the message, FS CR (HL7 v2 transport, minimal lower layer protocol)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

VT: Final = 0x0B
FS: Final = 0x1C
CR: Final = 0x0D
LIMIT: Final = 1_048_576
"""Default limit of a body, in bytes."""
_HEAD: Final = 4096
"""Bytes of a body that `ends_alone` gets: its header."""


class Frame(msgspec.Struct, frozen=True, gc=False):
    """The bytes between VT and FS. `oversize`: `body` is the first `limit` bytes, the rest was dropped."""

    body: bytes
    oversize: bool = False


def frame(body: bytes) -> bytes:
    """`body` as one frame on the wire."""
    return b"\x0b" + body + b"\x1c\r"


class FrameReader:
    """Find frames in a stream of bytes; the result does not depend on how the stream is divided into reads.

    A frame begins at VT; every byte outside a frame is counted in `junk_bytes` and skipped. It ends at FS CR; FS alone
    ends it when a VT follows, or when the peer pauses (`flush`), unless `ends_alone` is false for this body. An
    FS before any other byte belongs to the body. A body longer than `limit` bytes is returned once, cut and marked, as
    soon as its length is certain; the rest of it is skipped up to its end. Work is linear in the input and at
    most `limit` bytes plus one read are buffered.
    """

    def __init__(self, limit: int = LIMIT, ends_alone: Callable[[bytes], bool] | None = None) -> None:
        """`ends_alone` is called at most once for a body, with its first bytes, when FS without CR may end it."""
        self.limit = limit
        self._ends_alone = ends_alone
        self._alone: bool | None = None
        self.junk_bytes = 0
        """Bytes seen outside frames since the connection opened."""
        self._buffer = bytearray()
        self._seen = 0
        """Number of buffered bytes that are known to be body; the search for FS continues there."""
        self._inside = False
        self._skipping = False

    @property
    def mid_frame(self) -> bool:
        """Whether a frame has begun and not ended."""
        return self._inside

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that the next bytes of the stream complete, in order."""
        self._buffer += data
        frames: list[Frame] = []
        while self._buffer:
            if not self._inside and not self._find_start():
                break
            if not self._find_end(frames):
                break
        return frames

    def flush(self) -> list[Frame]:
        """The frames that a pause of the peer completes: a body that ends in FS alone."""
        frames: list[Frame] = []
        if self._inside and len(self._buffer) == self._seen + 1 and self._buffer[-1] == FS and self._may_end_alone():
            self._end(self._seen, self._seen + 1, frames)
        return frames

    def _find_start(self) -> bool:
        start = self._buffer.find(VT)
        if start < 0:
            self.junk_bytes += len(self._buffer)
            self._buffer.clear()
            return False
        self.junk_bytes += start
        del self._buffer[: start + 1]
        self._inside = True
        self._seen = 0
        return True

    def _find_end(self, frames: list[Frame]) -> bool:
        """Find the end of the open frame; False if more bytes are needed."""
        buffer = self._buffer
        while True:
            at = buffer.find(FS, self._seen)
            self._seen = len(buffer) if at < 0 else at
            if not self._skipping and self._seen > self.limit:
                frames.append(Frame(bytes(buffer[: self.limit]), oversize=True))
                self._skipping = True
            if self._skipping:
                del buffer[: self._seen]
                self._seen = 0
            if at < 0 or len(buffer) == self._seen + 1:
                return False
            after = buffer[self._seen + 1]
            if after == CR or (after == VT and self._may_end_alone()):
                self._end(self._seen, self._seen + 2 if after == CR else self._seen + 1, frames)
                return True
            self._seen += 1

    def _may_end_alone(self) -> bool:
        if self._ends_alone is None or self._skipping:
            return True
        if self._alone is None:
            self._alone = self._ends_alone(bytes(self._buffer[: min(self._seen, _HEAD)]))
        return self._alone

    def _end(self, body: int, consumed: int, frames: list[Frame]) -> None:
        if not self._skipping:
            frames.append(Frame(bytes(self._buffer[:body])))
        del self._buffer[:consumed]
        self._seen = 0
        self._inside = self._skipping = False
        self._alone = None
