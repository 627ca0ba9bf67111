"""What a row costs a worker: bytes resident in memory, and bytes as the changelog holds them.

    python -m bench.memory [--members N] [--days D] [--rows R]

Rows of both stages are those of a simulated county. They are repeated under other keys until there are R, written as a
checkpoint, and read by a fresh process as a worker does; what that process then holds more of, by its own account with
the system, is what they cost, the heap of due rows included. Bar: 2 KB a member row.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean, quantiles
from typing import Any

import msgspec
import psutil

from agents.runtime.store import HEAD_BYTES, MemoryStore, decoded
from bench.report import result, say
from simulator.county import simulate
from streams.engine import checkpoint
from streams.engine.checkpoint import CheckpointMeta
from streams.worker import tune_gc
from tests.support.replaying import play_county

END = 1_790_000_000_000


def weigh(path: Path) -> None:
    """In a process of its own: read the rows, print what they cost."""
    tune_gc()
    own = psutil.Process()
    before = own.memory_info().rss
    found = checkpoint.read(path, lambda _: "")
    assert found is not None
    rows = found[1]
    read = own.memory_info().rss
    rows.finish_restore()
    after = own.memory_info().rss
    count = len(rows)
    print(json.dumps({"row": (after - before) / count, "heap": (after - read) / count, "due": len(rows.heap) / count}))


def by_field(rows: dict[str, Any]) -> dict[str, int]:
    """Encoded bytes of each field, on average over the rows, the largest first; those under 20 bytes are left out."""
    encode = msgspec.msgpack.Encoder().encode
    fields = {
        name: round(mean(len(encode(getattr(row, name))) for row in rows.values()))
        for name in next(iter(rows.values())).__struct_fields__
    }
    return {name: size for name, size in sorted(fields.items(), key=lambda each: -each[1]) if size >= 20}


def measure(rows: MemoryStore, count: int, folder: Path) -> dict[str, Any]:
    """One stage's rows."""
    keys = list(rows.envelopes)
    # Each copy is bytes of its own once it is read from the file.
    many = {f"{keys[number % len(keys)]}{number // len(keys):05d}": rows.envelopes[keys[number % len(keys)]]
            for number in range(count)}  # fmt: skip
    path = folder / "weighed.rows"
    checkpoint.write(path, CheckpointMeta("", 0, 1, 0, 0, int(time.time() * 1000), len(many)), many)
    told = subprocess.run(
        [sys.executable, "-m", "bench.memory", "--weigh", str(path)],
        capture_output=True, text=True, check=True, timeout=300,
    )  # fmt: skip
    seen = json.loads(told.stdout)
    sizes = [len(row) - HEAD_BYTES for row in rows.envelopes.values()]
    return {
        "rows_of_the_county": len(keys),
        "resident_bytes_per_row": round(seen["row"]),
        "of_it_heap": round(seen["heap"]),
        "of_it_encoded": round(mean(sizes)),
        "encoded_p95": round(quantiles(sizes, n=20)[-1]),
        "encoded_max": max(sizes),
        "share_due": round(seen["due"], 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--members", type=int, default=1_000)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--weigh", type=Path, default=None, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.weigh is not None:
        weigh(chosen.weigh)
        return
    say(f"a county of {chosen.members} members over {chosen.days} days")
    replay = play_county(simulate(chosen.members, chosen.days, 7, END)).replay
    with tempfile.TemporaryDirectory() as folder:
        stages = {"member": replay._member, "patient": replay._patient}
        figures = {name: measure(runner.rows, chosen.rows, Path(folder)) for name, runner in stages.items()}
    for name, runner in stages.items():
        figures[name]["encoded_bytes_by_field"] = by_field(decoded(runner.rows, runner.stage))
    result("memory", {**figures, "rows": chosen.rows, "bar": 2_048, "peers": {}}, "msgspec")


if __name__ == "__main__":
    main()
