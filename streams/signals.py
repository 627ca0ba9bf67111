"""Happenings of a worker that operators see: one function each, its log line and its counters together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import structlog

from agents.runtime.store import RowStore
from streams.engine import metrics
from streams.engine.transactions import Outcome
from streams.metrics import DEAD_LETTERS

_log = structlog.get_logger("engine")
_LOGGED: Final = 20
"""Faults logged one by one, of one chunk: a flood of bad records must not become a flood of lines."""


def committed(stage: str, outcome: Outcome, rows: Mapping[int, RowStore], now: float) -> None:
    """A transaction was committed at `now` (ms UTC)."""
    for partition, result in outcome.results.items():
        metrics.RECORDS.labels(stage).inc(result.records)
        metrics.LATENCY.labels(stage).observe(max(0.0, (now - outcome.oldest[partition]) / 1000))
        metrics.ROWS.labels(stage, str(partition)).set(len(rows[partition]))
        if result.due_decided:
            metrics.DUE_ROWS.labels(stage).inc(result.due_decided)
        if result.clamped_stamps:
            metrics.HELD_STAMPS.labels(stage).inc(result.clamped_stamps)
        if result.forwarded:
            metrics.FORWARDED.labels(stage).inc(result.forwarded)
            _log.warning("forwarded", stage=stage, partition=partition, records=result.forwarded)
        for fault in result.faults:
            DEAD_LETTERS.labels(fault.code).inc()
            if fault.bug:
                metrics.INTERNAL_ERRORS.labels(stage).inc()
        for fault in result.faults[:_LOGGED]:
            log = _log.error if fault.bug else _log.warning
            where = {"error": fault.error, "where": fault.where} if fault.bug else {"place": fault.place}
            log("set aside", stage=stage, code=fault.code, source=fault.source, **where)
        if len(result.faults) > _LOGGED:
            _log.warning("set aside more", stage=stage, partition=partition, records=len(result.faults) - _LOGGED)


def directory_unavailable(stage: str, questions: int) -> None:
    """A batch is decided without the directory's answers; its unknown patients wait as `directory-unavailable`."""
    metrics.DIRECTORY_AWAY.labels(stage).inc()
    _log.warning("directory unavailable", stage=stage, questions=questions)


def begun_before(stage: str, topic: str, partition: int, offset: int, attempts: int) -> None:
    """Workers ended after they had begun the record at this place: it and those begun with it are decided alone."""
    _log.warning("begun before", stage=stage, topic=topic, partition=partition, offset=offset, attempts=attempts)


def crash_loop(stage: str, source: str, attempts: int) -> None:
    """So many workers ended at the record at `source` (coordinates): it is set aside undecided."""
    metrics.CRASH_LOOPS.labels(stage).inc()
    _log.error("crash loop ended", stage=stage, source=source, attempts=attempts)


def partition_ready(stage: str, partition: int, rows: int, seconds: float) -> None:
    """A partition's rows are restored, so many seconds after its assignment: its input is read from now on."""
    metrics.RESTORES.observe(seconds)
    metrics.ROWS.labels(stage, str(partition)).set(rows)
    _log.info("ready", stage=stage, partition=partition, rows=rows)


def partitions_revoked(stage: str, assigned: Sequence[int], ready: Iterable[int]) -> None:
    """Partitions are given back; those that were `ready` had rows here."""
    for partition in ready:
        metrics.ROWS.remove(stage, str(partition))
    _log.info("revoked", stage=stage, partitions=assigned)


def clock_set_back(stage: str, partition: int, ahead: int) -> None:
    """A restored partition's clock was `ahead` ms ahead of this machine's; all its rows are decided again."""
    metrics.CLOCKS_SET_BACK.labels(stage).inc()
    _log.error("clock set back", stage=stage, partition=partition, ahead_seconds=ahead // 1000)
