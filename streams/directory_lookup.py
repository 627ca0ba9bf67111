"""The member directory's answers in Redis: where they lie, and the look-up for workers."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.retry import Retry

from agents.directory import answer_in, identifier_key

PREFIX: Final = "handoff:directory:"
"""Of every key. Redis must not evict any (`maxmemory-policy noeviction`, its default)."""
CAUGHT_UP: Final = PREFIX + "caught-up"
"""When (ms UTC) the directory had read its topics to the end. Until then a missing entry proves nothing."""


class RedisLookup:
    """Looks up the member of an identifier: `member`, a unit separator, the revision; or None.

    `ask` returns None in place of all answers when Redis does not answer within `seconds`, or does not hold the whole
    roster yet.
    """

    def __init__(self, url: str, seconds: float = 1.0) -> None:
        self._seconds = seconds
        self._redis = redis.asyncio.Redis.from_url(
            url,
            decode_responses=True,
            socket_timeout=seconds,
            socket_connect_timeout=seconds,
            retry=Retry(NoBackoff(), 1),  # one: for a connection that Redis closed while it was idle
        )

    async def ask(self, questions: list[str]) -> dict[str, str | None] | None:
        """The answers to `authority|number` questions, in one round trip."""
        keys = [CAUGHT_UP, *(PREFIX + identifier_key(question) for question in questions)]
        try:
            async with asyncio.timeout(self._seconds):
                found: Any = await self._redis.mget(keys)
        except (redis.RedisError, OSError, TimeoutError):
            return None
        if found[0] is None:
            return None
        return {question: answer_in(text) for question, text in zip(questions, found[1:], strict=True)}

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()
