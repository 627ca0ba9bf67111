"""Values of `adt.unattributed.v1`, as JSON."""

from __future__ import annotations

import msgspec


class Unattributed(msgspec.Struct, frozen=True):
    """A source patient that is nobody's yet, on `adt.unattributed.v1`: why and since when; no demographics."""

    patient: str
    identifiers: tuple[str, ...]
    reason: str
    since: int
