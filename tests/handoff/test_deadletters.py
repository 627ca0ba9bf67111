"""`deadletters show`: our reason and hl7apy's, and no content unless it is asked for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from agents.runtime.contract import Record
from handoff.cli import app

RAW = (
    b"MSH|^~\\&|REG|GENHOSP|HUB|PLAN|20260301100000||ADT^A01^ADT_A01|1|P|2.5.1\rEVN||20260301100000\rPID|1||||Sample\r"
)
LETTER = Record(
    topic="adt.dead-letters.v1",
    partition=0,
    offset=7,
    key=None,
    value=RAW,
    timestamp=1_780_000_000_000,
    headers={"code": b"no-patient", "place": b"PID-3"},
)


@pytest.fixture(autouse=True)
def _one_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    """The topic's content; reading topics has tests of its own."""
    monkeypatch.setattr("handoff.commands.deadletters.snapshot", lambda *_: [LETTER])
    monkeypatch.setattr("handoff.target.kafka", lambda: None)


def show(*words: str) -> Any:
    return CliRunner().invoke(app, ["deadletters", "show", LETTER.coordinates, *words])


def test_show_prints_what_hl7apy_finds() -> None:
    told = show().output
    assert "no-patient" in told
    assert "hl7apy  PID-3 is required and missing" in told
    assert "PV1 of ADT_A01 is required and missing" in told
    assert "Sample" not in told
    assert "Sample" in show("--raw").output


def test_show_as_json_has_the_findings() -> None:
    entry = json.loads(show("--json").output)
    assert entry["code"] == "no-patient"
    assert "PID-3 is required and missing" in entry["conformance"]
