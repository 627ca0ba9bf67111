"""`deadletters`: list records that were set aside, show one, drive them again after a correction."""

from __future__ import annotations

from itertools import zip_longest
from typing import Annotated

import typer
from rich.progress import Progress

from agents.topics import DEAD_LETTERS
from domain.rules.vocabulary import Vocabulary
from handoff import dead_letters as letters
from handoff import target
from handoff.conformance import conformance
from handoff.dead_letters import OPEN, REDRIVEN, LetterChoice, entries, is_marker, lookup
from handoff.declarations.rules import load_rules
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
    """List dead letters: code, place, stage, sender, source, and whether it was driven again.

    Never its content.
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
    raw: Annotated[bool, typer.Option("--raw", help="Also print the bytes, which may hold personal data.")] = False,
    json_: Json = False,
) -> None:
    """Show one dead letter: the reason, and hl7apy's findings; its bytes only with --raw."""
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
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would happen; write nothing.")] = False,
    json_: Json = False,
) -> None:
    """Drive dead letters again, after a correction of a sender profile or of the code.

    Messages are read with today's profiles and keep their first time of receipt, as if they had been accepted then.
    A letter that is still refused stays, with today's reason. Each goes at most once, and a second time would change
    nothing. Exit 1 if one was still refused, or if one that was named cannot be driven again (for example, only its
    beginning was kept); 2 if a name is not a letter's.
    """
    named = frozenset(at or ())
    if not (named or code or sender or all_):
        err.print("Which? Name letters as `handoff deadletters list` prints them, or give --code, --sender or --all.")
        raise typer.Exit(2)
    kafka = target.kafka()
    declared = _declared()
    state = lookup(kafka, LetterChoice(named, code, sender))
    if unknown := sorted(named - state.letters):
        for each in unknown:
            err.print(f"{each}: no such dead letter (or not with that code and sender)", markup=False)
        raise typer.Exit(2)
    verdicts: list[Verdict] = []
    try:
        with Progress(console=err, transient=True, disable=not err.is_terminal) as bar:
            task = bar.add_task("driving again", total=len(state.letters))
            for verdict in redrive(kafka, *declared, state, dry_run=dry_run):
                verdicts.append(verdict)
                bar.update(task, completed=len(verdicts))
    except NotConfirmed as error:
        _report(verdicts, dry_run, json_)
        err.print(f"Kafka did not take the rest ({error.why}): those letters are still open. Run it again later.")
        raise typer.Exit(1) from error
    _report(verdicts, dry_run, json_)
    counts = counted(verdicts)
    if counts[REFUSED] or (named and counts[IMPOSSIBLE]):
        raise typer.Exit(1)


def _declared() -> tuple[Profiles, Vocabulary]:
    """The sender profiles, with the listener's policy for unknown senders, and the words of a roster.

    Exits with 2 and every fault.
    """
    settings = target.settings()
    with faults_exit_2():
        profiles = load_senders(settings.paths.senders, settings.mllp.unknown_senders == "refuse")
        return profiles, load_rules(settings.paths.rules).vocabulary


def _report(verdicts: list[Verdict], dry_run: bool, json_: bool) -> None:
    counts = counted(verdicts)
    left = [each for each in verdicts if each.outcome in (REFUSED, IMPOSSIBLE)]
    if json_:
        listed = [
            {"at": each.at, "outcome": each.outcome, "code": each.code, "place": each.place, "why": each.why}
            for each in verdicts
        ]
        as_json({"dry_run": dry_run, **counts, "letters": listed})
        return
    if left:
        rows = ((each.at, each.code or each.why, each.place) for each in left)
        table(f"Left as they are: {len(left)}", ("at", "why", "place"), rows)
    done = "would be redriven" if dry_run else "redriven"
    out.print(
        f"{done} {counts[REDRIVEN]}, still refused {counts[REFUSED]}, "
        f"already redriven {counts[ALREADY]}, cannot be redriven {counts[IMPOSSIBLE]}"
    )
