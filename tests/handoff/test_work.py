"""What the settings make of a worker: where its rows live, and what a restart may use."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from typer.testing import CliRunner

from domain.errors import BadDeclaration
from handoff.cli import app
from handoff.settings import load_settings
from handoff.stages import options


def test_the_settings_of_rows_and_checkpoints_reach_the_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told = options(load_settings())
    assert (told.checkpoint_folder, told.rows) == (None, "memory")
    monkeypatch.setenv("HANDOFF_WORK__CHECKPOINTS", str(tmp_path))
    monkeypatch.setenv("HANDOFF_WORK__CHECKPOINT_SECONDS", "7.5")
    monkeypatch.setenv("HANDOFF_WORK__ROWS", "disk")
    monkeypatch.setenv("HANDOFF_WORK__ROWS_CACHE_MIB", "3")
    told = options(load_settings())
    assert (told.checkpoint_folder, told.checkpoint_every) == (str(tmp_path), 7.5)
    assert (told.rows, told.rows_cache) == ("disk", 3 * 1024 * 1024)


def test_rows_on_disk_need_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANDOFF_WORK__ROWS", "disk")
    settings = load_settings()  # good enough for `handoff up`
    with pytest.raises(BadDeclaration) as caught:
        options(settings)
    assert [fault.partition(":")[0] for fault in caught.value.faults] == ["HANDOFF_WORK__CHECKPOINTS"]
    ended = CliRunner().invoke(app, ["work", "--stage", "refer"])
    assert ended.exit_code == 2
    assert "HANDOFF_WORK__CHECKPOINTS" in ended.output


def worker(slot: int, **more: str) -> subprocess.Popen[str]:
    """`handoff work` as docs/operations.md writes it, with a cluster that does not answer."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HANDOFF_")}
    command = [sys.executable, "-m", "handoff", "work", "--stage", "refer", "--slot", str(slot)]
    told = {**environment, "HANDOFF_KAFKA__BOOTSTRAP": "127.0.0.1:1", **more}
    return subprocess.Popen(command, env=told, stderr=subprocess.PIPE, text=True)


def said_health(process: subprocess.Popen[str]) -> str:
    """The address of its health server, from its log."""
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("{") and (told := json.loads(line))["event"] == "health":
            return str(told["address"])
    raise AssertionError("it did not say where")


def test_two_workers_run_on_one_host_and_say_where_they_are_asked() -> None:
    with worker(0) as one, worker(1) as other:
        try:
            addresses = {said_health(one), said_health(other)}
            assert len(addresses) == 2
            for address in addresses:
                with urllib.request.urlopen(address + "/livez", timeout=10) as answer:
                    assert answer.status == 200
        finally:
            one.kill()
            other.kill()


def test_a_health_port_that_is_taken_is_bad_input() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with worker(0, HANDOFF_HEALTH__PORT=str(port)) as process:
            try:
                said = process.communicate(timeout=60)[1]
            finally:
                process.kill()
    assert process.returncode == 2, said
    assert "health port" in said
    assert "Traceback" not in said
