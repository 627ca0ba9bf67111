"""The bytes of a message as text and back, by byte order mark, MSH-18 and profile; and its MSH line alone."""

from __future__ import annotations

import re
from typing import Final

from domain.errors import Refusal
from parsers.hl7.refusals import EMPTY, NOT_HL7

AROUND: Final = b"\x0b\x1c\r\n\t \x00"
"""Bytes that are stripped from both ends of a message: MLLP framing, blank lines, NULs."""
MARK: Final = b"\xef\xbb\xbf"
"""The byte order mark of UTF-8."""
WIDE: Final = (b"\xff\xfe", b"\xfe\xff")
"""The byte order marks of UTF-16, which is not detected without one."""
_HEADER: Final = re.compile(rb"(?:\A|[\r\n])(MSH[^\r\n]*)")
CHARSETS: Final = {
    "8859/1": "iso8859-1",
    "8859/2": "iso8859-2",
    "8859/3": "iso8859-3",
    "8859/4": "iso8859-4",
    "8859/5": "iso8859-5",
    "8859/6": "iso8859-6",
    "8859/7": "iso8859-7",
    "8859/8": "iso8859-8",
    "8859/9": "iso8859-9",
    "8859/15": "iso8859-15",
    "UNICODE": "utf-8",
    "UNICODE UTF-8": "utf-8",
    "UTF-8": "utf-8",
    "UTF8": "utf-8",
    "WINDOWS-1252": "cp1252",
    "CP1252": "cp1252",
}
"""MSH-18 (table 0211, and other names in use) -> codec. Not ASCII: senders that state it send other bytes too."""


def decoded(raw: bytes, default: str = "") -> tuple[str, str]:
    """(`raw` as text, "charset-fallback" if its bytes are not in the stated charset, else "").

    In order: a byte order mark; pure ASCII; the first repetition of MSH-18; `default` (the profile's); strict UTF-8;
    Windows-1252, marked (a byte without meaning there is read as Latin-1).
    """
    if raw.isascii():
        return raw.decode("ascii"), ""
    marked = raw.startswith(MARK)
    if marked:
        raw = raw[3:]
    elif raw.startswith(WIDE):
        # Stripping NULs may have removed half of the last character.
        return (raw + b"\0" * (len(raw) % 2)).decode("utf-16", "replace"), ""
    for codec in ("utf-8" if marked else "", _stated_codec(raw), default, "utf-8"):
        if codec:
            try:
                return raw.decode(codec), ""
            except (UnicodeDecodeError, LookupError):
                continue
    try:
        return raw.decode("cp1252"), "charset-fallback"
    except UnicodeDecodeError:
        return raw.decode("latin-1"), "charset-fallback"


def encoded(text: str) -> bytes:
    """The bytes of a message given as text: in the charset of its MSH-18, else in UTF-8.

    Raises UnicodeEncodeError for a lone surrogate.
    """
    raw = text.encode()
    codec = "" if raw.isascii() else _stated_codec(raw)
    if codec:
        try:
            return text.encode(codec)
        except UnicodeEncodeError:
            pass  # text beyond the stated charset: the parser falls back to UTF-8, with a note
    return raw


def _stated_codec(raw: bytes) -> str:
    start = raw.find(b"MSH")
    if start < 0:
        return ""
    header = re.split(rb"[\r\n]", raw[start:], maxsplit=1)[0].decode("latin-1")
    fields = header.split(header[3:4] or "|", 18)
    if len(fields) < 18:
        return ""
    return CHARSETS.get(fields[17].split(fields[1][1:2] or "~", 1)[0].strip().upper(), "")


def header_of(raw: bytes) -> bytes:
    """The MSH line of a message in its own bytes (UTF-16: in UTF-8), with a UTF-8 byte order mark of the message.

    Raises Refusal `empty` or `not-hl7`, as parsing the whole message does.
    """
    raw = raw.strip(AROUND)
    if not raw:
        raise Refusal(EMPTY)
    if raw.startswith(WIDE):
        raw = MARK + decoded(raw)[0].encode()
    mark = MARK if raw.startswith(MARK) else b""
    found = _HEADER.search(raw.removeprefix(mark))
    if found is None:
        raise Refusal(NOT_HL7, "MSH", "no MSH segment")
    return mark + found[1]
