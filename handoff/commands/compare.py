"""`compare` and `what-if`: the candidates of two runs or of two rule sets."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from agents.shadow import shadow_topic
from agents.topics import CANDIDATES
from handoff import target
from handoff.comparison import Comparison, Documents, of_file
from handoff.comparison import compare as compare_documents
from handoff.declarations.rules import load_rules
from handoff.declarations.senders import load_senders
from handoff.exits import faults_exit_2
from handoff.inputs import BadInput
from handoff.output import as_json, needs_kafka, out, table
from handoff.replay import Replay
from handoff.replay_inputs import feed, from_files, instant_of
from handoff.replay_outputs import Outputs
from streams.kafka.read import documents

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
History = Annotated[bool, typer.Option("--history", help="Compare revisions, receipts and log places too.")]
_SIDE = "`live`, a shadow's name, a topic, or a folder (or file) that `handoff replay --out` wrote"


@needs_kafka
def compare(
    first: Annotated[str, typer.Argument(metavar="A", help=f"As it is: {_SIDE}.")],
    second: Annotated[str, typer.Argument(metavar="B", help="As it would be: the same choice.")],
    history: History = False,
    json_: Json = False,
) -> None:
    """Compare the live candidates of two runs: gained, lost, changed. Exit 0 the same, 1 they differ, 2 no such run."""
    with faults_exit_2():
        found = compare_documents(_side(first), _side(second), history=history)
    report(found, first, second, json_)


def what_if(
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT…", help="HL7 files, folders, .jsonl or -.")],
    rules: Annotated[
        list[Path], typer.Option("--rules", help="A rules folder; give it twice: as it is, as it would be.")
    ],
    roster: Annotated[Path | None, typer.Option(help="Roster file (CSV or JSON lines).")] = None,
    custody: Annotated[Path | None, typer.Option(help="Custody file (CSV or JSON lines).")] = None,
    senders: Annotated[Path | None, typer.Option(help="Senders folder instead of the one in force.")] = None,
    provisional: Annotated[bool, typer.Option(help="Make each unmatched patient a member of its own.")] = False,
    as_of: Annotated[str | None, typer.Option(help="The time at the end, RFC 3339.")] = None,
    json_: Json = False,
) -> None:
    """Replay recorded messages under two sets of rules and compare the live candidates. Exit codes as of `compare`."""
    settings = target.settings()
    with faults_exit_2():
        if len(rules) != 2:
            raise BadInput("--rules: give two folders, as it is and as it would be")
        profiles = load_senders(senders or settings.paths.senders)
        sides: list[Documents] = []
        for folder in rules:
            with tempfile.TemporaryDirectory(prefix="handoff-what-if-") as scratch:
                with Outputs(Path(scratch)) as outputs:
                    ruleset = load_rules(folder)
                    run = Replay(profiles, ruleset, outputs.take, provisional=provisional)
                    _, last, _ = feed(run, from_files(inputs, roster, custody, profiles, ruleset.vocabulary))
                    run.finish(instant_of(as_of) if as_of else last)
                sides.append(of_file(Path(scratch)) if outputs.counts.get(CANDIDATES) else {})
    report(compare_documents(*sides), str(rules[0]), str(rules[1]), json_)


def report(found: Comparison, first: str, second: str, json_: bool) -> None:
    """Print a comparison; exit 1 when there is a difference."""
    if json_:
        document: dict[str, Any] = msgspec.to_builtins(found)
        counts = [
            dict(zip(("population", "rule", "gained", "lost", "changed"), row, strict=True)) for row in found.by_rule()
        ]
        as_json({**document, "equal": found.equal, "by_rule": counts})
    else:
        out.print(
            f"{first} -> {second}: {len(found.gained)} gained, {len(found.lost)} lost, "
            f"{len(found.changed)} changed, {found.same} the same",
            markup=False,
        )
        if not found.equal:
            table("By rule", ("pop.", "rule", "gained", "lost", "changed"), found.by_rule())
            rows: list[tuple[str, str, str, str, str]] = []
            for mark, part in (("+", found.gained), ("-", found.lost)):
                rows += [(mark, e.candidate_id[:12], e.member_id, e.rule, e.other or "no document") for e in part]
            rows += [("~", e.candidate_id[:12], e.member_id, e.rule, ", ".join(e.fields)) for e in found.changed]
            table("Candidates", ("", "candidate", "member", "rule", "on the other side, or what differs"), rows)
    if not found.equal:
        raise typer.Exit(1)


def _side(name: str) -> Documents:
    """One side of a comparison. Raises BadInput, TopicMissing and KafkaException."""
    if name == "live":
        return documents(target.kafka(), CANDIDATES)
    path = Path(name)
    if path.exists():
        return of_file(path)
    if "/" in name or name.endswith(".jsonl"):
        raise BadInput(f"{name}: no such file or folder")
    return documents(target.kafka(), name if "." in name else shadow_topic(name, CANDIDATES))
