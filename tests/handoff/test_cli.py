"""The command line as a person meets it: help that teaches, plain words when something is wrong, right exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from handoff.cli import COMMANDS, app
from simulator.county import simulate, write
from simulator.places import SENDERS
from tests.support.events import at


def handoff(*words: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HANDOFF_")}
    return subprocess.run(
        [sys.executable, "-m", "handoff", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={
            **kept,
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "HANDOFF_DATA": "/nonexistent/handoff",
            **environment,
        },
        cwd=cwd,
    )


def test_help_lists_every_command_with_what_it_does() -> None:
    done = handoff("--help")
    assert done.returncode == 0
    for name, (_, _, _, line) in COMMANDS.items():
        assert name in done.stdout
        assert line.split(",")[0][:20] in done.stdout


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "console"])
def test_each_command_explains_itself(name: str) -> None:
    done = CliRunner().invoke(app, [name, "--help"])
    assert done.exit_code == 0, done.output
    assert "Usage" in done.output


@pytest.mark.parametrize("command", [("candidates",), ("lag",), ("member", "91234567A"), ("deadletters", "list")])
def test_without_a_kafka_it_says_what_to_do(command: tuple[str, ...]) -> None:
    done = handoff(*command)
    assert done.returncode == 2
    assert "handoff up --detach" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "command",
    [("candidates",), ("replay", "topics", "--out", "out"), ("shadow", "create", "next"), ("topics", "plan")],
    ids=lambda words: words[0],
)
def test_an_unreachable_kafka_is_one_line_with_a_remedy(command: tuple[str, ...], tmp_path: Path) -> None:
    done = handoff(*command, cwd=tmp_path, HANDOFF_KAFKA__BOOTSTRAP="127.0.0.1:1")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "Kafka does not answer at 127.0.0.1:1 (_TRANSPORT)" in line
    assert "handoff doctor" in line


@pytest.mark.parametrize(
    ("stage", "missing"), [("refer", ["KAFKA__BOOTSTRAP"]), ("reconcile", ["KAFKA__BOOTSTRAP", "REDIS__URL"])]
)
def test_a_worker_without_addresses_ends_at_once_and_names_them(stage: str, missing: list[str]) -> None:
    done = handoff("work", "--stage", stage)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [f"HANDOFF_{name}: not set" for name in missing]


def test_a_misspelt_setting_is_a_fault_and_all_faults_are_listed() -> None:
    done = handoff("doctor", HANDOFF_KAFKA__BOOTSTRAPP="x", HANDOFF_MLLP__PORT="seven")
    assert done.returncode == 2
    assert "HANDOFF_KAFKA__BOOTSTRAPP" in done.stdout + done.stderr
    assert "HANDOFF_MLLP__PORT" in done.stdout + done.stderr


def test_status_and_down_where_nothing_runs() -> None:
    assert handoff("status").returncode == 1
    assert handoff("down").returncode == 0


def test_replay_writes_every_topic_and_says_what_it_did(tmp_path: Path) -> None:
    write(simulate(20, 120, 9, at("2026-09-30 12:00")), tmp_path / "county")
    county = tmp_path / "county"
    words = ("replay", str(county / "messages.jsonl"), "--roster", str(county / "roster.jsonl"))
    words += ("--custody", str(county / "custody.jsonl")) if (county / "custody.jsonl").stat().st_size else ()
    done = handoff(*words, "--senders", str(SENDERS), "--out", str(tmp_path / "out"), "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["faults"] == {}
    for topic, count in told["outputs"].items():
        lines = (tmp_path / "out" / f"{topic}.jsonl").read_text().splitlines()
        assert len(lines) == count
        assert all(isinstance(json.loads(line), dict) for line in lines)


def test_replay_without_a_roster_makes_members_of_patients_only_when_asked(tmp_path: Path) -> None:
    message = tmp_path / "one.hl7"
    message.write_bytes(
        b"MSH|^~\\&|REG|GENHOSP|HUB|PLAN|20260301100000||ADT^A04|1|P|2.5.1\rEVN|A04|20260301100000\r"
        b"PID|1||100^^^GENHOSP^MR||Sample^Person||19800101|F\rPV1|1|E|||||||||||||||||V1\r"
    )
    plain = json.loads(handoff("replay", str(message), "--out", str(tmp_path / "a"), "--json").stdout)
    assert "member.visits.v1" not in plain["outputs"]
    asked = json.loads(handoff("replay", str(message), "--out", str(tmp_path / "b"), "--provisional", "--json").stdout)
    assert asked["outputs"]["member.visits.v1"] == 1
    assert json.loads((tmp_path / "b" / "visits.jsonl").read_text())["member_id"] == "~GENHOSP|100"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{\n", ":1: not a JSON object"),
        ('{"x": 1}\n', ":1: no `hl7`"),
        ('{"hl7": "MSH|", "received": "soon"}\n', ":1:"),
    ],
)
def test_replay_names_the_file_and_line_that_is_wrong(tmp_path: Path, content: str, why: str) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text(content)
    done = handoff("replay", str(bad), "--out", str(tmp_path / "out"))
    assert done.returncode == 2
    assert why in done.stderr


def test_replay_lists_every_faulty_roster_row_and_loads_none(tmp_path: Path) -> None:
    roster = tmp_path / "roster.csv"
    roster.write_text("member_id,birth_date\n91234567A,1980-01-01\n91234567B,1980-01-01\n97654321C,\n")
    (tmp_path / "none.jsonl").write_text("")
    done = handoff("replay", str(tmp_path / "none.jsonl"), "--roster", str(roster), "--out", str(tmp_path / "out"))
    assert done.returncode == 2
    assert ":3:" in done.stderr
    assert ":4:" in done.stderr
