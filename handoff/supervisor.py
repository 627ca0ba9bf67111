"""Runs handoff's processes on one machine: starts them, starts them again when they crash on purpose, stops them.

A process that crashed on purpose (exit 70) is started again. One that refuses its settings or files (exit 2) is not:
all processes stop, and its last log lines are shown. Children end when this process is killed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.error import URLError

from handoff.embedded.process import Child, NotStarted
from handoff.embedded.tether import started_at
from streams.exit_codes import EXIT_REFUSED

LONGEST_PAUSE: Final = 5.0
HOPELESS: Final = 4
"""A process that ends so many times during the start-up has no passing fault."""
STEADY_SECONDS: Final = 30.0
"""After so long a run, the pauses before restarts begin anew."""


@dataclass
class Process:
    """One supervised process. `health` is the port of its /readyz on loopback; `command` follows `handoff`."""

    role: str
    command: tuple[str, ...]
    health: int
    stage: str | None = None
    slot: int | None = None
    child: Child | None = None
    restarts: int = 0
    started: float = 0.0
    again_at: float = 0.0
    exits: list[int] = field(default_factory=list)
    log_tail: str = ""
    """The end of its log when it ended last."""

    @property
    def name(self) -> str:
        """For logs and folders: "work-refer-0"."""
        return "-".join(str(part) for part in (self.role, self.stage, self.slot) if part is not None)


def is_ready(port: int) -> bool:
    """Whether the process behind this health port is ready."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError, ValueError):
        return False


class Supervisor:
    """The processes of one machine. Not thread-safe: call `supervise` from one loop."""

    def __init__(self, folder: Path, processes: Iterable[Process], environment: dict[str, str]) -> None:
        self.folder = folder
        self.processes = list(processes)
        self._environment = {**os.environ, **environment}
        self.failed: str | None = None
        """Why all must stop: the process that refused its settings or declarations."""

    def start(self) -> None:
        """Start every process; does not wait for readiness."""
        for process in self.processes:
            self._launch(process)

    def supervise(self) -> None:
        """Check every process once and start again what crashed. Call this a few times a second."""
        now = time.monotonic()
        for process in self.processes:
            child = process.child
            if child is not None and child.pid is None:
                code = child.exit_code
                process.exits.append(code if code is not None else -1)
                process.log_tail = child.tail(12)
                child.stop()
                process.child = None
                if code == EXIT_REFUSED:
                    self.failed = f"{process.name} refused to start:\n{process.log_tail}"
                    return
                steady = now - process.started > STEADY_SECONDS
                process.restarts = 1 if steady else process.restarts + 1
                process.again_at = now + (
                    0.0 if process.restarts == 1 else min(LONGEST_PAUSE, 0.2 * 2**process.restarts)
                )
            if process.child is None and now >= process.again_at:
                self._launch(process)

    def wait_ready(self, seconds: float, tick: Callable[[], None] = lambda: None) -> None:
        """Return once every process is ready. Raises NotStarted after `seconds`, or when one refused to start."""
        deadline = time.monotonic() + seconds
        waiting = list(self.processes)
        while waiting:
            self.supervise()
            if self.failed:
                raise NotStarted(self.failed)
            for process in waiting:
                if len(process.exits) >= HOPELESS:
                    raise NotStarted(f"{process.name} ended {HOPELESS} times at once:\n{process.log_tail}")
            waiting = [process for process in waiting if not is_ready(process.health)]
            if waiting and time.monotonic() > deadline:
                late = waiting[0]
                tail = late.child.tail(12) if late.child is not None else ""
                raise NotStarted(f"{late.name} was not ready in {seconds:.0f} s. The end of its log:\n{tail}")
            tick()
            time.sleep(0.1)

    def status(self) -> list[dict[str, Any]]:
        """One entry a process: role, stage, slot, pid, ready, restarts."""
        return [
            {
                "role": process.role,
                "stage": process.stage,
                "slot": process.slot,
                "pid": process.child.pid if process.child is not None else None,
                "ready": is_ready(process.health),
                "health": process.health,
                "restarts": len(process.exits),
            }
            for process in self.processes
        ]

    def stop(self) -> None:
        """Stop in order, listeners first, so that workers still process what was accepted; at most 15 s each."""
        for process in self.processes:
            if process.child is not None:
                process.child.signal(signal.SIGTERM)
                process.child.stop()
                process.child = None

    def _launch(self, process: Process) -> None:
        process.child = Child(process.name, self.folder / "processes" / process.name)
        process.started = time.monotonic()
        process.child.refuse_or_end_stale(end_stale=True)
        process.child.start(
            [sys.executable, "-m", "handoff", *process.command],
            environment={**self._environment, "HANDOFF_HEALTH__PORT": str(process.health)},
        )


def is_alive(state: dict[str, Any]) -> bool:
    """Whether the process that wrote this state file still runs (not merely another with its PID)."""
    pid, started = state.get("pid"), state.get("started")
    return isinstance(pid, int) and started_at(pid) == started


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Write the state file that `handoff status`, `down` and the other commands read; whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(state, indent=1), encoding="utf-8")
    part.chmod(0o600)
    part.replace(path)


def read_state(path: Path) -> dict[str, Any] | None:
    """The state file, or None when there is none that can be read."""
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return state if isinstance(state, dict) else None
