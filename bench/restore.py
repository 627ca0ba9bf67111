"""How fast a worker gets its rows back from the changelog: read committed records, keep the last of each key.

    python -m bench.restore [--rows N] [--partitions P] [--runs R]

820-byte rows with due times, written in transactions of 2,000, one broker on this machine. Bar: 80,000 rows a second.
HANDOFF_KAFKA__BOOTSTRAP names a Kafka to use; otherwise one is started.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from threading import Event
from typing import Any

from confluent_kafka import Producer

from agents.rows import PartitionRows, seal
from bench import ledger
from bench.report import result, say
from bench.stage import recreate, some_kafka
from streams.clients import KafkaSettings, producer_config
from streams.engine.restore import restore
from streams.worker import spare_collector

ROW = 820


def write_rows(bootstrap: str, rows: int, partitions: int) -> None:
    """Fill the changelog, each row once."""
    producer = Producer(producer_config(KafkaSettings(bootstrap=bootstrap), **{"transactional.id": "bench.restore"}))
    producer.init_transactions(30)
    for start in range(0, rows, 2_000):
        producer.begin_transaction()
        for number in range(start, min(rows, start + 2_000)):
            # Half of it does not repeat, so that compression finds what it would find in rows.
            body = (number * 2_654_435_761 % 2**64).to_bytes(8, "big").hex().encode() * (ROW // 32) + b"." * (ROW // 2)
            row = seal(1, ledger.START + number, body[:ROW])
            producer.produce(ledger.CHANGELOG, row, f"9{number:07d}A".encode(), number % partitions)
        producer.commit_transaction(60)


def restore_once(bootstrap: str, partitions: int) -> dict[str, Any]:
    """One restore of all partitions."""
    found: dict[int, PartitionRows] = {}
    first: list[float] = []
    began, cpu = time.perf_counter(), _cpu()

    def ready(partition: int, rows: PartitionRows) -> None:
        first.append(time.perf_counter() - began)
        found[partition] = rows

    restore(ledger.ledger_stage(), KafkaSettings(bootstrap=bootstrap), range(partitions), ready, cancelled=Event())
    seconds = time.perf_counter() - began
    rows = sum(len(each) for each in found.values())
    return {
        "rows": rows,
        "rows_per_s": round(rows / seconds),
        "cpu_us_per_row": round((_cpu() - cpu) / rows * 1e6, 2),
        "first_partition_s": round(first[0], 2),
        "all_s": round(seconds, 2),
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
    spare_collector()
    with some_kafka() as bootstrap:
        recreate(bootstrap, {ledger.CHANGELOG: {"cleanup.policy": "compact"}}, chosen.partitions)
        say(f"writing {chosen.rows} rows")
        write_rows(bootstrap, chosen.rows, chosen.partitions)
        runs = []
        for run in range(chosen.runs):
            runs.append(restore_once(bootstrap, chosen.partitions))
            say(f"run {run}: {runs[-1]}")
    result(
        "restore",
        {
            "rows_per_s": round(statistics.median(run["rows_per_s"] for run in runs)),
            "runs": runs,
            "row_bytes": ROW,
            "partitions": chosen.partitions,
            "peers": {},
            "bar": 80_000,
        },
        "confluent-kafka",
    )


if __name__ == "__main__":
    main()
