"""Several messages glued together in one MLLP frame: seen in the wild, where a sender frames a file and not a message.

All of them have to be read and answered, since nothing tells the sender that only the first was.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from parsers.hl7.batch import Splitter
from parsers.hl7.encoding import AROUND

_FIRST: Final = re.compile(rb"(?:\A|[\r\n\x0b\x1c\x00])[ \t]*(?:\xef\xbb\xbf)?MSH([^A-Za-z0-9\s])")


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
    """What opens a message, or belongs to a batch around messages (HL7 v2 section 2.10.3), with this MSH-1."""
    line = rb"(?:(?<=[\r\n\x0b\x1c\x00])|\A)[ \t]*(?:\xef\xbb\xbf)?"
    return re.compile(line + rb"(MSH|FHS|BHS|BTS|FTS)" + re.escape(separator))
