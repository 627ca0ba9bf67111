"""Shared by `roster load` and `custody load`: the file, its faults by line, and writing all of it or nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.progress import Progress

from domain.errors import BadDeclaration
from handoff import target
from handoff.exits import faults_exit_2
from handoff.loading import write_documents
from handoff.output import as_json, err, out
from parsers.records.files import Fault, Loaded
from streams.kafka.produce import NotConfirmed
from streams.yaml_lines import read_declaration

T = TypeVar("T")
_SHOWN = 50

File = Annotated[str, typer.Argument(metavar="FILE", help="CSV with a header, or JSON lines; - is standard input.")]
Mapping = Annotated[
    Path | None, typer.Option("--mapping", help="YAML: handoff's field -> the file's column, where names differ.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check only; write nothing.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def content(file: str) -> bytes:
    """The bytes of the file. Exits with 2 when it cannot be read."""
    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        err.print(f"{file}: {error.strerror or error}", markup=False)
        raise typer.Exit(2) from error


def mapping_of(path: Path | None, fields: frozenset[str]) -> dict[str, str]:
    """The mapping in a file. Exits with 2 and every fault."""
    if path is None:
        return {}
    with faults_exit_2():
        document = read_declaration(path)
        if not isinstance(document.data, dict):
            raise BadDeclaration((document.fault((), "wants one line for each field, `field: column`"),))
        faults = [document.fault((name,), "no such field") for name in document.data if name not in fields]
        faults += [
            document.fault((name,), "wants the name of a column")
            for name, column in document.data.items()
            if not isinstance(column, str)
        ]
        if faults:
            raise BadDeclaration(tuple(faults))
    return dict(document.data)


def write(
    loaded: Loaded[T],
    what: str,
    topic: str,
    key: Callable[[T], str],
    value: Callable[[T], bytes],
    *,
    file: str,
    dry_run: bool,
    json_: bool,
) -> None:
    """Write all documents in one transaction, or none if the file has faults.

    Exits with 2 and every fault by its line; with 1 when Kafka does not confirm.
    """
    account: dict[str, Any] = {
        "file": file,
        "rows": len(loaded.documents),
        "written": 0,
        "ignored": list(loaded.ignored),
        "faults": [{"line": each.line, "field": each.field, "reason": each.reason} for each in loaded.faults],
    }
    if loaded.faults:
        _print_faults(account, loaded.faults, file, json_)
        raise typer.Exit(2)
    if not dry_run:
        try:
            with Progress(console=err, transient=True, disable=not err.is_terminal) as bar:
                task = bar.add_task(f"writing {what}", total=len(loaded.documents))
                account["written"] = write_documents(
                    target.kafka(), topic, loaded.documents, key, value, lambda count: bar.update(task, completed=count)
                )
        except NotConfirmed as error:
            err.print(
                f"Kafka did not take it ({error.why}): nothing was written. `handoff doctor` checks the settings."
            )
            raise typer.Exit(1) from error
    if json_:
        as_json(account)
        return
    done = "no fault, nothing written (--dry-run)" if dry_run else f"written to {topic}"
    out.print(f"{file}: {len(loaded.documents)} {what}, {done}", markup=False)
    if loaded.ignored:
        out.print(f"Ignored columns: {', '.join(loaded.ignored)}", style="dim", markup=False)


def _print_faults(account: dict[str, Any], faults: Sequence[Fault], file: str, json_: bool) -> None:
    if json_:
        as_json(account)
        return
    for fault in faults[:_SHOWN]:
        typer.echo(f"{file}: {fault}", err=True)  # never wrapped: a line is a fault
    if len(faults) > _SHOWN:
        err.print(f"and {len(faults) - _SHOWN} more (--json lists all)")
    err.print(f"Nothing was written. Faults: {len(faults)}, bad lines: {len({fault.line for fault in faults})}.")
