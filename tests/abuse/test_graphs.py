"""Large graphs of merges come to rest: the records that follow are bounded by the merges, whatever their order."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from domain.times import MINUTE
from handoff.replay import Replay
from tests.support.abused import adt, cin
from tests.support.member import at
from tests.support.replaying import PROFILES, RULES

NOW = at("2026-06-01")
Edge = tuple[int, int]
"""(retired, survivor)."""

RING = [(n, (n + 1) % 40) for n in range(40)]
STAR = [(n, 0) for n in range(1, 10_001)]
CHAIN = [(n, n + 1) for n in range(1_000)]


def played(edges: list[Edge], owners: list[int]) -> tuple[Counter[str], dict[str, int]]:
    """(records written by topic, faults): a visit of each owner with a CIN of its own, and then the merges."""
    written: Counter[str] = Counter()
    replay = Replay(PROFILES, RULES, lambda topic, _: written.update((topic,)))
    for n in owners:
        message = adt("A04", NOW - MINUTE, f"n{n}", visit=f"V{n}", cin=cin(n + 1))
        replay.put("adt.raw.v1", f"TESTHOSP|n{n}", message, NOW)
    for number, (retired, survivor) in enumerate(edges):
        message = adt("A40", NOW - number, f"n{survivor}", mrg=f"n{retired}")
        replay.put("adt.raw.v1", f"TESTHOSP|n{survivor}", message, NOW)
    replay.finish(NOW)
    return written, replay.faults


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize(
    ("name", "edges", "owners"),
    [("ring", RING, list(range(40))), ("star", STAR, [0, 1, 2]), ("chain", CHAIN, [0, 500, 1_000])],
    ids=["ring", "star", "chain"],
)
def test_a_graph_comes_to_rest(name: str, edges: list[Edge], owners: list[int], shuffled: bool) -> None:
    if shuffled:
        edges = random.Random(7).sample(edges, len(edges))
    written, faults = played(edges, owners)
    each = written.total() / (len(edges) + len(owners))
    print(f"{name} of {len(edges)}, shuffled {shuffled}: {dict(written)}, {each:.1f} records a message")  # noqa: T201
    assert faults == {}
    assert each < 10
