"""What an A08 costs the patient stage: one that repeats what is known, against one that changes something.

Updates are most of an ADT feed and most of them change nothing, so that case must be the cheap one. All are read from
bytes and decided; one that changes the row also pays for what follows from it: the row encoded for the changelog, and
its outputs. A repeat under a later time moves the times in the row (they order what comes late) but says nothing to the
member stage, whose decision it saves. Best of many short runs in CPU time, microseconds a message.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from typing import Any

from agents.reconcile.decide import stage
from agents.runtime.contract import Context, Record
from agents.topics import ADT_RAW
from bench.report import result, say
from parsers.hl7.profiles import Profiles

ROUNDS = 2_000
RUN = 20
NOW = 1_795_456_800_000
"""2026-11-23 18:00 UTC, when the visit below is two hours old."""
KEY = b"GENHOSP|100"


def message(trigger: str, second: int, attending: str, diagnosis: str) -> bytes:
    """A message about one visit; `attending` (PV1-7) is nothing that a row keeps, `diagnosis` (DG1-3) is."""
    built = f"2026112310{second // 60:02d}{second % 60:02d}"
    return (
        f"MSH|^~\\&|ADT|GENHOSP|HANDOFF|PLAN|{built}-0800||ADT^{trigger}^ADT_A01|C{second}|P|2.5.1\r"
        f"EVN||{built}\r"
        "PID|1||100^^^GENHOSP^MR~91234567A^^^MEDI-CAL^MA||RIVERA^ANA^M||19800101|F|||1 ELM^^ARROYO^CA^90012\r"
        f"PV1|1|E|ED^1^A^GENHOSP|1|||{attending}||||||||||||V100^^^GENHOSP|||||||||||||||||||||||||20261123080000\r"
        f"DG1|1||{diagnosis}^Chest pain^I10\r"
    ).encode()


def measured(name: str, of_round: Callable[[int], bytes]) -> dict[str, Any]:
    """Microseconds a message, and the share that changed the row."""
    reconcile = stage(Profiles())
    context = Context(NOW)
    headers = {"received": str(NOW).encode(), "sender": b"default"}

    def record(offset: int, raw: bytes) -> Record:
        return Record(ADT_RAW, 0, offset, KEY, raw, NOW, headers)

    row, _ = reconcile.decide(None, record(0, message("A04", 0, "", "R07.9")), context)
    row, _ = reconcile.decide(row, record(1, message("A08", 1, "", "R07.9")), context)
    records = [record(2 + turn, of_round(turn)) for turn in range(ROUNDS)]
    best, changed, emits = float("inf"), 0, 0
    gc.collect()
    for start in range(0, ROUNDS, RUN):
        began = time.thread_time()
        for each in records[start : start + RUN]:
            new, out = reconcile.decide(row, each, context)
            if new is not row:
                reconcile.encode(new)
                changed += 1
            row = new
            emits += len(out)
        best = min(best, (time.thread_time() - began) / RUN)
    figure = {"microseconds": round(best * 1e6, 1), "rows_changed": changed / ROUNDS, "emits": emits / ROUNDS}
    say(f"{name:20} {figure}")
    return figure


def main() -> int:
    same = measured("says the same", lambda turn: message("A08", 1, f"DOC{turn % 7}", "R07.9"))
    later = measured("the same, later", lambda turn: message("A08", 2 + turn, f"DOC{turn % 7}", "R07.9"))
    new = measured("changes a value", lambda turn: message("A08", 2 + turn, "", f"R07.{turn % 7}"))
    met = same["microseconds"] < new["microseconds"] and not same["rows_changed"] and not later["emits"]
    result("update", {"same": same, "same_later": later, "changes_a_value": new, "met": met}, "msgspec")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
