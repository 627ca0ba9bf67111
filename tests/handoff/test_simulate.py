"""`handoff simulate` writes a county's files and says what is in them."""

from __future__ import annotations

import json
from pathlib import Path

import typer
from typer.testing import CliRunner

from handoff.commands.simulate import simulate

APP = typer.Typer()
APP.command()(simulate)


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(APP, arguments)
    return result.exit_code, result.output


def test_files_and_summary(tmp_path: Path) -> None:
    out = tmp_path / "county"
    end = ("--end", "2026-06-30T12:00:00-07:00")
    code, text = run("--members", "20", "--days", "60", "--seed", "2", "--out", str(out), *end, "--json")
    assert code == 0
    summary = json.loads(text)
    assert summary["members"] == 20
    assert summary["messages"] == len((out / "messages.jsonl").read_bytes().splitlines())
    truth = json.loads((out / "truth.json").read_bytes())
    assert truth["end"] == end[1]
    assert sum(summary["candidates"].values()) == len(truth["candidates"])


def test_a_time_without_an_offset_is_refused(tmp_path: Path) -> None:
    code, text = run("--out", str(tmp_path), "--end", "2026-06-30 12:00")
    assert code == 2
    assert "offset" in text
    assert not list(tmp_path.iterdir())


def test_now_is_the_end_unless_given(tmp_path: Path) -> None:
    code, text = run("--members", "5", "--days", "20", "--out", str(tmp_path))
    assert code == 0
    assert "5 members" in text
