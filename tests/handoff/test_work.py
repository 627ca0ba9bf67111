"""What the settings make of a worker: where its rows live, and what a restart may use."""

from __future__ import annotations

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
