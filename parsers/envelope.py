"""The header of a message (MSH) without the rest: what a door needs to choose a profile and to answer."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from domain.refusal import Refusal
from parsers.codes import EMPTY, NOT_HL7
from parsers.hl7 import CHARSETS, Delimiters, decoded, delimiters_of, unescape

_HEADER: Final = re.compile(rb"(?:\A|[\r\n])(?:\xef\xbb\xbf)?[\x0b\t \x00]*(MSH[^\r\n]*)")


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """MSH, read. Texts are first components, unescaped and trimmed; "" where a field is empty.

    `fields` holds the raw fields as Latin-1 text, byte for byte (`fields[n - 1]` is MSH-n, MSH-1 is left out):
    an answer repeats some of them exactly as they came.
    """

    delimiters: Delimiters
    fields: tuple[str, ...]
    sending_app: str = ""
    sending_facility: str = ""
    message_type: str = ""
    trigger: str = ""
    control_id: str = ""
    processing_id: str = ""
    version: str = ""
    accept_ack: str = ""
    """MSH-15: AL, NE, ER, SU or ""."""
    application_ack: str = ""
    """MSH-16."""
    charset: str = ""
    """The codec that MSH-18 names, or ""."""

    @property
    def separators(self) -> str:
        """MSH-1 and MSH-2 as they came."""
        return self.delimiters.field + self.fields[1]


def read_envelope(raw: bytes) -> Envelope:
    """The header of `raw`. Raises Refusal `empty` or `not-hl7`; a missing field is no reason to.

    The trigger is in upper case and may be anything, "" included: `read_adt` judges it.
    """
    found = _HEADER.search(raw, 0, len(raw))
    if found is None:
        if not raw.strip(b"\x0b\x1c\r\n\t \x00"):
            raise Refusal(EMPTY)
        raise Refusal(NOT_HL7, "MSH", "no MSH segment")
    line = found[1].rstrip(b"\x1c\x00 ").decode("latin-1")
    field = line[3:4]
    fields = line.split(field, 20) if field else [line]
    fields.extend([""] * (20 - len(fields)))
    delimiters = delimiters_of(field, fields[1])

    def text(number: int, component: int = 1) -> str:
        value = fields[number - 1]
        if value and not value.isalnum():
            parts = value.split(delimiters.repeat, 1)[0].split(delimiters.component)
            value = parts[component - 1].split(delimiters.sub, 1)[0] if len(parts) >= component else ""
            value = unescape(value, delimiters).strip()
        elif component > 1:
            value = ""
        return value if value.isascii() else _as_meant(value, charset)

    charset = ""  # `text` reads MSH-18 with it: a charset has an ASCII name
    charset = CHARSETS.get(text(18).upper(), "")
    return Envelope(
        delimiters=delimiters,
        fields=tuple(fields),
        sending_app=text(3),
        sending_facility=text(4),
        message_type=text(9).upper(),
        trigger=text(9, 2).upper(),
        control_id=text(10),
        processing_id=text(11),
        version=text(12),
        accept_ack=text(15).upper(),
        application_ack=text(16).upper(),
        charset=charset,
    )


def _as_meant(latin: str, charset: str) -> str:
    """Text of a header whose bytes were read as Latin-1, read again as `parsers.hl7.decoded` reads a message."""
    try:
        return decoded(latin.encode("latin-1"), charset)[0]
    except UnicodeEncodeError:  # a hex escape gave a character that Latin-1 does not have
        return latin
