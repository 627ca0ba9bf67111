"""`python -m handoff.container COMMAND…`: one command of handoff as the main process of a container.

A supervisor of containers starts again whatever ends. That is right after a crash on purpose (70), and wrong for
settings, files or topics that are wrong (2): it would loop, and bury the reason in its log. So this process stays after
such an end, not ready, until it is stopped; the last lines of the log have the reason. Other exit codes pass through.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from types import FrameType

from streams.exit_codes import EXIT_REFUSED


def run(command: Sequence[str]) -> int:
    """Run `handoff COMMAND…`; returns its exit code, in the case of 2 only after SIGTERM or SIGINT."""
    stopping = threading.Event()
    child = subprocess.Popen([sys.executable, "-m", "handoff", *command])

    def forward(number: int, _frame: FrameType | None) -> None:
        stopping.set()
        if child.poll() is None:
            child.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, forward)
    code = child.wait()
    if code == EXIT_REFUSED and not stopping.is_set():
        print(  # noqa: T201 - the container's log
            "handoff ended with 2: correct what the lines above say, then start this container again. "
            "It waits here and does not start again by itself.",
            file=sys.stderr,
            flush=True,
        )
        stopping.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    raise SystemExit(run(sys.argv[1:]))
