"""The system that a command addresses: the one in the environment, else the one that `handoff up` runs here."""

from __future__ import annotations

import os
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import typer

from handoff.exits import faults_exit_2
from handoff.settings import Settings, load_settings
from handoff.supervisor import is_alive, read_state
from streams.kafka.settings import KafkaSettings

_NOTES: Final = "handoff-running"


def data_folder(given: Path | None = None) -> Path:
    """The data folder of a system on this machine: `given`, else HANDOFF_DATA, else the user's state folder."""
    if given is not None:
        return given
    if named := os.environ.get("HANDOFF_DATA"):
        return Path(named)
    return _state_home() / "handoff"


def demo_folder() -> Path:
    """The data folder of `handoff demo --keep`: never that of a real system."""
    return _state_home() / "handoff-demo"


def _state_home() -> Path:
    state = os.environ.get("XDG_STATE_HOME")
    return Path(state) if state else Path.home() / ".local" / "state"


def state_path(data: Path) -> Path:
    """The state file of a running system."""
    return data / "up.json"


def announce(data: Path) -> None:
    """Note the data folder of a system that starts, so that commands find it while it runs without being given it."""
    notes = _state_home() / _NOTES
    notes.mkdir(parents=True, exist_ok=True, mode=0o700)
    data = data.resolve()
    (notes / blake2b(str(data).encode(), digest_size=8).hexdigest()).write_text(str(data), encoding="utf-8")


def found_folder(given: Path | None = None) -> Path:
    """The data folder of the system that a command means: `given`, else HANDOFF_DATA, else the one whose system runs.

    Exits with 2 when several run. The user's state folder when none does.
    """
    if given is not None or os.environ.get("HANDOFF_DATA"):
        return data_folder(given)
    running = [folder for folder in _announced() if _lives(folder)]
    if len(running) > 1:
        listed = "".join(f"\n  HANDOFF_DATA={folder}" for folder in running)
        typer.echo(f"Several systems run on this machine. Name one in the environment:{listed}", err=True)
        raise typer.Exit(2)
    return running[0] if running else data_folder()


def _announced() -> list[Path]:
    folders = {data_folder().resolve()}
    for note in (_state_home() / _NOTES).glob("*"):
        with suppress(OSError, UnicodeDecodeError):
            folders.add(Path(note.read_text(encoding="utf-8")))
    return sorted(folders)


def _lives(data: Path) -> bool:
    state = read_state(state_path(data))
    return state is not None and is_alive(state)


def running(data: Path | None = None) -> dict[str, Any] | None:
    """The state that `handoff up` wrote, or None when nothing runs there."""
    return read_state(state_path(found_folder(data)))


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


def require(settings: Settings, *, redis: bool = False) -> None:
    """Exit with 2 and a line for each address that a process of a running system needs and the settings do not name."""
    addresses = {"HANDOFF_KAFKA__BOOTSTRAP": settings.kafka.bootstrap}
    if redis:
        addresses["HANDOFF_REDIS__URL"] = settings.redis.url.get_secret_value()
    missing = [name for name, value in addresses.items() if not value]
    for name in missing:
        typer.echo(f"{name}: not set", err=True)
    if missing:
        raise typer.Exit(2)


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
