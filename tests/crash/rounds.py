"""How many rounds a crash test plays. `make crash` sets HANDOFF_CRASH_ROUNDS; without it a few have to do."""

from __future__ import annotations

import os
from typing import Final

import pytest

MANY: Final = "HANDOFF_CRASH_ROUNDS" in os.environ
"""Whether this is the whole matrix, with what takes long."""
IN_FULL: Final = pytest.mark.skipif(not MANY, reason="part of `make crash`")
"""For what is left out of the few: a sibling that stays shows the same, or it takes too long."""


def rounds(few: int, share: float = 1.0) -> int:
    """`few`, or of the matrix's rounds that share (at least one)."""
    return max(1, round(int(os.environ["HANDOFF_CRASH_ROUNDS"]) * share)) if MANY else few
