"""Structured logs on stderr: one JSON object a line, or text on a terminal. Fields are names, codes, coordinates."""

from __future__ import annotations

import logging
import sys
from io import TextIOBase
from typing import TextIO, cast

import structlog


class _Stderr(TextIOBase):
    """Standard error at the time of each write: loggers outlive a temporary replacement of it (tests, CliRunner)."""

    def write(self, text: str) -> int:
        """Write to whatever is standard error now."""
        return sys.stderr.write(text)

    def flush(self) -> None:
        """Flush whatever is standard error now."""
        sys.stderr.flush()


def configure(level: int = logging.INFO) -> None:
    """Set up logging for a long-running process. Of libraries only warnings and errors are logged."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(name)s %(levelname)s %(message)s")
    renderer = structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", _Stderr())),
        cache_logger_on_first_use=True,
    )
