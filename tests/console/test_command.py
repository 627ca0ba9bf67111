"""What `handoff console` takes from the machine it runs on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from handoff.commands.console import config, processes
from handoff.embedded.tether import started_at
from handoff.settings import load_settings
from handoff.supervisor import write_state
from handoff.target import state_path

LISTED = [{"role": "listen", "stage": None, "slot": None, "ready": True, "restarts": 0}]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a system on this machine would say what it is."""
    monkeypatch.setenv("HANDOFF_DATA", str(tmp_path))
    return tmp_path


def says(folder: Path, bootstrap: str, started: float | None) -> None:
    """A system that this process would be."""
    state = {"bootstrap": bootstrap, "pid": os.getpid(), "started": started, "processes": LISTED}
    write_state(state_path(folder), state)


def test_the_processes_of_the_same_system_are_shown(folder: Path) -> None:
    says(folder, "127.0.0.1:9", started_at(os.getpid()))
    assert processes("127.0.0.1:9")() == LISTED


def test_another_systems_processes_are_not(folder: Path) -> None:
    says(folder, "127.0.0.1:9", started_at(os.getpid()))
    assert processes("kafka.example:9092")() == ()


def test_a_state_file_that_a_crash_left_says_nothing(folder: Path) -> None:
    says(folder, "127.0.0.1:9", 1.0)
    assert processes("127.0.0.1:9")() == ()
    state_path(folder).unlink()
    assert processes("127.0.0.1:9")() == ()


def test_the_console_is_what_the_settings_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANDOFF_CONSOLE__PORT", "7001")
    monkeypatch.setenv("HANDOFF_CONSOLE__TOKEN", "t0ken")
    monkeypatch.setenv("HANDOFF_HEALTH__PORT", "7002")
    found = config(load_settings())
    assert (found.host, found.port, found.token, found.health_port) == ("127.0.0.1", 7001, "t0ken", 7002)
    assert found.tls is None
