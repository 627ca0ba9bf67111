"""`make fuzz`: both fuzzers side by side, each in a process. `python -m tests.fuzz RUNS SECONDS`.

RUNS are of both together; SECONDS (0: no limit) may end them earlier. Last line: `runs N, refusals M, surprises S`.
Exit status: 0 no surprise, 1 some (see build/fuzz), 70 a fuzzer ended without a report, 130 interrupted.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter
from typing import Any

from tests.fuzz.tally import KEPT


def main() -> int:
    runs, seconds = int(sys.argv[1]), sys.argv[2]
    guided = runs // 4  # it is about three times as slow
    with tempfile.TemporaryDirectory() as folder:
        processes = [
            subprocess.Popen(
                [sys.executable, "-m", f"tests.fuzz.{name}", *arguments], stdout=subprocess.PIPE, text=True
            )
            for name, arguments in (
                ("aware", [str(runs - guided), seconds]),
                ("guided", [folder, str(guided), seconds]),
            )
        ]
        try:
            told = [process.communicate()[0] for process in processes]
        except KeyboardInterrupt:
            for process in processes:
                process.terminate()
                process.wait()
            return 130
    reports: list[dict[str, Any]] = [json.loads(line) for text in told for line in text.splitlines() if line[:1] == "{"]
    refusals: Counter[str] = Counter()
    for report in reports:
        refusals += Counter(report["refusals"])
        print(f"{report['name']}: {report['runs']:,} runs in {report['seconds']} s, {report['read']:,} read as events")
    print("refused: " + ", ".join(f"{code} {count:,}" for code, count in refusals.most_common()))
    surprises = sum(report["surprises"] for report in reports)
    if surprises:
        print(f"inputs and tracebacks: {KEPT}")
    total = sum(report["runs"] for report in reports)
    print(f"runs {total}, refusals {refusals.total()}, surprises {surprises}")
    if len(reports) < len(processes):
        return 70
    return 1 if surprises else 0


if __name__ == "__main__":
    sys.exit(main())
