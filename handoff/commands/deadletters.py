"""Records that were not taken: list them, look at one, drive them again after a correction."""

from __future__ import annotations

from itertools import zip_longest
from typing import Annotated

import typer
from rich.progress import Progress

from agents.topics import DEAD_LETTERS
from handoff import dead_letters as letters
from handoff import target
from handoff.conformance import conformance
from handoff.dead_letters import OPEN, REDRIVEN, LetterChoice, entries, is_marker, lookup
from handoff.declarations.senders import load_senders
from handoff.exits import faults_exit_2
from handoff.output import as_json, day, err, needs_kafka, out, table
from handoff.redrive import ALREADY, IMPOSSIBLE, REFUSED, Verdict, counted, redrive
from parsers.hl7.profiles import Profiles
from streams.kafka.produce import NotConfirmed
from streams.kafka.read import snapshot

deadletters_app = typer.Typer(no_args_is_help=True, help="Records that were refused or set aside, and why.")
Code = Annotated[str | None, typer.Option(help="Only those with this code.")]
Sender = Annotated[str | None, typer.Option(help="Only those of this sender profile.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@deadletters_app.command("list")
@needs_kafka
def list_(
    code: Code = None,
    sender: Sender = None,
    stage: Annotated[str | None, typer.Option(help="Only those of gateway, reconcile or refer.")] = None,
    state: Annotated[str | None, typer.Option(help="Only those that are open, or redriven.")] = None,
    json_: Json = False,
) -> None:
    """What was refused: code, place, stage, sender, where it came from, whether it was driven again.

    Never what it said.
    """
    if state not in (None, OPEN, REDRIVEN):
        err.print(f"--state is {OPEN} or {REDRIVEN}", markup=False)
        raise typer.Exit(2)
    wanted = {"code": code, "sender": sender, "stage": stage, "state": state}
    found = [
        each
        for each in entries(snapshot(target.kafka(), [DEAD_LETTERS]))
        if all(value is None or each[name] == value for name, value in wanted.items())
    ]
    if json_:
        as_json(found)
        return
    columns = ("code", "place", "stage", "sender", "source", "bytes", "state")
    table(
        f"Dead letters: {len(found)}",
        ("at", "when", *columns),
        ((each["at"], day(each["when"]), *(each[name] for name in columns)) for each in found),
        "none",
    )


@deadletters_app.command("show")
@needs_kafka
def show(
    at: Annotated[str, typer.Argument(help="Its coordinates, as `list` prints them: topic/partition/offset.")],
    raw: Annotated[bool, typer.Option("--raw", help="Print the bytes too. They may hold a person's data.")] = False,
    json_: Json = False,
) -> None:
    """One dead letter: our reason, and what hl7apy says of it; its bytes only when asked for."""
    for record in snapshot(target.kafka(), [DEAD_LETTERS]):
        if record.coordinates == at and not is_marker(record):
            entry = letters.entry(record)
            entry["conformance"] = conformance(record.value or b"")
            text = (record.value or b"").decode("utf-8", "backslashreplace").replace("\r\n", "\n").replace("\r", "\n")
            if json_:
                as_json({**entry, **({"raw": text} if raw else {})})
                return
            findings = entry.pop("conformance")
            for name, value in entry.items():
                out.print(f"{name:>7}  {value}", markup=False)
            for name, finding in zip_longest(("hl7apy",), findings or ("finds nothing against HL7's structure",)):
                out.print(f"{name or '':>7}  {finding}", markup=False)
            if raw:
                out.print(text, markup=False)
            return
    out.print(f"No dead letter at {at}.")
    raise typer.Exit(1)


@deadletters_app.command("redrive")
@needs_kafka
def redrive_(
    at: Annotated[list[str] | None, typer.Argument(metavar="[AT]…", help="Coordinates, as `list` prints them.")] = None,
    code: Code = None,
    sender: Sender = None,
    all_: Annotated[bool, typer.Option("--all", help="All that are open.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would become of them; write nothing.")] = False,
    json_: Json = False,
) -> None:
    """Drive dead letters again, after a sender profile or the code was mended.

    Messages are read anew with today's profiles and go on with their first time of receipt, as if they had been taken
    at once; what is still refused stays, with today's reason. A letter goes at most once, and going twice would change
    nothing. Exit 1 if one was still refused, or one that was named cannot be driven again (only its beginning was kept,
    say); 2 if a name is no letter's.
    """
    named = frozenset(at or ())
    if not (named or code or sender or all_):
        err.print("Which? Name letters as `handoff deadletters list` prints them, or give --code, --sender or --all.")
        raise typer.Exit(2)
    kafka = target.kafka()
    profiles = _profiles()
    standing = lookup(kafka, LetterChoice(named, code, sender))
    if unknown := sorted(named - standing.letters):
        for each in unknown:
            err.print(f"{each}: no such dead letter (or not with that code and sender)", markup=False)
        raise typer.Exit(2)
    verdicts: list[Verdict] = []
    try:
        with Progress(console=err, transient=True, disable=not err.is_terminal) as bar:
            task = bar.add_task("driving again", total=len(standing.letters))
            for verdict in redrive(kafka, profiles, standing, dry_run=dry_run):
                verdicts.append(verdict)
                bar.update(task, completed=len(verdicts))
    except NotConfirmed as error:
        _report(verdicts, dry_run, json_)
        err.print(f"Kafka did not take the rest ({error.why}): those letters are still open. Say it again later.")
        raise typer.Exit(1) from error
    _report(verdicts, dry_run, json_)
    counts = counted(verdicts)
    if counts[REFUSED] or (named and counts[IMPOSSIBLE]):
        raise typer.Exit(1)


def _profiles() -> Profiles:
    """The sender profiles, strangers refused or taken as the listener does. Exits with 2 and every fault."""
    settings = target.settings()
    with faults_exit_2():
        return load_senders(settings.paths.senders, settings.mllp.unknown_senders == "refuse")


def _report(verdicts: list[Verdict], dry_run: bool, json_: bool) -> None:
    counts = counted(verdicts)
    left = [each for each in verdicts if each.outcome in (REFUSED, IMPOSSIBLE)]
    if json_:
        told = [
            {"at": each.at, "outcome": each.outcome, "code": each.code, "place": each.place, "why": each.why}
            for each in verdicts
        ]
        as_json({"dry_run": dry_run, **counts, "letters": told})
        return
    if left:
        rows = ((each.at, each.code or each.why, each.place) for each in left)
        table(f"Left as they are: {len(left)}", ("at", "why", "place"), rows)
    done = "would be redriven" if dry_run else "redriven"
    out.print(
        f"{done} {counts[REDRIVEN]}, still refused {counts[REFUSED]}, "
        f"already redriven {counts[ALREADY]}, cannot be redriven {counts[IMPOSSIBLE]}"
    )
