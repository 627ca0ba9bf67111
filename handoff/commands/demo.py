"""`demo`: a simulated county over MLLP through the real thing, checked against ground truth."""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from handoff import target
from handoff.commands.look import candidates_table
from handoff.demo import run
from handoff.demo.verdict import judge
from handoff.embedded.jars import JarsUnavailable
from handoff.embedded.process import NotStarted, Refused
from handoff.output import as_json, err, out
from handoff.system import System
from parsers.records.documents import LIVE_STATUSES
from simulator.county import simulate, write
from simulator.places import SENDERS

SHOWN = 25


def demo(
    members: Annotated[int, typer.Option(min=10, help="Members of the simulated county.")] = 400,
    days: Annotated[int, typer.Option(min=30, help="Days of its history, ending now.")] = 240,
    seed: Annotated[int, typer.Option(help="The same seed gives the same county.")] = 7,
    connections: Annotated[int, typer.Option(min=1, max=200, help="MLLP connections.")] = 16,
    workers: Annotated[int, typer.Option(min=1, max=8, help="Workers per stage.")] = 1,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave it running afterwards (Ctrl-C ends it), in a data folder of its own.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Start everything, send a county's ADT messages over MLLP, show the candidates, and compare with the truth.

    Exit 0 when every candidate is as it should be, 1 when not.
    """
    os.environ.setdefault("HANDOFF_PATHS__SENDERS", str(SENDERS))
    settings = target.settings()
    began = time.monotonic()
    try:
        if keep:
            result = _run(target.demo_folder(), settings, members, days, seed, connections, workers, json_, keep=True)
        else:
            with tempfile.TemporaryDirectory(prefix="handoff-demo-") as folder:
                result = _run(Path(folder), settings, members, days, seed, connections, workers, json_, keep=False)
    except (NotStarted, JarsUnavailable, run.NotDrained) as reason:
        err.print(str(reason), markup=False)
        raise typer.Exit(2 if isinstance(reason, Refused) else 1) from reason
    result["seconds"] = round(time.monotonic() - began, 1)
    if json_:
        as_json(result)
    if not result["exact"]:
        raise typer.Exit(1)


def _run(
    data: Path,
    settings: Any,
    members: int,
    days: int,
    seed: int,
    connections: int,
    workers: int,
    quiet: bool,
    *,
    keep: bool,
) -> dict[str, Any]:
    columns = (TextColumn("{task.description:<34}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, disable=not err.is_terminal) as progress:

        def step(text: str, total: int | None = 1) -> Any:
            if not err.is_terminal:
                err.print(text)
            return progress.add_task(text, total=total)

        starting = step("starting", 4)

        def on_step(what: str) -> None:
            progress.update(starting, description=f"starting {what}", advance=1)

        with System(data, settings, workers=workers, on_step=on_step, fresh=keep) as system:
            if keep:
                target.announce(data)
            progress.update(starting, description="started", completed=4)
            kafka = system.kafka_settings
            task = step("simulating a county")
            end = run.now_ms()
            folder = data / "county"
            write(simulate(members, days, seed, end), folder)
            truth = json.loads((folder / "truth.json").read_bytes())
            messages = run.read_messages(folder)
            progress.update(task, completed=1, description=f"simulated {members} members, {days} days")
            task = step("roster and custody", 2)
            run.feed_roster(kafka, (folder / "roster.jsonl").read_bytes())
            progress.advance(task)
            run.feed_custody(kafka, (folder / "custody.jsonl").read_bytes())
            progress.advance(task)
            task = step(f"ADT over {connections} MLLP connections", len(messages))
            since = run.now_ms()
            first = time.perf_counter()
            sent = run.send_messages(system, messages, connections, lambda _: progress.advance(task))
            catching = step("workers catch up", None)
            run.drain(system, 180.0, lambda lag: progress.update(catching, description=f"workers: {lag} behind"))
            seconds = time.perf_counter() - first
            run.tick(kafka, max(end, run.now_ms()))
            run.drain(system, 60.0)
            progress.update(catching, description="workers caught up", total=1, completed=1)
            documents = run.candidates(kafka)
            verdict = judge(documents, truth)
            latency = run.candidate_latency(kafka, since)
            restarts = sum(process["restarts"] for process in system.status())
            result = {
                "messages": len(messages),
                "acks": dict(sent.codes),
                "messages_per_second": round(len(messages) / sent.elapsed),
                "end_to_end_per_second": round(len(messages) / seconds),
                "ack_ms": {"p50": _ms(sent.percentile(0.5)), "p99": _ms(sent.percentile(0.99))},
                "candidate_ms": {"p50": latency.p50, "p99": latency.p99, "of": latency.count},
                "restarts": restarts,
                "candidates": sum(d["status"] in LIVE_STATUSES for d in documents),
                "verdict": str(verdict),
                "exact": verdict.exact,
                "missing": verdict.missing,
                "extra": verdict.extra,
                "otherwise_opened": verdict.otherwise_opened,
            }
            progress.stop()
            if not quiet:
                _report(documents, result)
            if keep:
                _keep_running(system)
            return result


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


def _report(documents: list[dict[str, Any]], result: dict[str, Any]) -> None:
    live = sorted(
        (d for d in documents if d["status"] in LIVE_STATUSES), key=lambda d: (d["population"], d["member_id"])
    )
    out.print()
    candidates_table(live[:SHOWN], "Who needs Enhanced Care Management now")
    if len(live) > SHOWN:
        out.print(f"… and {len(live) - SHOWN} more", style="dim")
    out.print()
    style = "bold green" if result["exact"] else "bold red"
    out.print(f"Against ground truth: {result['verdict']}", style=style)
    for name in ("missing", "extra", "otherwise_opened"):
        for member, population in result[name][:10]:
            out.print(f"  {name.replace('_', ' ')}: {population} of {member}")
    acks, candidate = result["ack_ms"], result["candidate_ms"]
    answered = ", ".join(f"{code} {n}" for code, n in sorted(result["acks"].items()))
    out.print(
        f"{result['messages']} messages over MLLP at {result['messages_per_second']}/s ({answered}); "
        f"through both stages {result['end_to_end_per_second']}/s"
    )
    out.print(f"ACK p50 {acks['p50']} ms, p99 {acks['p99']} ms, each after Kafka confirmed")
    out.print(
        f"message received to candidate written, under this load: p50 {candidate['p50']:.0f} ms, "
        f"p99 {candidate['p99']:.0f} ms"
    )
    out.print("\nNext: `handoff demo --keep`, then in another terminal:", style="dim")
    for line in ("handoff candidates", "handoff explain c_…", "handoff member 9…", "handoff lag", "handoff status"):
        out.print(f"  {line}", style="dim", markup=False)


def _keep_running(system: System) -> None:
    out.print("\nIt keeps running. Ctrl-C (or `handoff down`) ends it.")
    for name, label in (("mllp", "MLLP"), ("http", "HTTP"), ("console", "console"), ("bootstrap", "Kafka")):
        if system.addresses.get(name):
            out.print(f"{label:>8}  {system.addresses[name]}")
    from handoff.commands.up import Stop

    stop = Stop()
    system.keep(lambda: stop.requested)
    if system.supervisor is not None and system.supervisor.failed:
        err.print(system.supervisor.failed)
        raise typer.Exit(2)
