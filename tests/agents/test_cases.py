"""Cases from the field give one answer in every order (law 1); `run.py` beside them compares with what is right."""

from __future__ import annotations

import pytest

from domain.times import instant
from tests.support.adt_scenarios import differences
from tests.support.cases import CASES, Case, cases

FOUND = list(cases())
NOW = instant("2026-07-01T12:00:00-07:00")


@pytest.mark.skipif(not FOUND, reason=f"no cases in {CASES}")
@pytest.mark.parametrize("case", FOUND, ids=lambda case: case.name)
def test_every_order_of_a_case_gives_the_same(case: Case) -> None:
    in_order = case.play(case.messages, NOW)
    del in_order["ended"]  # what was raised for a while depends on the order
    assert in_order["faults"] == {}
    for seed in range(6):
        assert differences(in_order, case.play(case.shuffled(seed), NOW)) == {}, f"order {seed}"
