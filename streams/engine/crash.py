"""Ending the process at once: the only reaction to a state that a worker cannot explain (docs/engine.md)."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import structlog

from streams.exit_codes import EXIT_CRASHED, EXIT_REFUSED

_log = structlog.get_logger("engine")


def refuse(reason: str, **seen: object) -> NoReturn:
    """End the process at once with 2: starting it again would not help."""
    _end("refused to start", EXIT_REFUSED, reason, seen)


def crash(reason: str, **seen: object) -> NoReturn:
    """End the process at once with 70, from any thread. Its open transaction is fenced and aborted by the next start.

    `seen` is logged: coordinates, codes and numbers, never content of records.
    """
    _end("crashed on purpose", EXIT_CRASHED, reason, seen)


def _end(event: str, code: int, reason: str, seen: dict[str, object]) -> NoReturn:
    try:
        _log.critical(event, reason=reason, **seen)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)
