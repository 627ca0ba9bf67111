"""How fast ADT is read: our full event from bytes against hl7apy and python-hl7, on one corpus in one run.

`python -m bench.parse`: progress on stderr, one JSON object as the last line. The corpus is HANDOFF_CORPUS (lines with
`message` or `hl7`), or a few written-out messages where there is none. Each figure is the best of several rounds in
process time, and only messages that the parser accepts are timed; `accepted` says how many those were.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import hl7
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message

from domain.errors import Refusal
from parsers.hl7.adt import patient_key_of, read_adt
from parsers.hl7.envelope import read_envelope
from parsers.hl7.mllp import FrameReader, frame
from parsers.hl7.profiles import SenderProfile

CORPUS = Path(os.environ.get("HANDOFF_CORPUS", "../shared/corpus/adt_dev.jsonl"))
PROFILE = SenderProfile("default")
SAMPLE = 60
ROUNDS = 15
PEER_ROUNDS = 3
WANTED = (
    ("PID", (2, 3, 5, 7, 8, 11, 13, 18, 29, 30)),
    ("PV1", (2, 3, 4, 14, 18, 19, 36, 37, 44, 45, 50)),
    ("EVN", (1, 2, 6)),
    ("DG1", (3,)),
)
WRITTEN_OUT = [
    f"MSH|^~\\&|ADT|GENHOSP|HANDOFF|PLAN|20261123{i:02d}0000-0800||ADT^{trigger}^ADT_A01|C{i}|P|2.5.1\r"
    f"EVN||20261123{i:02d}0000|||OP^Desk|20261123{i:02d}0000\r"
    f"PID|1||{100 + i}^^^GENHOSP^MR~91234567A^^^MEDI-CAL^MA||RIVERA^ANA^M||19800101|F|||1 ELM ST^^ARROYO^CA^90012"
    f"||(555)555-0100|||||A{i}\r"
    f"PV1|1|E|ED^1^A^GENHOSP|1|||||||||1|||||V{i}^^^GENHOSP|||||||||||||||||01||||||||20261123{i:02d}0000\r"
    "DG1|1||R07.9^Chest pain^I10\rIN1|1|LACARE|1|L.A. Care\r"
    for i, trigger in enumerate(("A04", "A01", "A02", "A03", "A08"))
]


def corpus() -> list[bytes]:
    """The messages to read, as bytes."""
    if not CORPUS.exists():
        return [text.encode() for text in WRITTEN_OUT * 100]
    with CORPUS.open(encoding="utf-8") as lines:
        read = [json.loads(line) for line in lines]
    return [(each.get("hl7") or each["message"]).encode() for each in read]


def accepted(messages: list[bytes], read: Callable[[bytes], Any], faults: type[Exception]) -> list[bytes]:
    """The messages that `read` accepts."""
    good = []
    for message in messages:
        try:
            read(message)
        except faults:
            continue
        good.append(message)
    return good


def measured(name: str, messages: list[bytes], read: Callable[[bytes], Any], rounds: int) -> dict[str, Any]:
    """Messages a second of process time, the best of `rounds`."""
    best = float("inf")
    gc.collect()
    for _ in range(rounds):
        begun = time.process_time()
        for message in messages:
            read(message)
        best = min(best, time.process_time() - begun)
    rate = len(messages) / best
    print(f"{name:40} {rate:>12,.0f} msg/s  ({len(messages)} messages, best of {rounds})", file=sys.stderr)
    return {"messages_per_second": round(rate), "accepted": len(messages), "microseconds": round(1e6 / rate, 2)}


def by_hl7apy(raw: bytes) -> Any:
    """hl7apy in the mode that real feeds need: tolerant, segments not grouped."""
    return parse_message(raw.decode(), validation_level=VALIDATION_LEVEL.TOLERANT, find_groups=False)


def by_python_hl7(raw: bytes) -> Any:
    """python-hl7: the tree, then the fields that an event needs (missing ones are no fault)."""
    tree = hl7.parse(raw.decode())
    found = []
    for segment, positions in WANTED:
        try:
            line = tree.segment(segment)
        except KeyError:
            continue
        found += [str(line[position]) if position < len(line) else "" for position in positions]
    return found


def by_split(raw: bytes) -> Any:
    """The lower bound: text split into segments and fields, without interpretation."""
    return [line.split("|") for line in raw.decode().split("\r")]


def main() -> None:
    messages = corpus()
    full = accepted(messages, lambda raw: read_adt(raw, PROFILE), Refusal)
    stream = b"".join(frame(message) for message in messages)
    theirs = accepted(full[:: max(1, len(full) // SAMPLE)], by_hl7apy, Exception)
    others = accepted(full, by_python_hl7, Exception)
    ours = measured("parsers.adt, full event", full, lambda raw: read_adt(raw, PROFILE), ROUNDS)
    floor = measured("split only (floor)", full, by_split, ROUNDS)
    result = {
        "bench": "parse",
        "messages": len(messages),
        "mean_bytes": round(sum(map(len, messages)) / len(messages)),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "ours": {
            "full_event": ours,
            "envelope": measured("parsers.envelope", messages, read_envelope, ROUNDS),
            "patient_key": measured("patient_key_of", full, lambda raw: patient_key_of(raw, PROFILE), ROUNDS),
            "mllp": measured("FrameReader", messages, _cut_in_reads(stream, len(messages)), ROUNDS),
        },
        "peers": {
            "split_only": floor,
            "hl7apy_tolerant_ungrouped": {
                "version": version("hl7apy"),
                **measured("hl7apy tolerant, ungrouped (sample)", theirs, by_hl7apy, PEER_ROUNDS),
            },
            "python_hl7_parse_and_fields": {
                "version": version("hl7"),
                **measured("python-hl7 parse + fields", others, by_python_hl7, PEER_ROUNDS),
            },
        },
        "bar": 40_000,
    }
    result["met"] = ours["messages_per_second"] >= 40_000
    print(json.dumps(result))


def _cut_in_reads(stream: bytes, messages: int) -> Callable[[bytes], Any]:
    """Feeds a part of `stream` per call, so that one round over all messages is one pass over the stream."""
    reader = FrameReader()
    size = -(-len(stream) // messages)
    position = 0

    def step(_: bytes) -> Any:
        nonlocal position
        piece = stream[position : position + size]
        position = (position + size) % len(stream) if position + size < len(stream) else 0
        return reader.feed(piece)

    return step


if __name__ == "__main__":
    main()
