"""`custody load`: bookings, releases and transfers, from a file."""

from __future__ import annotations

from typing import Annotated

import typer

from agents.topics import CUSTODY_RAW
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
from handoff.output import needs_kafka
from parsers.records.custody import FIELDS, encode_custody, load_custody

custody_app = typer.Typer(no_args_is_help=True, help="Custody records of jails, prisons and youth facilities.")


@custody_app.callback()
def _group() -> None:
    """Keeps `load` a command of its own while there is only one."""


@custody_app.command()
@needs_kafka
def load(
    file: File,
    mapping: MappingFile = None,
    source: Annotated[str, typer.Option(help="Source of records that name none.")] = "file",
    dry_run: DryRun = False,
    json_: Json = False,
) -> None:
    """Check every row, then write all records or none. Exit 2 with every bad row by its line.

    A row needs kind (booked, scheduled, released, transferred, deleted), its time, and a cin or identifiers.
    """
    columns = mapping_of(mapping, FIELDS)
    loaded = load_custody(content(file), columns, source)
    account = account_of(loaded, file, columns)
    stop_at_faults(loaded, account, json_)
    done = "no fault, nothing written (--dry-run)"
    if not dry_run:
        account["written"] = write_all(
            CUSTODY_RAW, loaded.documents, lambda each: each.key, encode_custody, "custody records"
        )
        done = f"written to {CUSTODY_RAW}"
    print_account(account, f"{len(loaded.documents)} custody records, {done}", json_)
