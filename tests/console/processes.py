"""A console running as a process, for the tests that want one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.error import HTTPError

from handoff.embedded.process import free_ports
from tests.support.kafka import wait_for

ROOT = Path(__file__).parents[2]


class ConsoleProcess:
    """Started on free ports; killed at the end of the block if it still runs. `log` holds all that it wrote."""

    def __init__(self, folder: Path, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self.port, self.health = free_ports(2)
        self.log = folder / "console.log"
        clean = {name: value for name, value in os.environ.items() if not name.startswith("HANDOFF_")}
        ports = {"HANDOFF_CONSOLE__PORT": str(self.port), "HANDOFF_HEALTH__PORT": str(self.health)}
        with self.log.open("wb") as sink:
            self._process = subprocess.Popen(
                [part.format(port=self.port, health=self.health) for part in command],
                cwd=ROOT,
                env={**clean, "HANDOFF_DATA": str(folder), "PYTHONPATH": str(ROOT), **ports, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
            )

    @classmethod
    def on(cls, folder: Path, bootstrap: str, groups: Mapping[str, Sequence[str]], topics: Mapping[str, str]) -> Self:
        """A console on topics of the test's own."""
        said = json.dumps({"bootstrap": bootstrap, "groups": groups, "topics": topics})
        said = said.replace("{", "{{").replace("}", "}}")
        said = said[:-2] + ', "port": {port}, "health": {health}}}'
        return cls(folder, [sys.executable, str(Path(__file__).parent / "serving.py"), said])

    @property
    def address(self) -> str:
        """Of the page."""
        return f"http://127.0.0.1:{self.port}/"

    def get(self, path: str, *, health: bool = False) -> tuple[int, str]:
        """Status and body; status 0 when nobody answers."""
        port = self.health if health else self.port
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as refused:
            return refused.code, refused.read().decode()
        except OSError:
            return 0, ""

    def state(self) -> dict[str, Any]:
        """What /api/state says."""
        status, body = self.get("/api/state")
        assert status == 200, body
        return dict(json.loads(body))

    def wait_ready(self) -> None:
        """Until its health port says that it is ready."""
        wait_for(lambda: self.get("/readyz", health=True)[0] == 200 or not self.runs, 60, "the console's readiness")
        assert self.runs, f"ended with {self._process.poll()}: {self.log.read_text()}"

    @property
    def runs(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def end(self) -> tuple[int, float]:
        """SIGTERM; its exit code and the seconds that it took."""
        start = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(20), time.monotonic() - start

    def wait(self, seconds: float = 60) -> int:
        """Its exit code, once it has ended by itself."""
        return self._process.wait(seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()
