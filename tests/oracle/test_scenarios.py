"""Each story, told to the real decisions, ends as it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.replaying import LIVE, Played, play_scenario
from tests.support.scenarios import Scenario, load_scenario

SCENARIOS = sorted((Path(__file__).parents[1] / "scenarios").glob("*.yaml"))
POPULATIONS = ("2a", "2c", "4a", "4y")


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_a_story_ends_as_it_says(path: Path) -> None:
    story = load_scenario(path)
    played = play_scenario(story)
    check_candidates(story, played)
    assert played.live_watches() == {(story.member(line.who), line.population) for line in story.expect.watch}
    for line in story.expect.counts:
        expected = {"ed": line.ed, "inpatient": line.inpatient, "snf": line.snf}
        assert played.counts(story.member(line.who), line.months) == expected
    said = {(each["member_id"], each["kind"], each["status"]) for each in played.transitions.values()}
    for moved in story.expect.transitions:
        assert (story.member(moved.who), moved.kind, "retracted" if moved.retracted else "asserted") in said
    alerted = {(each["member_id"], each["transition"]["kind"]) for each in played.alerts}
    assert {(story.member(line.who), line.kind) for line in story.expect.alerts} <= alerted
    assert bool(alerted) == bool(story.expect.alerts)


def check_candidates(story: Scenario, played: Played) -> None:
    ours = [each for each in played.candidates.values() if each["population"] in POPULATIONS]
    live = {(each["member_id"], each["population"]): each for each in ours if each["status"] in LIVE}
    expected = {(story.member(line.who), line.population): line for line in story.expect.live}
    assert set(live) == set(expected)
    for name, line in expected.items():
        assert live[name]["opened_by"] in story.openers(line.opened_by)
        assert live[name]["suspected"] == list(line.suspected)
    ended = {(each["member_id"], each["population"], each["status"]) for each in ours if each["status"] not in LIVE}
    assert ended == {(story.member(line.who), line.population, line.status) for line in story.expect.ended}
