"""`identity.links.v1`: statements to a source patient's row about its member, as JSON
(docs/records.md#identitylinksv1).

Kinds: `merge` (the row was merged into `survivor`), `partner` (linked with `survivor`, or no longer), `move` (the visit
or account `identifier` belongs to the patient in `claim`), `group` (a merge names the row as survivor), `owner` (the
directory: the member of `survivor`, which is the row itself or a patient that visits of it were moved to),
`waiting-match` and `release` (the directory: the roster names, or no longer names, a member for an identifier),
`answered` (the directory: the links before this one are all that it knows about a patient that it was asked about),
`assign`, `release` and `unmerge` with method `operator`.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from domain.errors import UNDECODABLE, Refusal
from domain.patient.row import Claim, Guard, OwnerAnnouncement

ANSWERED: Final = "answered"


class Link(msgspec.Struct, frozen=True, omit_defaults=True):
    """One record of the topic; its key is `patient`. `rev` and `received` are ms UTC."""

    kind: str
    patient: str
    received: int = 0
    survivor: str | None = None
    retired: str | None = None
    claim: Claim | None = None
    told: Any = None
    """Written by earlier versions; not read."""
    member: str | None = None
    method: str = ""
    identifier: str | None = None
    rev: int = 0
    actor: str | None = None
    guard: Guard | None = None
    owner: OwnerAnnouncement | None = None


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
