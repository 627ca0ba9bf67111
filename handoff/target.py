"""The system that a command addresses: the one in the environment, else the one that `handoff up` runs here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import typer

from handoff.exits import faults_exit_2
from handoff.settings import Settings, load_settings
from handoff.supervisor import read_state
from streams.kafka.settings import KafkaSettings


def data_folder(given: Path | None = None) -> Path:
    """The data folder of a system on this machine: `given`, else HANDOFF_DATA, else the user's state folder."""
    if given is not None:
        return given
    if named := os.environ.get("HANDOFF_DATA"):
        return Path(named)
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "handoff"


def state_path(data: Path) -> Path:
    """The state file of a running system."""
    return data / "up.json"


def running(data: Path | None = None) -> dict[str, Any] | None:
    """The state that `handoff up` wrote, or None when nothing runs there."""
    return read_state(state_path(data_folder(data)))


def adopt() -> None:
    """Address the system that runs on this machine, unless the environment names another.

    Sets HANDOFF_KAFKA__BOOTSTRAP and its like, so that every part that reads the settings agrees.
    """
    if os.environ.get("HANDOFF_KAFKA__BOOTSTRAP"):
        return
    state = running()
    if state is not None:
        for name, value in state.get("environment", {}).items():
            os.environ.setdefault(name, value)


def here() -> Settings:
    """The settings, with the running system's addresses. Exits with 2 and every fault when they are wrong."""
    adopt()
    return settings()


def settings() -> Settings:
    """The settings as the environment gives them. Exits with 2 and every fault when they are wrong."""
    with faults_exit_2():
        return load_settings()


def kafka() -> KafkaSettings:
    """The connection to Kafka. Exits with 2 and a remedy when there is none."""
    found = here()
    if not found.kafka.bootstrap:
        typer.echo(
            "No Kafka is named and no handoff runs on this machine: start one with `handoff up --detach`, "
            "or set HANDOFF_KAFKA__BOOTSTRAP.",
            err=True,
        )
        raise typer.Exit(2)
    return found.kafka
