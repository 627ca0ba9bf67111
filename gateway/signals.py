"""Happenings of the gateway that operators see: one function each, its log line and its counters together.

Fields and labels are sender profiles, codes and sizes: never content, control IDs or names of files.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog

from gateway import metrics
from streams.metrics import DEAD_LETTERS

_log = structlog.get_logger("gateway")


def answered(sender: str, code: str, seconds: float) -> None:
    """A message was answered with MSA-1 `code` ("" when the sender wants no answer), `seconds` after it was whole."""
    metrics.MESSAGES.labels(sender, code or "none").inc()
    metrics.ACK_SECONDS.observe(seconds)


def not_confirmed(sender: str, why: str) -> None:
    """Kafka did not confirm a message: it is answered AR, and counted as such by `answered`."""
    _log.warning("not stored", sender=sender, why=why)


def unreadable(sender: str, bug: Exception) -> None:
    """A bug stopped the parser."""
    _log.error("message not read", sender=sender, error=type(bug).__name__)


def set_aside(sender: str, code: str, place: str) -> None:
    """A message is on the dead-letter topic."""
    DEAD_LETTERS.labels(code).inc()
    _log.info("set aside", sender=sender, code=code, place=place)


def unmapped(sender: str, places: Sequence[str]) -> None:
    """A stored message has codes that its profile does not map; `places` are fields (PV1-36), never a code."""
    for place in places:
        metrics.UNMAPPED.labels(sender, place).inc()


def file_not_opened(error: OSError, name: str) -> None:
    """A file in the watched folder cannot be opened, or is not to be taken. `name`: a hash of its name."""
    metrics.FOLDER_FILES.labels("unopened").inc()
    _log.error("file cannot be opened", name=name, error=error.strerror or type(error).__name__)


def file_left(size: int, stopping: bool) -> None:
    """A file stays where it is, to be taken again: Kafka did not confirm, or the gateway stops."""
    metrics.FOLDER_FILES.labels("left").inc()
    _log.warning("file left, to be taken again", bytes=size, stopping=stopping)


def file_finished(state: str, size: int, report: dict[str, Any]) -> None:
    """A file and its report were moved to `done` or `failed` (`state`)."""
    metrics.FOLDER_FILES.labels(state).inc()
    refused = state == "failed"
    log = _log.warning if refused or report.get("trailers") else _log.info
    log(
        "file refused" if refused else "file taken",
        file=str(report.get("content_hash", ""))[:12],
        bytes=size,
        messages=report["messages"],
        codes=report["codes"],
        why=report.get("unreadable", ""),
        miscounts=len(report.get("trailers", ())),
        seconds=report["seconds"],
    )
