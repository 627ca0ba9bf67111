"""How fast a worker gets its rows back: from the changelog, from checkpoints, and with rows that live on disk.

    python -m bench.restore [--rows N] [--partitions P] [--runs R]

820-byte rows with due times, written in transactions of 2,000, one broker on this machine. Each figure is a whole
restart of the state: asking the cluster how far its logs reach, reading, and finding due rows. Bars: 80,000 rows a
second from the changelog, 3 seconds for a million rows from checkpoints.
HANDOFF_KAFKA__BOOTSTRAP names a Kafka to use; otherwise one is started.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

from confluent_kafka import Producer

from agents.runtime.store import RowStore, envelope
from bench import ledger
from bench.report import result, say
from bench.stage import recreate, some_kafka
from streams.engine import checkpoint
from streams.engine.checkpoint import CheckpointMeta
from streams.engine.restore import Local, ends_of, restore
from streams.kafka.settings import KafkaSettings, producer_config
from streams.worker import tune_gc

ROW = 820
NOTHING = Local()


def write_rows(bootstrap: str, rows: int, partitions: int) -> None:
    """Fill the changelog, each row once."""
    producer = Producer(producer_config(KafkaSettings(bootstrap=bootstrap), **{"transactional.id": "bench.restore"}))
    producer.init_transactions(30)
    for start in range(0, rows, 2_000):
        producer.begin_transaction()
        for number in range(start, min(rows, start + 2_000)):
            # Half of it does not repeat, so that compression finds what it would find in rows.
            body = (number * 2_654_435_761 % 2**64).to_bytes(8, "big").hex().encode() * (ROW // 32) + b"." * (ROW // 2)
            row = envelope(1, ledger.START + number, body[:ROW])
            producer.produce(ledger.CHANGELOG, row, f"9{number:07d}A".encode(), number % partitions)
        producer.commit_transaction(60)


def restore_once(
    bootstrap: str, partitions: int, local: Local = NOTHING, then: Callable[[dict[int, RowStore]], None] | None = None
) -> dict[str, Any]:
    """One restore of all partitions, with what the disk has; `then` may look at the rows."""
    found: dict[int, RowStore] = {}
    first: list[float] = []
    began, cpu = time.perf_counter(), _cpu()

    def ready(partition: int, rows: RowStore) -> None:
        assert next(rows.due(ledger.START), None) is None or partition == 0
        first.append(time.perf_counter() - began)
        found[partition] = rows

    stage, kafka = ledger.ledger_stage(), KafkaSettings(bootstrap=bootstrap)
    restore(stage, kafka, range(partitions), ready, cancelled=Event(), local=local)
    seconds = time.perf_counter() - began
    rows = sum(len(each) for each in found.values())
    used = _cpu() - cpu
    if then is not None:
        then(found)
    for each in found.values():
        each.close()
    return {
        "rows": rows,
        "rows_per_s": round(rows / seconds),
        "cpu_us_per_row": round(used / rows * 1e6, 2),
        "first_partition_s": round(first[0], 2),
        "all_s": round(seconds, 2),
    }


def checkpoints(bootstrap: str, partitions: int, folder: Path, runs: int) -> dict[str, Any]:
    """Write checkpoints of what the changelog holds, and restart from them."""
    stage, spent = ledger.ledger_stage(), [0.0]

    def save(found: dict[int, RowStore]) -> None:
        ends = ends_of(KafkaSettings(bootstrap=bootstrap), stage.changelog, range(partitions), 30.0)
        began = time.perf_counter()
        for partition, rows in found.items():
            now = int(time.time() * 1000)
            stands = CheckpointMeta(
                ends.topic_id, partition, stage.schema, ends.offsets[partition][1], 0, now, len(rows)
            )
            checkpoint.write(checkpoint.file_of(folder, stage.changelog, partition), stands, dict(rows.items()))
        spent[0] = time.perf_counter() - began

    restore_once(bootstrap, partitions, then=save)
    return _restarts(bootstrap, partitions, Local(checkpoints=folder), folder, runs, written_s=spent[0])


def stores(bootstrap: str, partitions: int, folder: Path, runs: int) -> dict[str, Any]:
    """Fill rows on disk from the changelog, and restart on them."""
    local = Local(stores=folder, cache=16 * 1024 * 1024)
    filled = restore_once(bootstrap, partitions, local)
    say(f"rows on disk, from the changelog: {filled}")
    return _restarts(bootstrap, partitions, local, folder, runs, written_s=filled["all_s"])


def _restarts(
    bootstrap: str, partitions: int, local: Local, folder: Path, runs: int, *, written_s: float
) -> dict[str, Any]:
    seen = [restore_once(bootstrap, partitions, local) for _ in range(runs)]
    size = sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())
    return {
        "restart_s": statistics.median(run["all_s"] for run in seen),
        "written_s": round(written_s, 2),
        "disk_bytes_per_row": round(size / seen[0]["rows"]),
        "runs": seen,
    }


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--runs", type=int, default=3)
    chosen = parser.parse_args()
    tune_gc()
    with some_kafka() as bootstrap:
        recreate(bootstrap, {ledger.CHANGELOG: {"cleanup.policy": "compact"}}, chosen.partitions)
        say(f"writing {chosen.rows} rows")
        write_rows(bootstrap, chosen.rows, chosen.partitions)
        runs = []
        for run in range(chosen.runs):
            runs.append(restore_once(bootstrap, chosen.partitions))
            say(f"run {run}: {runs[-1]}")
        with tempfile.TemporaryDirectory() as files, tempfile.TemporaryDirectory() as databases:
            from_checkpoints = checkpoints(bootstrap, chosen.partitions, Path(files), chosen.runs)
            say(f"checkpoints: {from_checkpoints}")
            on_disk = stores(bootstrap, chosen.partitions, Path(databases), chosen.runs)
            say(f"rows on disk: {on_disk}")
    result(
        "restore",
        {
            "rows_per_s": round(statistics.median(run["rows_per_s"] for run in runs)),
            "runs": runs,
            "checkpoint": {**from_checkpoints, "bar_s": 3},
            "rows_on_disk": on_disk,
            "row_bytes": ROW,
            "partitions": chosen.partitions,
            "peers": {},
            "bar": 80_000,
        },
        "confluent-kafka",
        "rocksdict",
    )


if __name__ == "__main__":
    main()
