"""The stream's answer for whole counties, with all their trouble, is the truth that the simulator knows."""

from __future__ import annotations

from datetime import datetime

import pytest

from handoff.demo.verdict import judge
from simulator.county import simulate
from simulator.world import ZONE
from tests.support.replaying import play_county


def at_noon(day: str) -> int:
    return int(datetime.fromisoformat(f"{day} 12:00").replace(tzinfo=ZONE).timestamp()) * 1000


def compare(members: int, days: int, seed: int, end: str) -> None:
    county = simulate(members, days, seed, at_noon(end))
    played = play_county(county)
    verdict = judge(played.candidates.values(), county.truth)
    assert verdict.exact, verdict
    assert verdict.expected > members // 10
    near = {(each["member"], each["population"]) for each in county.truth["near_threshold"]}
    assert played.live_watches() == near
    for member in county.truth["members"]:
        for months in (6, 12):
            assert played.counts(member["member"], months) == member["counts"][f"{months}mo"], member["member"]


@pytest.mark.parametrize(
    ("seed", "end"),
    [
        (41, "2026-06-30"),
        (42, "2026-08-31"),  # six months before is a day that February lacks
        (43, "2024-02-29"),
        (44, "2025-11-03"),  # the day after the clocks went back
        (45, "2023-08-15"),  # population 2 for children is new, population 4 not yet served everywhere
    ],
)
def test_candidates_watches_and_counts_are_the_truth(seed: int, end: str) -> None:
    compare(members=120, days=420, seed=seed, end=end)


@pytest.mark.large
@pytest.mark.parametrize("seed", range(100, 106))
def test_in_large(seed: int) -> None:
    compare(members=600, days=730, seed=seed, end="2026-06-30")
