"""The laws of order, over whole counties through the product's own decisions (docs/semantics.md#laws)."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from agents.runtime.contract import Emit
from handoff.replay import Replay
from parsers.records.documents import comparable
from simulator.county import County, simulate
from tests.support.events import at
from tests.support.replaying import Played, play_county

END = at("2026-09-30 12:00")


def standing(played: Played) -> dict[str, dict[str, Any]]:
    """What stands at the end, history aside."""
    tables = {
        "candidates": played.candidates,
        "watches": played.watches,
        "transitions": played.transitions,
        "utilization": played.utilization,
    }
    told = {name: {k: comparable(d) for k, d in table.items()} for name, table in tables.items()}
    return {
        name: {k: d for k, d in table.items() if d.get("status", "live") in ("live", "asserted")}
        for name, table in told.items()
    }


def shuffled(county: County, seed: int) -> County:
    """The county's messages in another order, each received when its place comes."""
    messages = list(county.messages)
    random.Random(seed).shuffle(messages)
    stamps = [message.received for message in county.messages]
    moved = [msgspec.structs.replace(m, received=at) for m, at in zip(messages, stamps, strict=True)]
    return msgspec.structs.replace(county, messages=moved)


def test_law_1_any_order_of_the_messages_ends_the_same() -> None:
    county = simulate(60, 200, 4, END)
    expected = standing(play_county(county))
    assert expected["candidates"]
    for seed in (1, 2):
        again = standing(play_county(shuffled(county, seed)))
        for name, documents in expected.items():
            assert again[name] == documents, name


def test_law_5_two_replays_are_equal_to_the_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    county = simulate(40, 150, 5, END)
    runs: list[list[tuple[str, Emit]]] = []
    take = Replay.__init__

    def listening(self: Replay, profiles: Any, rules: Any, sink: Any, **more: Any) -> None:
        heard: list[tuple[str, Emit]] = []
        runs.append(heard)
        take(self, profiles, rules, lambda topic, emit: (heard.append((topic, emit)), sink(topic, emit))[0], **more)

    monkeypatch.setattr(Replay, "__init__", listening)
    play_county(county)
    play_county(county)
    assert len(runs[0]) > 100
    assert runs[0] == runs[1]


def test_law_4_chunks_of_one_end_as_chunks_of_thousands(monkeypatch: pytest.MonkeyPatch) -> None:
    county = simulate(30, 150, 6, END)
    expected = standing(play_county(county))
    monkeypatch.setattr("handoff.replay.CHUNK", 1)
    assert standing(play_county(county)) == expected
