"""`identity.links.v1`: what is said to a source patient's row about whose it is, as JSON.

Kinds: `merge` (a survivor tells one it absorbed whose it is), `absorb` (an A40 read elsewhere tells a survivor that it
absorbed someone), `waiting-match` and `release` (the directory: the roster names, or no longer names, a member),
`assign` and `release` with method `operator` (a person's word).
"""

from __future__ import annotations

from typing import Final

import msgspec

from domain.errors import UNDECODABLE, Refusal
from domain.patient.row import Claim, OwnerAnnouncement


class Link(msgspec.Struct, frozen=True, omit_defaults=True):
    """One record of the topic; its key is `patient`. `rev` and `received` are ms UTC."""

    kind: str
    patient: str
    received: int = 0
    survivor: str | None = None
    retired: str | None = None
    claim: Claim | None = None
    told: OwnerAnnouncement | None = None
    member: str | None = None
    method: str = ""
    identifier: str | None = None
    rev: int = 0
    actor: str | None = None


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(Link)


def encode_link(link: Link) -> bytes:
    """The JSON of a link."""
    return _ENCODER.encode(link)


def decode_link(value: bytes) -> Link:
    """A link from its JSON. Raises Refusal("bad-link")."""
    try:
        return _DECODER.decode(value)
    except UNDECODABLE as error:
        raise Refusal("bad-link") from error
