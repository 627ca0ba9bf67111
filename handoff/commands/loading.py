"""Shared by `roster load` and `custody load`: the file, the account of it, its faults by line, and the write."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.progress import Progress

from domain.errors import BadDeclaration
from handoff import target
from handoff.exits import faults_exit_2
from handoff.loading import write_documents
from handoff.output import as_json, err, out
from parsers.records.files import UTF_8, Fault, Loaded
from streams.kafka.produce import NotConfirmed
from streams.yaml_lines import read_declaration

T = TypeVar("T")
_SHOWN = 50

File = Annotated[str, typer.Argument(metavar="FILE", help="CSV with a header, or JSON lines; - is standard input.")]
MappingFile = Annotated[
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


def account_of(loaded: Loaded[Any], file: str, mapping: Mapping[str, str]) -> dict[str, Any]:
    """The account of a file as `--json` prints it. `sums`: equal faults counted, with their first line."""
    faults = [
        {"line": each.line, "field": each.field, "column": _column(each, mapping), "reason": each.reason}
        for each in loaded.faults
    ]
    sums: dict[tuple[str, str], dict[str, Any]] = {}
    for each in loaded.faults:
        key = (_column(each, mapping), each.reason)
        known = sums.setdefault(key, {"column": key[0], "reason": key[1], "faults": 0, "first": each.line})
        known["faults"] += 1
    return {
        "file": file,
        "encoding": loaded.encoding,
        "rows": len(loaded.documents),
        "written": 0,
        "ignored": list(loaded.ignored),
        "faults": faults,
        "sums": sorted(sums.values(), key=lambda each: (-each["faults"], each["first"], each["column"])),
    }


def stop_at_faults(loaded: Loaded[Any], account: dict[str, Any], json_: bool, skip_bad: bool = False) -> None:
    """Print the faults, if any. Exits with 2, unless they are to be skipped and are of single rows."""
    if not loaded.faults:
        return
    stops = loaded.broken or not skip_bad
    if json_ and stops:
        as_json(account)
    if not json_:
        _print_faults(account)
        if stops:
            err.print("Nothing was written.")
    if stops:
        raise typer.Exit(2)


def write_all(
    topic: str,
    documents: Collection[T],
    key: Callable[[T], str],
    value: Callable[[T], bytes | None],
    what: str,
) -> int:
    """Write all documents in one transaction; returns how many. Exits with 1 when Kafka does not confirm."""
    try:
        with Progress(console=err, transient=True, disable=not err.is_terminal) as bar:
            task = bar.add_task(f"writing {what}", total=len(documents))
            return write_documents(
                target.kafka(), topic, documents, key, value, lambda count: bar.update(task, completed=count)
            )
    except NotConfirmed as error:
        err.print(f"Kafka did not take it ({error.why}): nothing was written. `handoff doctor` checks the settings.")
        raise typer.Exit(1) from error


def print_account(account: dict[str, Any], text: str, json_: bool) -> None:
    """Print the account, or `text` and what is unusual about the file."""
    if json_:
        as_json(account)
        return
    out.print(f"{account['file']}: {text}", markup=False)
    if account["encoding"] != UTF_8:
        out.print(f"Read as {account['encoding']}: the file is not {UTF_8}.", markup=False)
    if account["ignored"]:
        out.print(f"Ignored columns: {', '.join(account['ignored'])}", style="dim", markup=False)


def _column(fault: Fault, mapping: Mapping[str, str]) -> str:
    """The file's name for the field of a fault."""
    field, dot, part = fault.field.partition(".")
    return mapping.get(field, field) + dot + part


def _print_faults(account: dict[str, Any]) -> None:
    faults, sums = account["faults"], account["sums"]
    for fault in faults[:_SHOWN]:
        column = f"{fault['column']}: " if fault["column"] else ""
        typer.echo(f"{account['file']}: line {fault['line']}: {column}{fault['reason']}", err=True)  # a line is a fault
    if len(faults) > _SHOWN:
        err.print(f"and {len(faults) - _SHOWN} more (--json lists all)")
    if len(sums) < len(faults):
        _print_sums(sums)
    err.print(f"Faults: {len(faults)}, bad lines: {len({fault['line'] for fault in faults})}.")


def _print_sums(sums: Iterable[Mapping[str, Any]]) -> None:
    for each in list(sums)[:_SHOWN]:
        column = f"{each['column']}: " if each["column"] else ""
        times = f"{each['faults']} times, first on line {each['first']}"
        typer.echo(f"{column}{each['reason']}: {times}", err=True)
