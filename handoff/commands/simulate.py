"""`simulate`: a synthetic county as files: messages, roster, custody records, and the truth about them."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from domain.times import instant, rfc3339
from handoff.output import as_json, err, out
from simulator import county
from simulator.places import SENDERS


def simulate(
    out_folder: Annotated[Path, typer.Option("--out", help="Folder for the files (made if missing).")],
    members: Annotated[int, typer.Option(min=1, help="Members of the county.")] = 300,
    days: Annotated[int, typer.Option(min=2, help="Days of its history.")] = 240,
    seed: Annotated[int, typer.Option(help="The same seed and end give the same files, byte for byte.")] = 1,
    end: Annotated[str | None, typer.Option(help="Time of the truth, RFC 3339 (default: now).")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Write messages.jsonl, roster.jsonl, custody.jsonl and truth.json of a synthetic county."""
    try:
        moment = int(time.time()) * 1000 if end is None else instant(end)
    except ValueError as wrong:
        err.print(f"--end {end}: not an RFC 3339 time with an offset", markup=False)
        raise typer.Exit(2) from wrong
    began = time.perf_counter()
    try:
        made = county.simulate(members, days, seed, moment)
        county.write(made, out_folder)
    except (ValueError, OSError) as wrong:
        err.print(str(wrong), markup=False)
        raise typer.Exit(2) from wrong
    seconds = time.perf_counter() - began
    candidates = Counter(each["population"] for each in made.truth["candidates"])
    summary = {
        "out": str(out_folder),
        "end": rfc3339(moment),
        "members": len(made.roster),
        "messages": len(made.messages),
        "messages_per_second": round(len(made.messages) / seconds),
        "custody": len(made.custody),
        "candidates": dict(sorted(candidates.items())),
        "near_threshold": len(made.truth["near_threshold"]),
        "senders": str(SENDERS),
    }
    if json_:
        as_json(summary)
        return
    out.print(f"{len(made.roster)} members, {len(made.messages)} messages up to {rfc3339(moment)} in {out_folder}")
    raised = ", ".join(f"{count} of {population}" for population, count in sorted(candidates.items()))
    out.print(f"In truth: {raised or 'no candidates'}; {len(made.truth['near_threshold'])} one visit short")
    out.print(f"Replay it with --senders {SENDERS}", style="dim")
