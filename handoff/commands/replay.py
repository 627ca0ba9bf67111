"""`replay`: the same decisions without Kafka or Redis; `topics` replays what a live system took."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from handoff import target
from handoff.declarations.rules import load_rules
from handoff.declarations.senders import load_senders
from handoff.exits import faults_exit_2
from handoff.output import as_json, out
from handoff.replay import Replay
from handoff.replay_inputs import feed, from_files, from_topics, instant_of
from handoff.replay_outputs import Outputs, write_visits


def replay(
    inputs: Annotated[
        list[str], typer.Argument(metavar="INPUT…|topics", help="HL7 files, folders, .jsonl, - or topics.")
    ],
    out_folder: Annotated[Path, typer.Option("--out", help="Folder for one <topic>.jsonl per output topic.")],
    roster: Annotated[Path | None, typer.Option(help="Roster file (CSV or JSON lines).")] = None,
    custody: Annotated[Path | None, typer.Option(help="Custody file (CSV or JSON lines).")] = None,
    rules: Annotated[Path | None, typer.Option(help="Rules folder instead of the one in force.")] = None,
    senders: Annotated[Path | None, typer.Option(help="Senders folder instead of the one in force.")] = None,
    provisional: Annotated[bool, typer.Option(help="Make each unmatched patient a member of its own.")] = False,
    as_of: Annotated[
        str | None, typer.Option(help="The time at the end, RFC 3339 (default: the last record's).")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Decide recorded messages as the workers would, and write every output record."""
    settings = target.here() if inputs == ["topics"] else target.settings()
    with faults_exit_2():
        profiles = load_senders(senders or settings.paths.senders)
        ruleset = load_rules(rules or settings.paths.rules)
        source = (
            from_topics(target.kafka())
            if inputs == ["topics"]
            else from_files(inputs, roster, custody, profiles, ruleset.vocabulary)
        )
        with Outputs(out_folder) as outputs:
            run = Replay(profiles, ruleset, outputs.take, provisional=provisional)
            count, last, seconds = feed(run, source)
            end = instant_of(as_of) if as_of else last
            run.finish(end)
            visits = write_visits(run, out_folder)
    counts = {**outputs.counts, "visits": visits}
    summary: dict[str, Any] = {
        "records": count,
        "seconds": round(seconds, 3),
        "records_per_second": round(count / seconds) if seconds else None,
        "outputs": counts,
        "faults": run.faults,
        "out": str(out_folder),
    }
    if json_:
        as_json(summary)
        return
    out.print(f"{count} records in {seconds:.1f} s ({summary['records_per_second']}/s) into {out_folder}")
    for topic, number in counts.items():
        out.print(f"{number:>9}  {topic}")
    for code, number in run.faults.items():
        out.print(f"{number:>9}  not taken: {code}")
