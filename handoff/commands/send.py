"""`send`: HL7 files over MLLP, every answer counted."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from ssl import SSLError
from typing import Annotated, Any

import typer
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from gateway.client import Outcome, Sent, Target
from gateway.client import send as send_all
from handoff import target
from handoff.exits import faults_exit_2
from handoff.inputs import messages
from handoff.output import as_json, err, out, table
from streams.tls import client_context

_RETRIES = 100
_SHOWN = 20
_LONGEST_WHY = 200


def send(
    paths: Annotated[list[str], typer.Argument(metavar="PATH…", help="HL7 files, folders, .jsonl, or - (stdin).")],
    to: Annotated[str | None, typer.Option(help="host:port (default: the system on this machine).")] = None,
    rate: Annotated[float, typer.Option(min=0, help="Messages a second in total; 0: as fast as answers come.")] = 0,
    connections: Annotated[
        int, typer.Option(min=1, max=1000, help="Connections; each patient's messages use one of them.")
    ] = 1,
    retry: Annotated[bool, typer.Option("--retry", help="Send again after AR or a lost connection.")] = False,
    wait: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for one answer.")] = 30,
    ca: Annotated[Path | None, typer.Option(help="TLS: the authority of the listener's certificate (PEM).")] = None,
    cert: Annotated[Path | None, typer.Option(help="TLS: the client's certificate (PEM).")] = None,
    key: Annotated[Path | None, typer.Option(help="TLS: its key (PEM).")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print the account as JSON.")] = False,
) -> None:
    """Send messages over MLLP and count the answers; of each that was not accepted, say what it got and why.

    Exit 1 if any was not accepted, 2 if an input cannot be read."""
    host, port = _address(to)
    with faults_exit_2():
        read = [(message.raw, message.origin) for message in messages(paths)]
    found = [raw for raw, _ in read]
    try:
        tls = client_context(ca, cert, key) if ca or cert else None
    except (OSError, SSLError) as error:
        err.print(f"TLS files: {error}", markup=False)
        raise typer.Exit(2) from error
    if not found:
        err.print("The inputs contain no message.")
        raise typer.Exit(2)
    target = Target(
        host=host,
        port=port,
        connections=connections,
        rate=rate,
        retries=_RETRIES if retry else 0,
        answer_seconds=wait,
        tls=tls,
        server_name=host,
    )
    refused: list[Outcome] = []
    with _progress(len(found)) as on_outcome:

        def note(outcome: Outcome) -> None:
            on_outcome(outcome)
            if not outcome.good:
                refused.append(outcome)

        sent = asyncio.run(send_all(target, found, note))
    refused.sort(key=lambda outcome: outcome.index)
    _report(sent, [_told(each, read[each.index][1]) for each in refused], f"{host}:{port}", json_)
    if sent.good < len(found):
        raise typer.Exit(1)


def _address(given: str | None) -> tuple[str, int]:
    state = target.running() if given is None else None
    text = given or str((state or {}).get("mllp") or "127.0.0.1:2575")
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        err.print("--to wants host:port", markup=False)
        raise typer.Exit(2)
    return host.strip("[]"), int(port)


class _progress:
    """A bar on stderr for people; nothing where stderr is not a terminal."""

    def __init__(self, total: int) -> None:
        columns = (
            TextColumn("sending"),
            *Progress.get_default_columns()[1:2],
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        self._bar = Progress(*columns, TextColumn("{task.fields[wrong]}"), console=err, disable=not err.is_terminal)
        self._task = self._bar.add_task("", total=total, wrong="")
        self._wrong = 0

    def __enter__(self) -> Callable[[Outcome], None]:
        self._bar.start()
        return self._write

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def _write(self, outcome: Outcome) -> None:
        self._wrong += not outcome.good
        self._bar.update(self._task, advance=1, wrong=f"{self._wrong} not accepted" if self._wrong else "")


def account(sent: Sent) -> dict[str, Any]:
    """The totals of a run, as data. Latencies are those of the answers, in milliseconds."""
    latency = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    return {
        "messages": sent.total,
        "accepted": sent.good,
        "codes": dict(sorted(sent.codes.items())),
        "sent_again": sent.retried,
        "seconds": round(sent.elapsed, 3),
        "rate": round(sent.total / sent.elapsed, 1) if sent.elapsed else 0.0,
        "latency_ms": {name: round(1000 * sent.percentile(share), 2) for name, share in latency.items()},
    }


def _told(outcome: Outcome, origin: str) -> dict[str, str]:
    """Which message was not accepted, the answer to it, and why: the other system's text, of printable characters."""
    why = "".join(each if each.isprintable() else " " for each in outcome.why)[:_LONGEST_WHY]
    return {"message": origin, "answer": outcome.code, "why": why}


def _report(sent: Sent, refused: list[dict[str, str]], where: str, json_: bool) -> None:
    totals = account(sent)
    if json_:
        as_json({"to": where, **totals, "not_accepted": refused})
        return
    if refused:
        rows = [tuple(each.values()) for each in refused[:_SHOWN]]
        table(f"Not accepted: {len(refused)}", ("message", "answer", "why"), rows)
        if len(refused) > _SHOWN:
            counts = Counter((each["answer"], each["why"]) for each in refused)
            out.print(f"and {len(refused) - _SHOWN} more (--json lists all); all of them by answer and reason:")
            table("", ("answer", "why", "messages"), ((*what, count) for what, count in counts.most_common()))
    table(f"Answers of {where}", ("code", "messages"), totals["codes"].items())
    latency = ", ".join(f"{name} {value} ms" for name, value in totals["latency_ms"].items())
    out.print(f"{totals['messages']} messages in {totals['seconds']} s ({totals['rate']}/s); answers: {latency}")
