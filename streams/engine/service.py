"""The parts of a worker as `mode` services: Faust starts them in order and stops them in reverse."""

from __future__ import annotations

from typing import Any

from mode import Service

from streams.engine.crash import crash


class EngineService(Service):  # type: ignore[misc]
    """A service whose failure ends the process with exit 70 (docs/engine.md#faust).

    Mode would mark a crashed service and stop the others in order. A worker must not: what a stopping part writes
    after another part failed could contradict what is committed.
    """

    async def crash(self, reason: BaseException) -> None:
        """End the process at once."""
        crash("service-failed", service=self.label, error=type(reason).__name__)

    def _log_mundane(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """Log nothing for each start and stop: the worker logs both once."""
