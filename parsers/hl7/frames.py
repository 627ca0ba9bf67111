"""Several messages in one MLLP frame, as some senders write that frame a whole file.

Each of them is parsed and acknowledged, since the sender could not detect that only the first was.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from parsers.hl7.batch import Splitter
from parsers.hl7.charsets import AROUND

_FIRST: Final = re.compile(rb"(?:\A|[\r\n\x0b\x1c\x00])[ \t]*(?:\xef\xbb\xbf)?MSH([^A-Za-z0-9\s])")


def split_frame(body: bytes) -> list[bytes]:
    """The messages in one frame: one unchanged, or several without batch segments and blanks between them.

    A message begins at a line with MSH and the field separator (MSH-1) of the first message. MSH within a field, or at
    the beginning of a line of text ("MSH: see above"), begins none. Content before the first MSH stays with that
    message, as in a frame with one message.
    """
    if body.find(b"MSH", 4) < 0:  # the usual case
        return [body]
    first = _FIRST.search(body)
    if first is None:
        return [body]
    opening = _opening(first[1])
    starts = list(opening.finditer(body))
    if sum(found[1] == b"MSH" for found in starts) < 2:
        return [body]
    opener, begin = starts[0], starts[0].start(1)
    pieces = Splitter(opening=opening).feed(body[begin:], last=True)
    messages = [piece.data for piece in pieces if piece.is_message]
    if opener[1] == b"MSH":
        messages[0] = (body[:begin] + messages[0]).strip(AROUND)
    elif before := body[: opener.start()].strip(AROUND):
        messages.insert(0, before)
    return messages


@lru_cache(maxsize=64)
def _opening(separator: bytes) -> re.Pattern[bytes]:
    """The first segment of a message, or a batch segment (HL7 v2 section 2.10.3), with this MSH-1."""
    line = rb"(?:(?<=[\r\n\x0b\x1c\x00])|\A)[ \t]*(?:\xef\xbb\xbf)?"
    return re.compile(line + rb"(MSH|FHS|BHS|BTS|FTS)" + re.escape(separator))
