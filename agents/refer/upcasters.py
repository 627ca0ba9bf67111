"""How member rows of earlier versions are read (docs/engine.md#row-versions). A released step is never changed."""

from __future__ import annotations

from typing import Final

from agents.refer.compress import unpack
from agents.runtime.contract import Upcaster
from agents.runtime.rows import renumbered


def _from_2(body: bytes) -> bytes:
    """Version 3 has deaths apart from visits; a row of version 2 has none. Version 2 may be compressed."""
    return renumbered(3)(unpack(body))


def _from_3(body: bytes) -> bytes:
    """Version 4 has several spans of enrollment; a roster row of version 3 has one."""
    return renumbered(4)(unpack(body))


UPCASTERS: Final[tuple[Upcaster, ...]] = (renumbered(2), _from_2, _from_3)
"""One step for each row version before `domain.member.row.SCHEMA`, oldest first. Version 2 may compress a row and empty
the messages of a visit; version 1 did neither."""
