"""A child process: its log, its PID file, its end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from random import SystemRandom
from typing import Final

from handoff.embedded.tether import end, started_at, tie

SERVER_PORTS: Final = range(20_000, 32_000)


class NotStarted(Exception):
    """A child could not be started, did not become ready in time, or one from before is in the way."""


class Refused(NotStarted):
    """Another process is in the way: it has the folder or a port. A second try would end the same."""


def free_ports(count: int) -> list[int]:
    """Distinct TCP ports of 127.0.0.1 that nothing listens on at this moment. Raises NotStarted when there are none.

    From below the range that systems give to outgoing connections: a server takes its port seconds after it was chosen,
    and any client could have it by then.
    """
    ports: list[int] = []
    with ExitStack() as held:
        for port in SystemRandom().sample(SERVER_PORTS, len(SERVER_PORTS)):
            if len(ports) == count:
                return ports
            listener = held.enter_context(socket.socket())
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            ports.append(port)
    raise NotStarted("no free TCP port on 127.0.0.1")


def is_free(port: int) -> bool:
    """Whether 127.0.0.1:port can be listened on now (a connection in TIME_WAIT does not count)."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def answers(port: int) -> bool:
    """Whether something accepts connections at 127.0.0.1:port."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=0.5):
            return True
    except OSError:
        return False


def replies(port: int, request: bytes) -> bool:
    """Whether the server at 127.0.0.1:port answers `request`. One that hangs still accepts connections."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=0.5) as connection:
            connection.sendall(request)
            return bool(connection.recv(1))
    except OSError:
        return False


class Child:
    """A server run in `folder`: output to `output.log`, PID and start time to `pid.json`, ended with this process.

    The child has a session of its own, so that Ctrl-C reaches only this process, which ends its children in order.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.log = folder / "output.log"
        self._pid_file = folder / "pid.json"
        self._process: subprocess.Popen[bytes] | None = None
        self._tether: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The PID while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs or when it never started."""
        return None if self._process is None else self._process.poll()

    def refuse_or_end_stale(self, *, end_stale: bool) -> None:
        """Handle a child that an earlier run left in this folder: end it if `end_stale`, else raise NotStarted."""
        try:
            left = json.loads(self._pid_file.read_text(encoding="utf-8"))
            pid, started = int(left["pid"]), float(left["started"])
        except (OSError, ValueError, KeyError, TypeError):
            return
        if started_at(pid) != started:
            return
        if not end_stale:
            raise NotStarted(
                f"{self.name} from an earlier run still works on {self.folder} (process {pid}). Stop that run first "
                "(`handoff down`), or choose another folder."
            )
        end(pid, started)

    def start(self, command: Sequence[str], *, environment: dict[str, str] | None = None) -> None:
        """Start it. Raises NotStarted when the program cannot be run."""
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(
                    list(command),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    env=environment,
                )
        except OSError as error:
            raise NotStarted(f"{self.name} could not be run: {error}") from error
        started = started_at(self._process.pid)
        if started is not None:
            self._tether = tie(self._process.pid, started)
            self._pid_file.write_text(json.dumps({"pid": self._process.pid, "started": started}), encoding="utf-8")

    def wait_ready(self, ready: Callable[[], bool], seconds: float) -> None:
        """Return once `ready()` holds. Raises NotStarted, with the log's end, on death or after `seconds`."""
        deadline = time.monotonic() + seconds
        while not ready():
            if self.pid is None:
                raise NotStarted(f"{self.name} ended while starting. The end of {self.log}:\n{self.tail()}")
            if time.monotonic() > deadline:
                raise NotStarted(f"{self.name} was not ready in {seconds:.0f} s. The end of {self.log}:\n{self.tail()}")
            time.sleep(0.05)

    def tail(self, lines: int = 20) -> str:
        """The last lines of the log."""
        try:
            return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
        except OSError:
            return ""

    def signal(self, number: int) -> None:
        """Send a signal to it, if it runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def pause(self) -> None:
        """SIGSTOP; returns when all its threads have stopped (or it has ended): they go on for a while after `kill`."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def stop(self, grace: float = 15.0) -> None:
        """SIGTERM, wait at most `grace` seconds, SIGKILL. Returns when it is gone."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        if self._process is not None:
            try:
                self._process.wait(grace)
            except subprocess.TimeoutExpired:
                self.kill()
        self._forget()

    def kill(self) -> None:
        """SIGKILL. Returns when it is gone."""
        self.signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
        self._forget()

    def _forget(self) -> None:
        self._pid_file.unlink(missing_ok=True)
        if self._tether is not None and self._tether.stdin is not None:
            self._tether.stdin.close()
            self._tether.wait()
        self._process = self._tether = None
