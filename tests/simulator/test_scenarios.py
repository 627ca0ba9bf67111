"""Stories say what they say: the simulator's own truth agrees with what each of them expects."""

from __future__ import annotations

from pathlib import Path

import pytest

from domain.errors import BadDeclaration
from simulator.places import SENDERS
from tests.support.scenarios import Scenario, load_scenario

SCENARIOS = sorted((Path(__file__).parents[1] / "scenarios").glob("*.yaml"))


@pytest.fixture(params=SCENARIOS, ids=lambda path: path.stem)
def story(request: pytest.FixtureRequest) -> Scenario:
    return load_scenario(request.param)


def test_the_truth_is_what_the_story_expects(story: Scenario) -> None:
    truth = story.truth()
    found = {(each["member"], each["population"]): set(each["openers"]) for each in truth["candidates"]}
    expected = {(story.member(line.who), line.population): line.opened_by for line in story.expect.live}
    assert set(found) == set(expected)
    for name, opener in expected.items():
        assert found[name] & set(story.openers(opener))
    watched = {(each["member"], each["population"]) for each in truth["near_threshold"]}
    assert watched == {(story.member(line.who), line.population) for line in story.expect.watch}


def test_counts_are_what_the_story_expects(story: Scenario) -> None:
    members = {each["member"]: each for each in story.truth()["members"]}
    for line in story.expect.counts:
        counted = members[story.member(line.who)]["counts"][f"{line.months}mo"]
        assert counted == {"ed": line.ed, "inpatient": line.inpatient, "snf": line.snf}


def test_everything_is_heard_in_order_and_before_the_end(story: Scenario) -> None:
    lines = story.timeline()
    assert [line.received for line in lines] == sorted(line.received for line in lines)
    assert lines[0].kind == "roster"
    assert lines[-1].received <= story.end
    assert len(story.messages()) + len(story.roster()) + len(story.custody()) == len(lines)
    assert all((SENDERS / f"{message['sender']}.yaml").exists() for message in story.messages())


def test_each_population_has_a_story_that_meets_it_and_one_that_just_fails() -> None:
    stories = [load_scenario(path) for path in SCENARIOS]
    assert {line.population for each in stories for line in each.expect.live} == {"2a", "2c", "4a", "4y"}
    assert {line.population for each in stories for line in each.expect.watch} == {"2a", "2c"}
    assert {line.population for each in stories for line in each.expect.ended} >= {"2a", "4a"}
    assert len({each.title for each in stories}) == len(stories)


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ("steps: [{day: 2026-01-10, who: ana, ed: e1, stay: s1}]", "a step has one of"),
        ("steps: [{day: 2026-01-10, who: ana}]", "a step has one of"),
        ("steps: [{day: 2026-01-10, who: bob, ed: e1}]", "no person bob"),
        ("steps: [{day: 2026-01-10, cancel: e9}]", "no visit e9"),
        ("steps: [{day: 2026-01-10, who: ana, ed: e1, hospital: nowhere}]", "no sender nowhere"),
        ("steps: [{day: 2026-01-10, who: ana, ed: e1, colour: red}]", "colour"),
        ("steps: [{day: 2026-01-10, who: ana, ed: e1}, {day: 2026-01-11, who: ana, ed: e1}]", "exists already"),
        ("steps: [", "cannot be read"),
    ],
)
def test_a_wrong_scenario_file_is_refused_with_the_place(tmp_path: Path, broken: str, why: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(f"title: t\nend: 2026-06-30 12:00\npeople: {{ana: {{born: 1980-01-01}}}}\n{broken}\nexpect: {{}}\n")
    with pytest.raises(BadDeclaration, match=why):
        load_scenario(path)
