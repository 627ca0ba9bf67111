"""Values of `adt.unattributed.v1`, as JSON."""

from __future__ import annotations

import msgspec


class Unattributed(msgspec.Struct, frozen=True):
    """A source patient without a member (docs/records.md#adtunattributedv1). `since` is ms UTC; no demographics."""

    patient: str
    identifiers: tuple[str, ...]
    reason: str
    since: int
