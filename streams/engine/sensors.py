"""Faust sensors of a worker: the engine reports transactions and rebalances to them as Faust's own consumer would.

So any Faust sensor (its monitor, or one for StatsD or Datadog that a user adds to the app) sees what the engine does.
Ours writes the Prometheus metrics of transactions.
"""

from __future__ import annotations

import time
from typing import Any, Protocol

import faust

from streams.engine.metrics import TRANSACTIONS


class Sensors(Protocol):
    """The part of a Faust app's `sensors` that the engine calls; each call returns or takes the sensors' own state."""

    def on_commit_initiated(self, consumer: Any) -> Any:
        """A transaction begins. May be called from another thread than the event loop's."""
        ...

    def on_commit_completed(self, consumer: Any, state: Any) -> None:
        """The transaction is committed."""
        ...


class TransactionSensor(faust.Sensor):  # type: ignore[misc]
    """Observes how long transactions take, from begin to commit."""

    def on_commit_initiated(self, consumer: Any) -> float:  # noqa: ARG002
        """The time (monotonic seconds)."""
        return time.monotonic()

    def on_commit_completed(self, consumer: Any, state: float) -> None:  # noqa: ARG002
        """Observe the seconds since `on_commit_initiated`."""
        TRANSACTIONS.observe(time.monotonic() - state)
