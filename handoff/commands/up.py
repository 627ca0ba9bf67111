"""`up`, `down`, `status`: a system that keeps running on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from handoff import target
from handoff.embedded.jars import JarsUnavailable
from handoff.embedded.kept import server_replies
from handoff.embedded.process import NotStarted, Refused
from handoff.exits import faults_exit_2
from handoff.findings import Findings, findings
from handoff.output import as_json, err, out, table
from handoff.supervisor import is_alive, is_ready, read_state
from handoff.system import System

Data = Annotated[Path | None, typer.Option(help="Data folder (default: in the user's state folder).")]


def up(
    detach: Annotated[bool, typer.Option("--detach", help="Return once everything is ready.")] = False,
    workers: Annotated[int, typer.Option(min=1, max=16, help="Workers per stage.")] = 1,
    data: Data = None,
    new_ports: Annotated[
        bool, typer.Option("--new-ports", help="Take other ports than the last time (senders must be told).")
    ] = False,
) -> None:
    """Start Kafka, Redis, listener, directory and workers on this machine, and keep them running.

    The ports are kept in the data folder and stay the same. Exit 2 when another process has one of them, or when a
    handoff already runs on the folder.
    """
    folder = target.data_folder(data)
    if detach:
        _detached(folder, workers, new_ports)
        return
    settings = target.settings()
    stop = Stop()
    try:
        with (
            faults_exit_2(),
            System(folder, settings, workers=workers, on_step=_step, new_ports=new_ports) as system,
        ):
            target.announce(folder)
            _print_addresses(read_state(target.state_path(folder)) or {})
            system.keep(lambda: stop.requested)
            if system.supervisor is not None and system.supervisor.failed:
                err.print(system.supervisor.failed)
                raise typer.Exit(2)
            err.print("stopping")
    except (NotStarted, JarsUnavailable) as reason:
        err.print(str(reason), markup=False)
        raise typer.Exit(2 if isinstance(reason, Refused) else 1) from reason


def _step(what: str) -> None:
    err.print(f"starting {what}", markup=False)


class Stop:
    """Set by SIGTERM and SIGINT."""

    def __init__(self) -> None:
        self.requested = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._request)

    def _request(self, *_: Any) -> None:
        self.requested = True


def _detached(folder: Path, workers: int, new_ports: bool) -> None:
    """Run `handoff up` in a session of its own; return when it is ready."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "up.log"
    again = ["--new-ports"] if new_ports else []
    with log.open("ab") as sink:
        start = sink.tell()
        child = subprocess.Popen(
            [sys.executable, "-m", "handoff", "up", "--workers", str(workers), "--data", str(folder), *again],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        state = read_state(target.state_path(folder))
        if state is not None and state.get("pid") == child.pid and all(p["ready"] for p in state["processes"]):
            _print_addresses(state)
            return
        if child.poll() is not None:
            with log.open("rb") as source:
                source.seek(start)
                err.print(source.read().decode("utf-8", "replace").strip(), markup=False)
            raise typer.Exit(child.returncode or 1)
        time.sleep(0.2)
    child.terminate()
    err.print(f"Not ready in 180 s; see {log}.")
    raise typer.Exit(1)


def down(data: Data = None) -> None:
    """Stop what `handoff up` or `handoff demo --keep` left running on this machine. Data stays."""
    state = target.running(data)
    if state is None or not is_alive(state):
        out.print("Nothing runs on this machine.")
        return
    os.kill(state["pid"], signal.SIGTERM)
    deadline = time.monotonic() + 90
    while is_alive(state):
        if time.monotonic() > deadline:
            err.print(f"Process {state['pid']} did not end in 90 s.")
            raise typer.Exit(1)
        time.sleep(0.1)
    out.print("Stopped. The data stays; start again with `handoff up`.")


def status(
    data: Data = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what runs on this machine, where, whether it is ready, and what the console finds wrong.

    Exit 1 when something is not ready.
    """
    state = target.running(data)
    if state is None or not is_alive(state):
        if json_:
            as_json({"processes": []})
        else:
            out.print("Nothing runs on this machine. `handoff up --detach` starts one.")
        raise typer.Exit(1)
    for process in state["processes"]:
        process["ready"] = (
            is_ready(process["health"]) if "health" in process else server_replies(process["role"], process["port"])
        )
    shown = {name: state[name] for name in ("bootstrap", "mllp", "http", "console", "processes")}
    found = findings(target.here()) if state.get("console") else None
    shown["findings"] = None if found is None else found.says
    if json_:
        as_json(shown)
    else:
        _print_addresses(state)
        table(
            "Processes",
            ("role", "stage", "slot", "process", "ready", "restarts"),
            (
                (p["role"], p["stage"], p["slot"], p["pid"], "yes" if p["ready"] else "no", p["restarts"])
                for p in state["processes"]
            ),
        )
        _print_findings(found)
    if not all(process["ready"] for process in state["processes"]):
        raise typer.Exit(1)


def _print_findings(found: Findings | None) -> None:
    if found is None:
        out.print("No console answers: what is wrong with the feeds is not known.")
        return
    table("Findings", ("finding",), ((each,) for each in found.says), "none, everything is well")


def _print_addresses(state: dict[str, Any]) -> None:
    for name, label in (("mllp", "MLLP"), ("http", "HTTP"), ("console", "console"), ("bootstrap", "Kafka")):
        if state.get(name):
            out.print(f"{label:>8}  {state[name]}")
