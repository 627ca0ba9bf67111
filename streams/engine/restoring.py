"""A restore on a thread of its own, and whose the rows are that it has brought back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from threading import Event, Lock, Thread

import structlog

from agents.runtime.contract import Stage
from agents.runtime.store import RowStore, Unreadable
from streams.engine import metrics
from streams.engine.crash import crash, refuse
from streams.engine.restore import Local, restore
from streams.kafka.settings import KafkaSettings

_log = structlog.get_logger("engine")


class RestoreThread(Thread):
    """A restore that serving partitions need not wait for.

    Rows that are restored belong to it until `claim`ed; `cancel` closes those that nobody has claimed, so that the next
    restore finds them closed. It begins when `former` (the restore of an earlier assignment) has ended.
    """

    def __init__(
        self,
        stage: Stage,
        kafka: KafkaSettings,
        partitions: Iterable[int],
        ready: Callable[[int], None],
        local: Local,
        former: Thread | None = None,
    ) -> None:
        super().__init__(name="restore", daemon=True)
        self._stage, self._kafka, self._partitions, self._ready = stage, kafka, list(partitions), ready
        self._local, self._former = local, former
        self._cancelled = Event()
        self._lock = Lock()
        self._restored: dict[int, RowStore] = {}

    def cancel(self) -> None:
        """Stop; nothing becomes ready any more. Does not wait."""
        with self._lock:
            self._cancelled.set()
            for rows in self._restored.values():
                rows.close()
            self._restored.clear()

    def claim(self, partition: int) -> RowStore | None:
        """A partition's restored rows, now the caller's to close; None when the restore was cancelled meanwhile."""
        with self._lock:
            return self._restored.pop(partition, None)

    def run(self) -> None:
        """Restore, and end the worker if that cannot be done."""
        if self._former is not None:
            self._former.join()
            self._former = None
        began = time.monotonic()
        if self._cancelled.is_set():
            return
        try:
            read = restore(
                self._stage,
                self._kafka,
                self._partitions,
                self._tell,
                cancelled=self._cancelled,
                local=self._local,
            )
        except Unreadable as error:
            refuse("restore-unreadable", stage=self._stage.name, why=str(error))
        except Exception as error:
            if not self._cancelled.is_set():
                crash("restore-failed", stage=self._stage.name, error=type(error).__name__)
        else:
            taken = round(time.monotonic() - began, 3)
            _log.info("restored", stage=self._stage.name, partitions=self._partitions, records=read, seconds=taken)

    def _tell(self, partition: int, rows: RowStore) -> None:
        with self._lock:
            if self._cancelled.is_set():
                rows.close()
                return
            self._restored[partition] = rows
        self._ready(partition)


def observe(began: float) -> None:
    """Record how long a partition took, from its assignment (monotonic seconds) on."""
    metrics.RESTORES.observe(time.monotonic() - began)
