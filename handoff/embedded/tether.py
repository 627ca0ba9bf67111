"""Ends a process when the one that started it is gone, however it went (kill -9 included).

Run as a script: `tether.py PID STARTED`, with standard input a pipe that only the parent holds open. When the pipe
ends, the process that had this PID at that start time gets SIGTERM and, 15 seconds later, killed.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

GRACE_SECONDS: Final = 15.0


def started_at(pid: int) -> float | None:
    """When the process with this PID started (seconds since the epoch), or None when there is none."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None


def end(pid: int, started: float, grace: float = GRACE_SECONDS) -> None:
    """Stop that very process: SIGTERM, at most `grace` seconds, SIGKILL. A PID that passed to another is left alone."""
    if started_at(pid) != started:
        return
    try:
        process = psutil.Process(pid)
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait(grace)
    except psutil.TimeoutExpired:
        process.kill()
        with suppress(psutil.TimeoutExpired, psutil.NoSuchProcess):
            process.wait(grace)  # killed, but it stays listed for as long as its own parent does not ask for it
    except psutil.NoSuchProcess:
        return


def tie(pid: int, started: float) -> subprocess.Popen[bytes]:
    """A watcher for `pid`. Closing its standard input lets it end the process and exit."""
    return subprocess.Popen(
        [sys.executable, str(Path(__file__)), str(pid), repr(started)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdin.buffer.read()
    end(int(sys.argv[1]), float(sys.argv[2]))
