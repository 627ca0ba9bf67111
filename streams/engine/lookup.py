"""Directory look-ups: all questions of a batch in one round trip, before it is decided."""

from __future__ import annotations

import asyncio
from typing import Protocol


class Lookup(Protocol):
    """A member directory. The engine does not read questions and answers; the stage and the directory agree on them."""

    async def ask(self, questions: list[str]) -> dict[str, str | None] | None:
        """The answer to each question (None: no such entry); None in place of all when the directory is unavailable."""
        ...


async def ask(lookup: Lookup | None, questions: list[str], seconds: float) -> dict[str, str | None] | None:
    """The answers, or None when they did not come within `seconds`. A fault of the directory raises nothing."""
    if not questions:
        return {}
    if lookup is None:
        return None
    try:
        async with asyncio.timeout(seconds):
            return await lookup.ask(questions)
    except Exception:
        return None
