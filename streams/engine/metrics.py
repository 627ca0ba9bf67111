"""Metrics of a worker. Labels are stages, partitions and codes, never data of a person."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

_FINE: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0)

RECORDS: Final = Counter("handoff_stage_records", "Records decided and committed", ["stage"])
LATENCY: Final = Histogram(
    "handoff_stage_latency_seconds",
    "From the append of a chunk's oldest record to its commit",
    ["stage"],
    buckets=_FINE,
)
TRANSACTIONS: Final = Histogram("handoff_transaction_seconds", "Begin to commit of one transaction", buckets=_FINE)
RESTORES: Final = Histogram(
    "handoff_restore_seconds",
    "Assignment of a partition until its rows are restored",
    buckets=(0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 180.0),
)
ROWS: Final = Gauge("handoff_rows", "Rows in the store of a partition", ["stage", "partition"])
INTERNAL_ERRORS: Final = Counter("handoff_internal_errors", "Decisions that a fault of this code stopped", ["stage"])
CRASH_LOOPS: Final = Counter("handoff_crash_loops", "Records set aside because workers ended at them", ["stage"])
HELD_STAMPS: Final = Counter("handoff_held_stamps", "Stamps too far ahead of their append time", ["stage"])
FORWARDED: Final = Counter(
    "handoff_forwarded", "Records of other systems written again to the partition of their key", ["stage"]
)
DUE_ROWS: Final = Counter("handoff_due_rows", "Rows decided because they were due", ["stage"])
CLOCKS_SET_BACK: Final = Counter("handoff_clocks_set_back", "Partition clocks found ahead at a restore", ["stage"])
DIRECTORY_AWAY: Final = Counter(
    "handoff_directory_away", "Batches decided while the directory did not answer", ["stage"]
)
