"""What one decision of the member stage costs, by the number of visits the member has.

Each round revises the last visit of one member; the figure is the best of many short runs, in CPU time, so that other
work on the machine shows little. Rows are encoded and decoded apart: the engine does both once per row and chunk.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import msgspec

from agents.refer import stage
from agents.runtime.contract import Context, Record
from agents.topics import ROSTER, VISITS
from domain.snapshots import Source, Visit, VisitSnapshot
from domain.times import DAY, HOUR, MINUTE, day_start
from handoff.declarations.rules import load_rules
from parsers.records.visits import encode_snapshot

MEMBER = "91234567A"
RUN = 15
CASES = (
    ("1 visit", 1, ("emergency",)),
    ("3 visits", 3, ("emergency", "inpatient")),
    ("6 visits", 6, ("emergency", "emergency", "inpatient")),
    ("12 visits, no candidate", 12, ("emergency", "emergency", "inpatient", "outpatient")),
    ("12 visits, live candidate", 12, ("emergency",)),
)


def visit(number: int, of: int, kind: str) -> VisitSnapshot:
    """One of `of` visits spread over 300 days."""
    arrived = day_start(date(2025, 9, 1).toordinal() + number * 300 // of) + 10 * HOUR
    stay = Visit(
        status="closed",
        patient_class=kind,
        arrived=arrived,
        admitted=arrived if kind == "inpatient" else None,
        departed=arrived + 5 * HOUR,
        facility="General Hospital",
        facility_type="hospital",
        disposition="01",
        disposition_group="HOME",
        diagnoses=("I10", "R079"),
        messages=(Source("general", f"M{number}", "adt.raw.v1/3/8812"),),
    )
    return VisitSnapshot("GENHOSP|100", f"GENHOSP|V{number}", 1, arrived, stay)


def measure(name: str, number: int, kinds: tuple[str, ...], rounds: int = 3_000) -> dict[str, Any]:
    """One case."""
    refer = stage(load_rules(Path(__file__).parents[1] / "rules"))
    now = day_start((date(2025, 9, 1) + timedelta(days=310)).toordinal())
    context = Context(now)

    def record(topic: str, value: bytes) -> Record:
        return Record(topic, 0, 0, MEMBER.encode(), value, now, {"received": str(now).encode()})

    roster = {"member_id": MEMBER, "birth_date": "1980-01-01", "plan": "lacare", "county": "Los Angeles"}
    row, _ = refer.decide(None, record(ROSTER, json.dumps(roster).encode()), context)
    visits = [visit(i, number, kinds[i % len(kinds)]) for i in range(number)]
    for each in visits:
        row, _ = refer.decide(row, record(VISITS, encode_snapshot(each, MEMBER)), context)
    records, last = [], visits[-1]
    for turn in range(rounds):
        left = (last.visit.arrived or 0) + 5 * HOUR + (turn % 2) * MINUTE
        revised = msgspec.structs.replace(last.visit, departed=left)
        last = msgspec.structs.replace(last, revision=last.revision + 1, visit=revised)
        records.append(record(VISITS, encode_snapshot(last, MEMBER)))
    best, emits = float(DAY), 0
    for start in range(0, rounds, RUN):
        chunk = records[start : start + RUN]
        began = time.thread_time()
        for each_record in chunk:
            row, out = refer.decide(row, each_record, context)
            emits += len(out)
        best = min(best, (time.thread_time() - began) / len(chunk))
    began = time.thread_time()
    for _ in range(1_000):
        refer.decode(refer.encode(row))
    codec = (time.thread_time() - began) / 1_000
    figure = {
        "decide_us": round(best * 1e6, 1),
        "row_codec_us": round(codec * 1e6, 1),
        "row_bytes": len(refer.encode(row)),
        "emits": round(emits / rounds, 1),
    }
    print(f"{name}: {figure}", file=sys.stderr)
    return figure


if __name__ == "__main__":
    print(json.dumps({name: measure(name, number, kinds) for name, number, kinds in CASES}))
