"""Files of many messages: plain, MLLP-framed, or batches (FHS BHS ... BTS FTS, HL7 v2 section 2.10.3)."""

from __future__ import annotations

import re
import sys
from typing import Final

import msgspec

from parsers.hl7.encoding import AROUND, MARK

OPENING: Final = re.compile(
    rb"(?:(?<=[\r\n\x0b\x1c\x00])|\A)[ \t]*(?:\xef\xbb\xbf)?(MSH|FHS|BHS|BTS|FTS)(?=[^A-Za-z0-9\s])"
)
"""A segment that opens a message or belongs to the batch around it, at the beginning of a line."""
_BREAKS: Final = (b"\r", b"\n", b"\x0b", b"\x1c", b"\x00")
_MESSAGE: Final = frozenset({"MSH", ""})
_DROPPED: Final = "dropped"
_NAME_BYTES: Final = 64
"""Of a line that is passed over, so much may be blanks and half a segment's name."""


class Piece(msgspec.Struct, frozen=True):
    """One message, or one batch segment with what follows it, as it came but for frame bytes and blanks around it.

    `segment` is MSH, FHS, BHS, BTS or FTS, and "" for what stands before the first of them. `line`: where it begins,
    from 1. `cut`: longer than the splitter's limit, `data` is only its beginning.
    """

    segment: str
    data: bytes
    line: int
    cut: bool = False

    @property
    def is_message(self) -> bool:
        """Whether it is to be read as a message ("" too: reading it gives the refusal that it deserves)."""
        return self.segment in _MESSAGE


class Splitter:
    """Takes a file block by block and gives its pieces; holds no more than one piece and one block at a time.

    However the file is cut into blocks, the pieces are the same.
    """

    def __init__(self, limit: int = sys.maxsize, opening: re.Pattern[bytes] = OPENING) -> None:
        """`limit`: bytes of one piece that are kept; of a longer one the rest is passed over. `opening` finds the
        beginnings of pieces: its first group is the segment."""
        self._limit, self._opening = limit, opening
        self._held = b""
        self._scan = 0
        self._segment = ""
        self._line = 1
        self._at_start = True
        self.started = False
        """Whether a message or a batch segment has been met."""

    def feed(self, data: bytes, last: bool = False) -> list[Piece]:
        """The pieces that are whole now; with `last`, all that are left."""
        buffer = self._held + data
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
        # A segment's name may be cut off by the end of the block: look again from the last line's beginning on.
        self._held, self._scan = rest, _last_line(rest)
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
        """Whether that is certain: blanks at the end and a short last line may yet belong to the next piece.

        For ever they are not waited for.
        """
        if len(rest) <= self._limit:
            return False
        line = _last_line(rest)
        sure = rest[:line] if len(rest) - line <= _NAME_BYTES else rest
        return len(sure.strip(AROUND)) > self._limit or len(rest) > 2 * self._limit + _NAME_BYTES

    def _drop(self, rest: bytes, pieces: list[Piece]) -> bytes:
        """Gives up the piece at hand; returns what may hold the beginning of the next one."""
        line = _last_line(rest)
        tail = rest[line:]
        if self._segment != _DROPPED:
            kept = rest.strip(AROUND)
            if kept:
                pieces.append(Piece(self._segment, kept[: self._limit], self._line, cut=True))
            self._segment = _DROPPED
            tail = tail if line else b"."  # the piece's own first line is not to be met again
        self._count(rest[:line])
        return tail if len(tail) <= _NAME_BYTES else b"."  # in the middle of a line nothing begins


def _last_line(data: bytes) -> int:
    """Where the last line begins."""
    return max(data.rfind(mark) for mark in _BREAKS) + 1


def split_messages(data: bytes) -> list[bytes]:
    """The messages in `data`, each as it came (line ends and encoding kept), without frame bytes and batch segments.

    What stands before the first message and is not blank is given back too, as it is no message that could be lost
    in silence: reading it gives a refusal. No data, no messages.
    """
    return [piece.data for piece in Splitter().feed(data, last=True) if piece.is_message]


class Miscount(msgspec.Struct, frozen=True):
    """A trailer that does not agree with the file. `place`: BTS-1 (messages of a batch) or FTS-1 (batches of a file).

    `stated` is None where the trailer itself is missing: the file may have been cut short.
    """

    place: str
    line: int
    stated: int | None
    found: int


class Trailers:
    """Counts messages and batches against what the trailers say (BTS-1, FTS-1; an empty count says nothing)."""

    def __init__(self) -> None:
        self._messages = self._batches = 0
        self._batch_from = self._file_from = 0
        self.miscounts: list[Miscount] = []

    def take(self, piece: Piece) -> None:
        """The next piece of the file."""
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
        """What did not agree, the missing trailers at the end of the file included."""
        self._end_file()
        return self.miscounts

    def _check(self, place: str, piece: Piece, found: int) -> None:
        first = re.split(rb"[\r\n]", piece.data, maxsplit=1)[0]
        fields = first[4:].split(first[3:4])
        stated = fields[0].strip()
        if stated.isdigit() and int(stated) != found:
            self.miscounts.append(Miscount(place, piece.line, int(stated), found))

    def _end_batch(self) -> None:
        """A batch that nothing has ended. Messages without BHS and BTS count as one batch of their file."""
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
