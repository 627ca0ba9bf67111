"""`roster load`: the plan's members, from a file."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from agents.topics import ROSTER
from handoff import target
from handoff.commands.loading import (
    DryRun,
    File,
    Json,
    MappingFile,
    account_of,
    content,
    mapping_of,
    print_account,
    stop_at_faults,
    write_all,
)
from handoff.declarations.rules import load_rules
from handoff.exits import faults_exit_2
from handoff.output import as_json, err, needs_kafka
from handoff.roster_changes import Changes, changes, records
from parsers.records.files import Loaded
from parsers.records.roster import FIELDS
from parsers.records.roster_documents import RosterDocument, encode_roster
from parsers.records.roster_file import load_roster

roster_app = typer.Typer(no_args_is_help=True, help="The plan's members.")


@roster_app.callback()
def _group() -> None:
    """Keeps `load` a command of its own while there is only one."""


@roster_app.command()
@needs_kafka
def load(
    file: File,
    mapping: MappingFile = None,
    full: Annotated[
        bool, typer.Option("--full", help="The file is the whole roster: members that it does not have are removed.")
    ] = False,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Load the good rows though others are bad.")] = False,
    accept_removals: Annotated[
        bool, typer.Option("--accept-removals", help="Remove members even above HANDOFF_ROSTER__REMOVAL_ALARM.")
    ] = False,
    again: Annotated[bool, typer.Option("--again", help="Write unchanged members too.")] = False,
    dry_run: DryRun = False,
    json_: Json = False,
) -> None:
    """Check every row, then write the members that changed. Only member_id (or cin) and birth_date are required.

    Several rows of one member are several spans of enrollment. Lists are separated by semicolons: identifiers as
    AUTHORITY|NUMBER, programmes as id:from:to.

    Exit 0 loaded, 1 loaded without its bad rows, 2 nothing written: faults, or more removals than are plausible.
    """
    settings = target.settings()
    columns = mapping_of(mapping, FIELDS)
    with faults_exit_2():
        words = load_rules(settings.paths.rules).vocabulary
    loaded = load_roster(content(file), columns, words)
    account = account_of(loaded, file, columns)
    account["rejected"] = len({fault.line for fault in loaded.faults})
    stop_at_faults(loaded, account, json_, skip_bad)
    if dry_run:
        text = f"{len(loaded.documents)} members, {account['rejected']} lines rejected, nothing written (--dry-run)"
    else:
        found = changes(target.kafka(), loaded.documents, loaded.rejected, full)
        account |= _counts(found)
        _stop_at_alarm(found, settings.roster.removal_alarm, accept_removals, account, json_)
        account["written"] = _write(loaded, found, again)
        text = _summary(found, account)
    print_account(account, text, json_)
    if loaded.faults:
        raise typer.Exit(1)


def _counts(found: Changes) -> dict[str, int]:
    names = ("added", "changed", "unchanged", "removed")
    return {**{name: len(getattr(found, name)) for name in names}, "kept": found.kept}


def _summary(found: Changes, account: dict[str, Any]) -> str:
    names = ("added", "changed", "unchanged", "removed", "rejected")
    text = ", ".join(f"{account[name]} {name}" for name in names) + f"; written to {ROSTER}: {account['written']}"
    if found.kept:
        text += (
            f"\n{found.kept} members that the file does not have were kept: the member of a rejected line is unknown"
        )
    return text


def _stop_at_alarm(found: Changes, alarm: float, accepted: bool, account: dict[str, Any], json_: bool) -> None:
    """Exits with 2 when implausibly many members would be removed: a truncated file looks like that."""
    if accepted or not found.removes_more_than(alarm):
        return
    if json_:
        as_json({**account, "alarm": alarm})
    err.print(
        f"{len(found.removed)} of {found.known} members would be removed, more than {alarm:.0%} "
        "(HANDOFF_ROSTER__REMOVAL_ALARM). Nothing was written. If the file is right: --accept-removals."
    )
    raise typer.Exit(2)


def _write(loaded: Loaded[RosterDocument], found: Changes, again: bool) -> int:
    rows = list(records(loaded.documents, found, again))
    if not rows:
        return 0
    return write_all(
        ROSTER,
        rows,
        lambda row: row[0],
        lambda row: None if row[1] is None else encode_roster(row[1]),
        "members",
    )
