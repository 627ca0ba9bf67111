"""Places where a test can have the process killed: `HANDOFF_KILL_AT=after-commit:3` kills at the third passage.

Each is a step of the protocol after which a power cut leaves something half done. Unless the variable is set they do
nothing.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any, Final

POINTS: Final = (
    "after-consume",
    "after-decide",
    "after-begin",
    "after-produce",
    "after-offsets",
    "after-commit",
    "after-apply",
    "during-restore",
)


def _unarmed(point: str, before: Callable[[], Any] | None = None) -> None:
    """Do nothing: no failpoint is armed."""


def _armed(order: str) -> Callable[..., None]:
    name, _, nth = order.partition(":")
    if name not in POINTS:
        raise ValueError(f"HANDOFF_KILL_AT names no failpoint; there are: {', '.join(POINTS)}")
    left = int(nth or 1)

    def failpoint(point: str, before: Callable[[], Any] | None = None) -> None:
        nonlocal left
        if point != name:
            return
        left -= 1
        if left == 0:
            if before is not None:
                before()
            os.kill(os.getpid(), signal.SIGKILL)

    return failpoint


_order = os.environ.get("HANDOFF_KILL_AT")
failpoint: Final[Callable[..., None]] = _armed(_order) if _order else _unarmed
"""`failpoint(point, before)`: the process is at `point`. `before` runs ahead of the kill (to have records sent)."""
