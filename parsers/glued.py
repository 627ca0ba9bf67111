"""Several messages glued together in one MLLP frame: seen in the wild, where a sender frames a file and not a message.

All of them have to be read and answered, since nothing tells the sender that only the first was.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_FIRST: Final = re.compile(rb"(?:\A|[\r\n\x0b\x1c\x00])[ \t]*(?:\xef\xbb\xbf)?MSH([^A-Za-z0-9\s])")
_AROUND: Final = b"\x0b\x1c\r\n\t \x00"


def split_frame(body: bytes) -> list[bytes]:
    """The messages in one frame: one as it came, or several without what stands between them, batch segments included.

    A message begins where a line begins with MSH and the separator (MSH-1) that the first message has. MSH within a
    field, or at the head of a line of running text ("MSH: see above"), begins none. What stands before the first MSH
    stays with that message, as it does when there is only one.
    """
    if body.find(b"MSH", 4) < 0:  # nearly always
        return [body]
    first = _FIRST.search(body)
    if first is None:
        return [body]
    starts = list(_opening(first[1]).finditer(body))
    if sum(found[1] == b"MSH" for found in starts) < 2:
        return [body]
    messages: list[bytes] = []
    begin, wanted = 0, True
    for found in starts[1:] if starts[0][1] == b"MSH" else starts:
        if wanted:
            _keep(body[begin : found.start()], messages)
        wanted = found[1] == b"MSH"
        begin = found.start(1)
    if wanted:
        _keep(body[begin:], messages)
    return messages


@lru_cache(maxsize=64)
def _opening(separator: bytes) -> re.Pattern[bytes]:
    """What opens a message, or belongs to a batch around messages (HL7 v2 section 2.10.3), with this MSH-1."""
    line = rb"(?:(?<=[\r\n\x0b\x1c\x00])|\A)[ \t]*(?:\xef\xbb\xbf)?"
    return re.compile(line + rb"(MSH|FHS|BHS|BTS|FTS)" + re.escape(separator))


def _keep(piece: bytes, messages: list[bytes]) -> None:
    piece = piece.strip(_AROUND)
    if piece:
        messages.append(piece)
