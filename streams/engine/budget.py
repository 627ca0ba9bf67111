"""The time that the decision of one record may take (docs/engine.md#bounds).

A decision is pure Python on the main thread, so nothing in it can check a clock. A timer signal interrupts the record
that has been under way for too long, whatever it does; the record is set aside as `too-costly`.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from agents.runtime.contract import Progress, TooCostly

_LOOKS: Final = 10
"""How often the timer fires within one budget."""


class Budget:
    """Interrupts a record that takes longer than `seconds`, to a tenth of that. For the main thread only."""

    def __init__(self, seconds: float) -> None:
        self._every = seconds / _LOOKS
        self._progress: Progress | None = None
        self._seen = -1
        self._looks = 0

    def install(self) -> None:
        """Take over SIGALRM. Elsewhere than on the main thread there is no budget."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGALRM, self._look)

    @contextmanager
    def watch(self) -> Iterator[Progress]:
        """Watch the records that are counted on the `Progress` given, until the block ends."""
        progress = self._progress = Progress()
        self._seen, self._looks = -1, 0
        armed = signal.getsignal(signal.SIGALRM) == self._look
        if armed:
            signal.setitimer(signal.ITIMER_REAL, self._every, self._every)
        try:
            yield progress
        finally:
            self._progress = None
            if armed:
                signal.setitimer(signal.ITIMER_REAL, 0)

    def _look(self, _number: int, _frame: FrameType | None) -> None:
        progress = self._progress
        if progress is None:
            return
        if progress.records != self._seen:
            self._seen, self._looks = progress.records, 0
            return
        self._looks += 1
        if self._looks >= _LOOKS:
            self._looks = 0
            raise TooCostly
