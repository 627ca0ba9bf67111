"""Where a replay writes: one file per output topic, and the final snapshot of every visit."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from agents.runtime.contract import Emit
from agents.topics import DEAD_LETTERS
from domain.patient.publish import current_snapshots
from handoff.replay import Replay
from parsers.records.visits import encode_snapshot


class Outputs:
    """One file per output topic; every record in order as {"key", "value"}."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, BinaryIO] = {}
        self._stack = ExitStack()
        self.counts: dict[str, int] = {}

    def __enter__(self) -> Outputs:
        self._folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: Any) -> None:
        self._stack.close()

    def take(self, topic: str, emit: Emit) -> None:
        """Write one record. The value is JSON already, or (dead letters) bytes shown as text."""
        file = self._files.get(topic)
        if file is None:
            file = self._files[topic] = self._stack.enter_context((self._folder / f"{topic}.jsonl").open("wb"))
        self.counts[topic] = self.counts.get(topic, 0) + 1
        if topic == DEAD_LETTERS:
            value = msgspec.json.encode((emit.value or b"").decode("utf-8", "backslashreplace"))
        else:
            value = emit.value or b"null"
        key = msgspec.json.encode((emit.key or b"").decode("utf-8", "replace"))
        file.write(b'{"key": ' + key + b', "value": ' + value + b"}\n")


def write_visits(run: Replay, folder: Path) -> int:
    """`visits.jsonl`: the final snapshot of each visit, by patient and visit."""
    count = 0
    with (folder / "visits.jsonl").open("wb") as file:
        for _, row in sorted(run.rows("reconcile").items()):
            for member, snapshot in current_snapshots(row):
                file.write(encode_snapshot(snapshot, member) + b"\n")
                count += 1
    return count
