"""Damaged messages by the million through all laws of a message: `python -m tests.fuzz.aware RUNS [SECONDS [SEED]]`.

Prints one line of JSON at the end: runs, read, refusals, surprises. See `tests.fuzz.tally` for what a surprise leaves.
"""

from __future__ import annotations

import signal
import sys
from zlib import crc32

from domain.errors import Refusal
from tests.fuzz import laws
from tests.fuzz.mutate import Mutator
from tests.fuzz.seeds import messages
from tests.fuzz.tally import Tally


def run(tally: Tally, mutator: Mutator, runs: int, seconds: float = 0) -> None:
    """`runs` messages, or fewer when `seconds` (0: no limit) are over; every eighth as a stream and a file too."""
    while tally.runs < runs and not tally.over(seconds):
        raw = mutator.some()
        with tally.watching(raw):
            answer = laws.message(raw, laws.profile_for(raw))
            if crc32(raw) % 8 == 0:
                laws.stream(laws.frame(raw) + raw)
                laws.batch(raw)
            if isinstance(answer, Refusal):
                tally.refused(answer.code)
            else:
                tally.read += 1


def main() -> None:
    runs, seconds, seed = [*map(int, sys.argv[1:]), 0, 0, 0][:3]
    tally = Tally("aware", runs)
    # Told to stop, it says what it has so far; started in the background of a shell it would not hear an interrupt.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        run(tally, Mutator(messages(), seed), runs, seconds)
    except KeyboardInterrupt:
        print("stopped early", file=sys.stderr)
    tally.report()


if __name__ == "__main__":
    main()
