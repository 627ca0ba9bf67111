"""The one way out when a worker can no longer be sure of what it holds."""

from __future__ import annotations

import os
import sys
from typing import Final, NoReturn

import structlog

EXIT_CRASHED: Final = 70

_log = structlog.get_logger("engine")


def crash(reason: str, **seen: object) -> NoReturn:
    """End the process at once with 70, from any thread. Its open transaction is fenced and aborted by the next start.

    `seen` is logged: coordinates, codes and numbers, never what a record says.
    """
    try:
        _log.critical("crashed on purpose", reason=reason, **seen)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(EXIT_CRASHED)
