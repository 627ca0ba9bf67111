"""Coverage-guided fuzzing (atheris) of all that takes bytes from outside:
`python -m tests.fuzz.guided FOLDER RUNS SECONDS`.

FOLDER, empty before, takes what it starts from and what it finds on the way (damaged corpus messages among them).
The first byte of an input says which laws it is for. Half of the new inputs come from `tests.fuzz.mutate`, which knows
HL7, half from libFuzzer, which knows what has not been reached yet. Prints what `tests.fuzz.aware` prints.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

import atheris

with atheris.instrument_imports(include=["parsers", "domain"]):
    from domain.errors import Refusal
    from tests.fuzz import laws
    from tests.fuzz.mutate import Mutator
    from tests.fuzz.seeds import ROWS, TIMES, batches, messages, streams
from tests.fuzz.tally import Tally

MESSAGE, STREAM, BATCH, ROW, TIME = (b"M", b"S", b"B", b"R", b"T")
_LAWS: Final = {
    STREAM: laws.stream,
    BATCH: laws.batch,
    ROW: laws.rows,
    TIME: lambda data: laws.time(data.decode("latin-1")),
}


def seeds() -> list[bytes]:
    """What each kind starts from, marked."""
    kinds = {MESSAGE: messages(), STREAM: streams(), BATCH: batches(), ROW: ROWS, TIME: TIMES}
    return [kind + data for kind, each in kinds.items() for data in each]


def main() -> None:
    folder, runs, seconds = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    tally = Tally("guided", runs)
    mutator = Mutator(messages(), 0)

    def one(given: bytes) -> None:
        kind, data = given[:1], given[1:]
        with tally.watching(given):
            if kind in _LAWS:
                _LAWS[kind](data)
            elif isinstance(answer := laws.message(data, laws.profile_for(data)), Refusal):
                tally.refused(answer.code)
            else:
                tally.read += 1
        if tally.runs >= runs or tally.over(seconds):
            # libFuzzer has no end of its own that lets Python speak first.
            tally.report()
            os._exit(0)

    def changed(given: bytes, longest: int, seed: int) -> bytes:
        if given[:1] == MESSAGE and seed % 2:
            mutator.chance.seed(seed)
            return (MESSAGE + mutator.changed(given[1:]))[:longest]
        return bytes(given[:1] + atheris.Mutate(given[1:], longest - 1))

    for number, seed in enumerate(seeds()):
        (folder / f"{number}").write_bytes(seed)
    arguments = [sys.argv[0], str(folder), "-max_len=12000", "-seed=1", "-verbosity=0", "-print_final_stats=0"]
    atheris.Setup(arguments, one, custom_mutator=changed)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
