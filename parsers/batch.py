"""Files of many messages: plain, MLLP-framed, or batches (FHS BHS ... BTS FTS, HL7 v2 section 2.10.3)."""

from __future__ import annotations

import re
from typing import Final

_START: Final = re.compile(rb"(?:(?<=[\r\n\x0b\x1c\x00])|\A)[ \t]*(MSH|FHS|BHS|BTS|FTS)(?=[^A-Za-z0-9\s])")
"""A segment that opens a message or belongs to the batch around it, at the beginning of a line."""
_AROUND: Final = b"\x0b\x1c\r\n\t \x00"
_MARK: Final = b"\xef\xbb\xbf"


def split_messages(data: bytes) -> list[bytes]:
    """The messages in `data`, each as it came (line ends and encoding kept), without frame bytes and batch segments.

    What stands before the first message and is not blank is given back too, as it is no message that could be lost
    in silence: reading it gives a refusal. No data, no messages.
    """
    data = data.removeprefix(_MARK)
    messages: list[bytes] = []
    begin, wanted = 0, True
    for found in _START.finditer(data):
        if wanted:
            _keep(data[begin : found.start()], messages)
        wanted = found[1] == b"MSH"
        begin = found.start(1)
    if wanted:
        _keep(data[begin:], messages)
    return messages


def _keep(piece: bytes, messages: list[bytes]) -> None:
    piece = piece.strip(_AROUND)
    if piece:
        messages.append(piece)
