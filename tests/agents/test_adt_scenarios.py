"""What hospitals sent amounts to what it should, as it was sent and in other orders (docs/semantics.md#laws)."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.support.adt_scenarios import FOLDER, differences, load_adt_scenario

FILES = sorted(FOLDER.glob("*.yaml"))
ORDERS = range(4)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_messages_amount_to_what_they_should(path: Path) -> None:
    scenario = load_adt_scenario(path)
    assert differences({"faults": {}, **scenario.expect}, scenario.play(scenario.as_is())) == {}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_another_order_and_repeats_give_the_same(path: Path) -> None:
    scenario = load_adt_scenario(path)
    in_order = scenario.play(scenario.as_is())
    del in_order["ended"]  # what was raised for a while depends on the order
    for seed in ORDERS:
        assert differences(in_order, scenario.play(scenario.shuffled(seed))) == {}, f"order {seed}"


def test_each_kind_has_at_least_two_scenarios() -> None:
    kinds = Counter(load_adt_scenario(path).kind for path in FILES)
    assert {kind: count for kind, count in kinds.items() if count < 2} == {}
