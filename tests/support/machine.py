"""A user's machine: a home, a data folder, and the command line in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from handoff.supervisor import read_state
from tests.support.kafka import wait_for


class Machine:
    """A user's machine: a home for state, a data folder elsewhere, and the command line."""

    def __init__(self, home: Path) -> None:
        self.home, self.data = home, home / "elsewhere"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HANDOFF_")}
        self.environment = {**kept, "XDG_STATE_HOME": str(home / "state"), "COLUMNS": "80"}

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "handoff", *words],
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
            env={**self.environment, **environment},
        )

    def up(self, *words: str) -> None:
        done = self.run("up", "--detach", "--data", str(self.data), *words)
        assert done.returncode == 0, done.stderr

    @property
    def state(self) -> dict[str, Any]:
        return read_state(self.data / "up.json") or {}

    def pid(self, role: str) -> int | None:
        return next((each["pid"] for each in self.state["processes"] if each["role"] == role), None)

    def ready(self, role: str) -> bool:
        """Whether the state file says that it is ready."""
        return next(bool(each["ready"]) for each in self.state["processes"] if each["role"] == role)

    def kill(self, role: str) -> None:
        """SIGKILL, and wait until the system says that it runs again under another PID."""
        before = self.pid(role)
        assert before is not None
        os.kill(before, signal.SIGKILL)
        wait_for(lambda: self.pid(role) not in (None, before), 90, f"{role} to be started again")
        wait_for(lambda: all(each["ready"] for each in self.state["processes"]), 90, "everything to be ready")

    def send(self, *messages: str) -> subprocess.CompletedProcess[str]:
        file = self.home / "messages.hl7"
        file.write_text("\r\n".join(messages))
        return self.run("send", str(file), "--retry")


def admission(number: int, *, cin: str = "", day: int = 1) -> str:
    """An ED arrival on a day of October 2026, each under a record number and a visit number of its own."""
    pid3 = f"{number}^^^GENHOSP^MR" + (f"~{cin}^^^MEDI-CAL^MA" if cin else "")
    return (
        f"MSH|^~\\&|REG|GENHOSP|HUB|PLAN|202610{day:02}100000||ADT^A04|{number}|P|2.5.1\r"
        f"EVN|A04|202610{day:02}100000\rPID|1||{pid3}||Sample^Person||19800101|F\r"
        f"PV1|1|E|||||||||||||||||V{number}\r"
    )
