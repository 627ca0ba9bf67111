"""Supervision of an embedded server: when it has ended by itself, it is started again on its data and its port."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from threading import Thread
from typing import Any, Final, Protocol

from handoff.embedded.jars import JarsUnavailable
from handoff.embedded.process import NotStarted, replies

LONGEST_PAUSE: Final = 5.0
STEADY_SECONDS: Final = 30.0


_API_VERSIONS: Final = struct.pack(">hhih", 18, 0, 1, -1)
"""Kafka's ApiVersions, version 0, without a client ID: the request that every broker answers."""
PROBES: Final = {"kafka": struct.pack(">i", len(_API_VERSIONS)) + _API_VERSIONS, "redis": b"PING\r\n"}


def server_replies(role: str, port: int) -> bool:
    """Whether the server of this role (kafka, redis) answers at 127.0.0.1:port."""
    return replies(port, PROBES[role])


class Server(Protocol):
    """An embedded server."""

    @property
    def pid(self) -> int | None:
        """The PID; None while it does not run."""
        ...

    def start(self) -> None:
        """Start it if it does not run, on the same data and port, and wait until it is ready. Raises NotStarted."""
        ...


class Kept:
    """A server that was started. Call `supervise` a few times a second, from one thread.

    A start blocks until the server is ready (many seconds for Kafka), so each restart has a thread of its own: the
    other processes are supervised meanwhile.
    """

    def __init__(
        self,
        role: str,
        port: int,
        server: Server,
        on_step: Callable[[str], None],
    ) -> None:
        self.role, self.port = role, port
        self.restarts = 0
        self.fault = ""
        """Why the last restart failed; empty when it did not."""
        self._server, self._on_step = server, on_step
        self._thread: Thread | None = None
        self._since = time.monotonic()
        self._again_at = 0.0
        self._failures = 0

    def supervise(self) -> None:
        """Start it again, if it has ended and its pause is over."""
        if self._thread is not None:
            if self._thread.is_alive():
                return
            self._thread = None
        now = time.monotonic()
        if self._server.pid is not None:
            return
        if not self._again_at:
            if now - self._since > STEADY_SECONDS:
                self._failures = 0
            pause = 0.0 if self._failures == 0 else min(LONGEST_PAUSE, 0.2 * 2**self._failures)
            self._again_at = now + pause
            self._failures += 1
        if now >= self._again_at:
            self._again_at = 0.0
            self.restarts += 1
            self._on_step(f"{self.role} again: it had ended")
            self._thread = Thread(target=self._restart, name=f"restart {self.role}", daemon=True)
            self._thread.start()

    def status(self) -> dict[str, Any]:
        """Its entry in the state file, like those of handoff's own processes. Ready: it answers."""
        return {
            "role": self.role,
            "stage": None,
            "slot": None,
            "pid": self._server.pid,
            "ready": server_replies(self.role, self.port),
            "port": self.port,
            "restarts": self.restarts,
        }

    def settle(self) -> None:
        """Return when no restart is under way: only then may the server be stopped."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _restart(self) -> None:
        try:
            self._server.start()
        except (NotStarted, JarsUnavailable, OSError) as error:
            self.fault = str(error)
            self._on_step(f"{self.role} failed: {self.fault.splitlines()[0]}")
        else:
            self.fault = ""
            self._since = time.monotonic()
