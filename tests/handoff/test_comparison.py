"""Two runs side by side: what differs is told, what only tells how a run came about is not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agents.topics import CANDIDATES
from handoff.cli import app
from handoff.comparison import compare
from simulator.county import simulate, write
from simulator.places import SENDERS
from tests.support.events import at

RULES = Path(__file__).parents[2] / "rules"


def candidate(name: str, status: str = "raised", **more: Any) -> dict[str, Any]:
    return {
        "candidate_id": name,
        "member_id": "91234567A",
        "status": status,
        "population": "2a",
        "rule": {"id": "P2A", "version": "2026-01", "ruleset": "sha256:1"},
        "evidence": [{"visit": "V1", "messages": [{"at": "adt.raw.v1/0/1"}]}],
        "revision": 1,
        **more,
    }


def test_gained_lost_changed_and_the_same() -> None:
    first = {"a": candidate("a"), "b": candidate("b"), "c": candidate("c", plan="x"), "d": candidate("d", "lapsed")}
    second = {"a": candidate("a"), "c": candidate("c", plan="y"), "d": candidate("d"), "e": candidate("e")}
    second["b"] = candidate("b", "withdrawn", reason="superseded")
    found = compare(first, second)
    assert [(each.candidate_id, each.other) for each in found.gained] == [("d", "lapsed"), ("e", "")]
    assert [(each.candidate_id, each.other) for each in found.lost] == [("b", "withdrawn superseded")]
    assert [(each.candidate_id, each.fields) for each in found.changed] == [("c", {"plan": ("x", "y")})]
    assert (found.same, found.equal) == (1, False)
    assert found.by_rule() == [("2a", "P2A 2026-01", 2, 1, 1)]


def test_how_a_run_came_about_is_compared_only_when_asked() -> None:
    rule = {"id": "P2A", "version": "2026-01", "ruleset": "sha256:2"}
    moved = [{"visit": "V1", "messages": [{"at": "adt.raw.v2/3/9"}]}]
    first = {"a": candidate("a")}
    second = {"a": candidate("a", "amended", revision=4, rule=rule, evidence=moved)}
    assert compare(first, second).equal
    assert set(compare(first, second, history=True).changed[0].fields) == {"evidence", "revision", "rule", "status"}


@pytest.fixture(scope="module")
def county(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("county")
    write(simulate(40, 200, 17, at("2026-09-30 12:00")), folder)
    return folder


def loosened(folder: Path) -> Path:
    """The rules with one threshold lowered."""
    shutil.copytree(RULES, folder)
    file = folder / "criteria.yaml"
    text = file.read_text()
    assert "of: ed, at_least: 5, near: 4" in text
    file.write_text(text.replace("of: ed, at_least: 5, near: 4", "of: ed, at_least: 4, near: 3"))
    return folder


def told(*words: str) -> tuple[int, Any]:
    done = CliRunner().invoke(app, [*words, "--json"])
    return done.exit_code, json.loads(done.stdout) if done.stdout else done.stderr


def test_what_if_and_two_replays_compared_say_the_same(county: Path, tmp_path: Path) -> None:
    other = loosened(tmp_path / "rules")
    inputs = (str(county / "messages.jsonl"), "--roster", str(county / "roster.jsonl"), "--senders", str(SENDERS))
    code, asked = told("what-if", *inputs, "--rules", str(RULES), "--rules", str(other))
    assert code == 1
    assert asked["gained"]
    for name, rules in (("a", RULES), ("b", other)):
        assert told("replay", *inputs, "--rules", str(rules), "--out", str(tmp_path / name))[0] == 0
    assert told("compare", str(tmp_path / "a"), str(tmp_path / "b")) == (1, asked)
    code, same = told("compare", str(tmp_path / "a"), str(tmp_path / "a" / f"{CANDIDATES}.jsonl"))
    assert (code, same["equal"]) == (0, True)
    assert same["same"] > 0


def test_a_side_that_is_none_is_named(tmp_path: Path) -> None:
    for side in (str(tmp_path), str(tmp_path / "none.jsonl")):
        done = CliRunner().invoke(app, ["compare", side, side])
        assert done.exit_code == 2
        assert str(tmp_path) in done.stderr
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"key": "c_1"}\n')
    done = CliRunner().invoke(app, ["compare", str(bad), str(bad)])
    assert (done.exit_code, "bad.jsonl:1:" in done.stderr) == (2, True)
