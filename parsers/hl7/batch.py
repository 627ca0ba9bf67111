"""Files of many messages: plain, MLLP-framed, or batches (FHS BHS ... BTS FTS, HL7 v2 section 2.10.3)."""

from __future__ import annotations

import re
import sys
from typing import Final

import msgspec

from parsers.hl7.charsets import AROUND, MARK

OPENING: Final = re.compile(
    rb"(?:(?<=[\r\n\x0b\x1c\x00])|\A)[ \t]*(?:\xef\xbb\xbf)?(MSH|FHS|BHS|BTS|FTS)(?=[^A-Za-z0-9\s])"
)
"""The first segment of a message, or a batch segment, at the beginning of a line."""
_BREAKS: Final = (b"\r", b"\n", b"\x0b", b"\x1c", b"\x00")
_MESSAGE: Final = frozenset({"MSH", ""})
_DROPPED: Final = "dropped"
_NAME_BYTES: Final = 64
"""Bytes of an unfinished line that are kept: it may be blanks and part of a segment's name."""


class Piece(msgspec.Struct, frozen=True):
    """One message or batch segment with the lines that follow it, byte for byte, without MLLP bytes and blanks around.

    `segment` is MSH, FHS, BHS, BTS or FTS; "" for content before the first of them. `line` is its first line, from 1.
    `cut`: it exceeds the splitter's limit and `data` is only its beginning.
    """

    segment: str
    data: bytes
    line: int
    cut: bool = False

    @property
    def is_message(self) -> bool:
        """Whether to parse it as a message ("" too: parsing gives the refusal)."""
        return self.segment in _MESSAGE


class Splitter:
    """Split a file, read block by block, into pieces. Memory: one piece and one block.

    The pieces do not depend on how the file is divided into blocks.
    """

    def __init__(self, limit: int = sys.maxsize, opening: re.Pattern[bytes] = OPENING) -> None:
        """`limit`: bytes of one piece that are kept; the rest of a longer piece is skipped. `opening` matches the
        beginning of a piece; its first group is the segment."""
        self._limit, self._opening = limit, opening
        self._buffer = b""
        self._scan = 0
        self._segment = ""
        self._line = 1
        self._at_start = True
        self.started = False
        """Whether a message or a batch segment was found."""

    def feed(self, data: bytes, last: bool = False) -> list[Piece]:
        """The pieces that `data` completes; with `last`, all remaining pieces."""
        buffer = self._buffer + data
        if self._at_start and (last or len(buffer) >= len(MARK)):
            buffer, self._at_start = buffer.removeprefix(MARK), False
        pieces: list[Piece] = []
        begin = 0
        for found in self._opening.finditer(buffer, self._scan):
            self._close(buffer[begin : found.start()], pieces)
            self._segment, begin = found[1].decode(), found.start(1)
            self.started = True
        rest = buffer[begin:]
        if last:
            self._close(rest, pieces)
            rest = b""
        elif self._segment == _DROPPED or self._too_long(rest):
            rest = self._drop(rest, pieces)
        # The end of the block may cut a segment's name: the next search begins at the last line.
        self._buffer, self._scan = rest, _last_line(rest)
        return pieces

    def _close(self, data: bytes, pieces: list[Piece]) -> None:
        kept = data.strip(AROUND)
        if kept and self._segment != _DROPPED:
            cut = len(kept) > self._limit
            pieces.append(Piece(self._segment, kept[: self._limit] if cut else kept, self._line, cut))
        self._count(data)

    def _count(self, data: bytes) -> None:
        self._line += data.count(b"\n") + data.count(b"\r") - data.count(b"\r\n")

    def _too_long(self, rest: bytes) -> bool:
        """Whether the piece exceeds the limit for certain: blanks at the end and a short last line may belong to the
        next piece, up to as many bytes as the limit.
        """
        if len(rest) <= self._limit:
            return False
        line = _last_line(rest)
        sure = rest[:line] if len(rest) - line <= _NAME_BYTES else rest
        return len(sure.strip(AROUND)) > self._limit or len(rest) > 2 * self._limit + _NAME_BYTES

    def _drop(self, rest: bytes, pieces: list[Piece]) -> bytes:
        """Cut the current piece; return the bytes that may contain the beginning of the next one."""
        line = _last_line(rest)
        tail = rest[line:]
        if self._segment != _DROPPED:
            kept = rest.strip(AROUND)
            if kept:
                pieces.append(Piece(self._segment, kept[: self._limit], self._line, cut=True))
            self._segment = _DROPPED
            tail = tail if line else b"."  # the first line of this piece must not match again
        self._count(rest[:line])
        return tail if len(tail) <= _NAME_BYTES else b"."  # no piece begins in the middle of a line


def _last_line(data: bytes) -> int:
    """Where the last line begins."""
    return max(data.rfind(mark) for mark in _BREAKS) + 1


def split_messages(data: bytes) -> list[bytes]:
    """The messages in `data`, byte for byte, without MLLP bytes and batch segments; [] for no data.

    Content before the first message, unless blank, is included, so that parsing it gives a refusal and it is not lost
    silently.
    """
    return [piece.data for piece in Splitter().feed(data, last=True) if piece.is_message]


class Miscount(msgspec.Struct, frozen=True):
    """A trailer whose count differs. `place`: BTS-1 (messages of a batch) or FTS-1 (batches of a file).

    `stated` is None for a missing trailer: the file may be truncated.
    """

    place: str
    line: int
    stated: int | None
    found: int


class Trailers:
    """Compare the numbers of messages and batches with the trailers (BTS-1, FTS-1; an empty count is not compared)."""

    def __init__(self) -> None:
        self._messages = self._batches = 0
        self._batch_from = self._file_from = 0
        self.miscounts: list[Miscount] = []

    def take(self, piece: Piece) -> None:
        """Count the next piece of the file."""
        match piece.segment:
            case "MSH":
                self._messages += 1
            case "BHS":
                self._end_batch()
                self._batch_from = piece.line
            case "FHS":
                self._end_file()
                self._file_from = piece.line
            case "BTS":
                self._check("BTS-1", piece, self._messages)
                self._batches += 1
                self._messages = self._batch_from = 0
            case "FTS":
                self._end_batch()
                self._check("FTS-1", piece, self._batches)
                self._batches = self._file_from = 0

    def end(self) -> list[Miscount]:
        """All differences, missing trailers at the end of the file included."""
        self._end_file()
        return self.miscounts

    def _check(self, place: str, piece: Piece, found: int) -> None:
        first = re.split(rb"[\r\n]", piece.data, maxsplit=1)[0]
        fields = first[4:].split(first[3:4])
        stated = fields[0].strip()
        if stated.isdigit() and int(stated) != found:
            self.miscounts.append(Miscount(place, piece.line, int(stated), found))

    def _end_batch(self) -> None:
        """End a batch without a trailer. Messages without BHS and BTS count as one batch of their file."""
        if self._batch_from:
            self.miscounts.append(Miscount("BTS-1", self._batch_from, None, self._messages))
        if self._batch_from or self._messages:
            self._batches += 1
        self._messages = self._batch_from = 0

    def _end_file(self) -> None:
        self._end_batch()
        if self._file_from:
            self.miscounts.append(Miscount("FTS-1", self._file_from, None, self._batches))
        self._batches = self._file_from = 0
