"""A lease in Redis: of several processes one at a time does the work, and only that one writes.

The holder's token lies under a key that expires. Each write to Redis is one transaction that goes through only while
the key holds the token, so a process that was suspended for longer than the lease writes nothing when it goes on, even
if no other process has taken over yet. What the holder writes to Kafka is fenced by Kafka itself: it uses one
transactional ID, which the next holder takes over before it reads anything.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final
from uuid import uuid4

import redis

_RENEW: Final = """
if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('pexpire', KEYS[1], ARGV[2]) end
return 0
"""
_RELEASE: Final = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"
_PARTS: Final = 4
"""The lease is renewed so many times within its time."""


class LeaseLost(Exception):
    """This process does not hold the lease any more; nothing was written."""


class Lease:
    """The lease under `key`. It ends `seconds` after its holder's last renewal."""

    def __init__(self, url: str, key: str, seconds: float, may_renew: Callable[[], bool]) -> None:
        """`may_renew`: whether the holder makes progress; a process that hangs loses the lease."""
        self.seconds = seconds
        self._key = key
        self._token = uuid4().hex.encode()
        self._may_renew = may_renew
        patience = max(0.5, seconds / 2)
        self._redis: redis.Redis = redis.Redis.from_url(url, socket_timeout=patience, socket_connect_timeout=patience)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    def acquire(self) -> bool:
        """Whether this process holds the lease now; not to be called after `release`. Raises RedisError."""
        if self._thread.ident is None:
            self._thread.start()
        if self._redis.set(self._key, self._token, nx=True, px=self._milliseconds):
            return True
        return bool(self._redis.eval(_RENEW, 1, self._key, self._token, self._milliseconds))

    def write(self, client: redis.Redis, commands: Callable[[Any], None]) -> None:
        """Run the commands that `commands` puts into a pipeline of `client`, all of them or none.

        Raises LeaseLost, or RedisError: then it is unknown whether they ran.
        """
        pipeline: Any
        with client.pipeline(transaction=True) as pipeline:
            while True:
                pipeline.watch(self._key)
                held: Any = pipeline.get(self._key)
                if held not in (self._token, self._token.decode()):
                    raise LeaseLost
                pipeline.multi()
                commands(pipeline)
                try:
                    pipeline.execute()
                except redis.WatchError:
                    continue  # renewed in between, or lost: look again
                return

    def release(self) -> None:
        """Let another process have it at once, if this one holds it, and renew it no more. Raises nothing."""
        self._stopping.set()
        self.give_up()

    def give_up(self) -> None:
        """Let another process have it at once, if this one holds it. Raises nothing."""
        with suppress(redis.RedisError):
            self._redis.eval(_RELEASE, 1, self._key, self._token)

    @property
    def _milliseconds(self) -> int:
        return int(self.seconds * 1000)

    def _keep(self) -> None:
        while not self._stopping.wait(self.seconds / _PARTS):
            if self._may_renew():
                with suppress(redis.RedisError):
                    self._redis.eval(_RENEW, 1, self._key, self._token, self._milliseconds)
