"""What is counted and logged of a committed transaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import structlog

from agents.runtime.store import RowStore
from streams.engine import metrics
from streams.engine.transactions import Decided

_log = structlog.get_logger("engine")
_LOGGED: Final = 20
"""Faults logged one by one, of one chunk; a flood of bad records shall not become a flood of lines."""


def report(stage: str, decided: Decided, rows: Mapping[int, RowStore], now: float) -> None:
    """Count and log one transaction, committed at `now` (ms UTC)."""
    for partition, result in decided.results.items():
        metrics.RECORDS.labels(stage).inc(result.records)
        metrics.LATENCY.labels(stage).observe(max(0.0, (now - decided.oldest[partition]) / 1000))
        metrics.ROWS.labels(stage, str(partition)).set(len(rows[partition]))
        if result.fired:
            metrics.DUE_ROWS.labels(stage).inc(result.fired)
        if result.held:
            metrics.HELD_STAMPS.labels(stage).inc(result.held)
        for fault in result.faults:
            metrics.DEAD_LETTERS.labels(fault.code).inc()
            if fault.bug:
                metrics.INTERNAL_ERRORS.labels(stage).inc()
        for fault in result.faults[:_LOGGED]:
            tell = _log.error if fault.bug else _log.warning
            seen = {"error": fault.error, "where": fault.where} if fault.bug else {"place": fault.place}
            tell("set aside", stage=stage, code=fault.code, source=fault.source, **seen)
        if len(result.faults) > _LOGGED:
            _log.warning("set aside more", stage=stage, partition=partition, records=len(result.faults) - _LOGGED)
