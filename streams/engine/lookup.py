"""Asking the directory: all questions of a chunk at once, before it is decided."""

from __future__ import annotations

import asyncio
from typing import Protocol

import structlog

_log = structlog.get_logger("engine")


class Lookup(Protocol):
    """A directory that answers questions whose form is a matter between it and the stage."""

    async def ask(self, questions: list[str]) -> dict[str, str | None] | None:
        """An answer to each question (None: it does not know); None altogether when the directory is away."""
        ...


async def ask(lookup: Lookup | None, questions: list[str], seconds: float) -> dict[str, str | None] | None:
    """The answers, or None when they did not come within `seconds`. Never raises for the directory's sake."""
    if not questions:
        return {}
    if lookup is None:
        return None
    try:
        async with asyncio.timeout(seconds):
            return await lookup.ask(questions)
    except Exception as error:
        _log.warning("directory away", error=type(error).__name__, questions=len(questions))
        return None
