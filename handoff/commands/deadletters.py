"""Records that were not taken: list them, look at one."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from agents.stage import Record
from domain.times import rfc3339
from handoff import place
from handoff.show import as_json, day, needs_kafka, out, table
from streams.reading import snapshot

deadletters_app = typer.Typer(no_args_is_help=True, help="Records that were refused or set aside, and why.")
TOPIC = "adt.dead-letters.v1"


def _entry(record: Record) -> dict[str, Any]:
    def header(name: str) -> str:
        return record.headers.get(name, b"").decode("utf-8", "replace")

    return {
        "at": record.coordinates,
        "when": rfc3339(record.timestamp),
        "code": header("code"),
        "place": header("place"),
        "stage": header("stage"),
        "sender": header("sender"),
        "source": header("source"),
        "bytes": len(record.value or b""),
    }


@deadletters_app.command("list")
@needs_kafka
def list_(
    code: Annotated[str | None, typer.Option(help="Only those with this code.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """What was refused: code, place, stage, sender, where it came from. Never what it said."""
    entries = [_entry(record) for record in snapshot(place.kafka(), [TOPIC])]
    entries = [entry for entry in entries if code is None or entry["code"] == code]
    if json_:
        as_json(entries)
        return
    table(
        f"Dead letters: {len(entries)}",
        ("at", "when", "code", "place", "stage", "sender", "source", "bytes"),
        (
            (e["at"], day(e["when"]), *(e[n] for n in ("code", "place", "stage", "sender", "source", "bytes")))
            for e in entries
        ),
        "none",
    )


@deadletters_app.command("show")
@needs_kafka
def show(
    at: Annotated[str, typer.Argument(help="Its coordinates, as `list` prints them: topic/partition/offset.")],
    raw: Annotated[bool, typer.Option("--raw", help="Print the bytes too. They may hold a person's data.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """One dead letter; its bytes only when asked for."""
    for record in snapshot(place.kafka(), [TOPIC]):
        if record.coordinates == at:
            entry = _entry(record)
            text = (record.value or b"").decode("utf-8", "backslashreplace").replace("\r\n", "\n").replace("\r", "\n")
            if json_:
                as_json({**entry, **({"raw": text} if raw else {})})
                return
            for name, value in entry.items():
                out.print(f"{name:>7}  {value}", markup=False)
            if raw:
                out.print(text, markup=False)
            return
    out.print(f"No dead letter at {at}.")
    raise typer.Exit(1)
