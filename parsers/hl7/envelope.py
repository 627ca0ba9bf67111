"""The header of a message (MSH): enough to choose a sender profile and to write an acknowledgment."""

from __future__ import annotations

import msgspec

from parsers.hl7.charsets import CHARSETS, MARK, decoded, header_of
from parsers.hl7.encoding import Delimiters, delimiters_of, unescape


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """The fields of MSH. Texts are first components, unescaped and trimmed; "" where a field is empty.

    `fields` are the raw fields as Latin-1 text, byte for byte (`fields[n - 1]` is MSH-n, MSH-1 included):
    an acknowledgment repeats some of them unchanged.
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
    """The codec of MSH-18, or ""."""


def read_envelope(raw: bytes) -> Envelope:
    """The header of `raw`. Raises Refusal `empty` or `not-hl7`; a missing field is "".

    The trigger is in upper case and not validated; `read_adt` refuses an invalid one.
    """
    line = header_of(raw)
    sent = _fields(line.removeprefix(MARK).decode("latin-1"))
    read = sent if line.isascii() else _fields(decoded(line)[0])
    delimiters = delimiters_of(read[0], read[1])

    def text(number: int, component: int = 1) -> str:
        value = read[number - 1]
        if value and not value.isalnum():
            parts = value.split(delimiters.repeat, 1)[0].split(delimiters.component)
            value = parts[component - 1].split(delimiters.sub, 1)[0] if len(parts) >= component else ""
            return unescape(value, delimiters).strip()
        return value if component == 1 else ""

    return Envelope(
        delimiters=delimiters,
        fields=tuple(sent),
        sending_app=text(3),
        sending_facility=text(4),
        message_type=text(9).upper(),
        trigger=text(9, 2).upper(),
        control_id=text(10),
        processing_id=text(11),
        version=text(12),
        accept_ack=text(15).upper(),
        application_ack=text(16).upper(),
        charset=CHARSETS.get(text(18).upper(), ""),
    )


def _fields(line: str) -> list[str]:
    """The fields of an MSH line, 20 at least: `[n - 1]` is MSH-n; MSH-1 is not validated."""
    field = line[3:4]
    fields = line.split(field, 20) if field else [line]
    fields[0] = field
    return [*fields, *[""] * (20 - len(fields))]
