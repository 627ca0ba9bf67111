"""Stories and whole counties through the product's decisions, against truth that was computed apart from them."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from domain.times import rfc3339
from handoff.showcase.verdict import judge
from simulator.county import County, simulate
from simulator.stories import Story, load_story
from tests.support.events import at
from tests.support.rehearsal import Rehearsal

SCENARIOS = sorted((Path(__file__).parents[1] / "scenarios").glob("*.yaml"))
LIVE = ("raised", "amended")
END = at("2026-09-30 12:00")


def told(story: Story) -> Rehearsal:
    rehearsal = Rehearsal()
    for line in story.timeline():
        if line.kind == "roster":
            rehearsal.roster(line.document, line.received)
        elif line.kind == "custody":
            rehearsal.custody(line.document, line.received)
        else:
            rehearsal.message(line.document)
    rehearsal.run.finish(story.end)
    return rehearsal


@pytest.fixture(params=SCENARIOS, ids=lambda path: path.stem)
def story(request: pytest.FixtureRequest) -> Story:
    return load_story(request.param)


def test_a_story_comes_out_as_it_should(story: Story) -> None:
    rehearsal = told(story)
    assert rehearsal.run.faults == {}
    candidates = rehearsal.last("ecm.candidates.v1").values()
    live = {(d["member_id"], d["population"]): d for d in candidates if d["status"] in LIVE}
    assert set(live) == {(story.member(line.who), line.population) for line in story.expect.live}
    for line in story.expect.live:
        assert live[story.member(line.who), line.population]["opened_by"] in story.openers(line.opened_by)
    ended = sorted((d["member_id"], d["population"], d["status"]) for d in candidates if d["status"] not in LIVE)
    expected = sorted((story.member(e.who), e.population, e.status) for e in story.expect.ended)
    assert [e for e in ended if e in expected or e[2] != "withdrawn"] == expected
    watches = rehearsal.last("ecm.watchlist.v1").values()
    watched = {(d["member_id"], d["population"]) for d in watches if d["status"] in LIVE}
    assert watched == {(story.member(line.who), line.population) for line in story.expect.watch}
    said = {(d["member_id"], d["kind"], d["status"]) for d in rehearsal.last("member.transitions.v1").values()}
    for line in story.expect.transitions:
        assert (story.member(line.who), line.kind, "retracted" if line.retracted else "asserted") in said
    for line in story.expect.counts:
        assert counted(rehearsal, story.member(line.who), f"{line.months}mo") == (line.ed, line.inpatient, line.snf)
    alerts = {(d["member_id"], d["transition"]["kind"]) for d in rehearsal.records("ecm.alerts.v1")}
    assert {(story.member(line.who), line.kind) for line in story.expect.alerts} <= alerts


def counted(rehearsal: Rehearsal, member: str, window: str) -> tuple[int, int, int]:
    """(ED, inpatient, SNF) of a member's window; a member with nothing to count has no document."""
    document = rehearsal.last("member.utilization.v1").get(member)
    if document is None:
        return 0, 0, 0
    counts = document["windows"][window]
    return counts["ed"], counts["inpatient"], counts["snf"]


def heard(county: County, order: list[int] | None = None) -> Rehearsal:
    """The county, its messages in another order if one is given (each then received when its place comes)."""
    rehearsal = Rehearsal()
    start = county.messages[0].received
    for document in county.roster:
        rehearsal.roster(document, start)
    stamps = [message.received for message in county.messages]
    for place, number in enumerate(order if order is not None else range(len(county.messages))):
        message = county.messages[number]
        rehearsal.message({"hl7": message.hl7, "sender": message.sender, "received": rfc3339(stamps[place])})
    for document in county.custody:
        rehearsal.custody(document, county.world.end)
    rehearsal.run.finish(county.world.end)
    return rehearsal


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_county_agrees_with_its_truth(seed: int) -> None:
    county = simulate(150, 260, seed, END)
    rehearsal = heard(county)
    verdict = judge(rehearsal.last("ecm.candidates.v1").values(), county.truth)
    assert verdict.exact, f"{verdict}: {verdict.missing[:3]} {verdict.extra[:3]} {verdict.otherwise_opened[:3]}"
    assert verdict.expected > 20
    for member in county.truth["members"]:
        for window, counts in member["counts"].items():
            expected = (counts["ed"], counts["inpatient"], counts["snf"])
            assert counted(rehearsal, member["member"], window) == expected, (member["member"], window)
    watched = {(d["member_id"], d["population"]) for d in rehearsal.standing()["ecm.watchlist.v1"].values()}
    assert watched == {(near["member"], near["population"]) for near in county.truth["near_threshold"]}


def test_law_1_any_order_of_the_messages_ends_the_same() -> None:
    county = simulate(60, 200, 4, END)
    expected = heard(county).standing()
    order = list(range(len(county.messages)))
    for seed in (1, 2):
        random.Random(seed).shuffle(order)
        again = heard(county, order).standing()
        for topic, documents in expected.items():
            assert again[topic] == documents, topic


def test_law_5_two_replays_are_equal_to_the_byte() -> None:
    county = simulate(40, 150, 5, END)
    assert heard(county).emits == heard(county).emits


def test_law_4_chunks_of_one_end_as_chunks_of_thousands(monkeypatch: pytest.MonkeyPatch) -> None:
    county = simulate(30, 150, 6, END)
    expected = heard(county).standing()
    monkeypatch.setattr("handoff.replay.CHUNK", 1)
    assert heard(county).standing() == expected
