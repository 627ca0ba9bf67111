"""How things are identified: patient keys, Medi-Cal client index numbers (CIN), published IDs and content digests."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Any, Final

import msgspec

_encode = msgspec.msgpack.Encoder().encode
_CIN: Final = re.compile(r"9[0-9]{7}[AC-HMNT-Z]", re.ASCII)
"""DHCS: `9`, seven digits, and a check letter other than B I J K L O P Q R S."""
_CARD: Final = re.compile(r"9[0-9]{7}[AC-HMNT-Z][0-9]{5}", re.ASCII)
"""A benefits card number: the CIN, a check digit, and the four-digit date of issue."""
MOST_CHARACTERS: Final = 199
"""Characters of one identifier, code or copied text at most. HL7's longest: EI.1 and HD.2 in version 2.5.1, MSH-10 from
2.6 on. CX.1 (15 in 2.5.1) and HD.1 (20) have less there, but feeds send UUIDs and object identifiers in them."""


def patient_key(authority: str, number: str) -> str:
    """The key of one source patient: `authority|number`, both trimmed, letter case kept.

    The first bar ends the authority, so a bar inside it (HL7 escape `\\F\\`) is written `%7C`.
    """
    authority = authority.strip()
    if "|" in authority:
        authority = authority.replace("|", "%7C")
    return f"{authority}|{number.strip()}"


def read_cin(text: str) -> str | None:
    """The CIN in `text` (nine characters); None if `text` has another shape.

    Blanks and hyphens inside are removed and letters put in upper case; a benefits card number of 14 characters is cut
    to its first nine.
    """
    text = text.strip()
    if len(text) < 9 or text[0] != "9":
        return None
    plain = text.replace(" ", "").replace("-", "").upper()
    if _CIN.fullmatch(plain):
        return plain
    if _CARD.fullmatch(plain):
        return plain[:9]
    return None


def public_id(prefix: str, *parts: str) -> str:
    """A published ID: the prefix and 24 hexadecimal digits that depend on all parts and disclose none of them.

    Topics and what consumers keep hold these IDs: the construction never changes.
    """
    return f"{prefix}_" + blake2b("\x1f".join(parts).encode(), digest_size=12).hexdigest()


def digest(content: Any) -> bytes:
    """Eight bytes that tell two contents apart: BLAKE2b of their msgpack.

    Rows keep digests of what was emitted: another construction, order or content would emit everything once more.
    """
    return blake2b(_encode(content), digest_size=8).digest()
