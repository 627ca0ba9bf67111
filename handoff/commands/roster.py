"""`roster load`: the plan's members, from a file."""

from __future__ import annotations

import typer

from agents.topics import ROSTER
from handoff.commands.loading import DryRun, File, Json, Mapping, content, mapping_of, write
from handoff.output import needs_kafka
from parsers.records.roster import FIELDS, encode_roster, load_roster

roster_app = typer.Typer(no_args_is_help=True, help="The plan's members.")


@roster_app.callback()
def _group() -> None:
    """Keeps `load` a command of its own while there is only one."""


@roster_app.command()
@needs_kafka
def load(file: File, mapping: Mapping = None, dry_run: DryRun = False, json_: Json = False) -> None:
    """Check every row, then write all members or none. Only member_id (or cin) and birth_date are required.

    Lists are separated by semicolons: identifiers as AUTHORITY|NUMBER, programmes as id:from:to. Exit 2 with every bad
    row by its line.
    """
    loaded = load_roster(content(file), mapping_of(mapping, FIELDS))
    write(
        loaded, "members", ROSTER, lambda each: each.member_id, encode_roster, file=file, dry_run=dry_run, json_=json_
    )
