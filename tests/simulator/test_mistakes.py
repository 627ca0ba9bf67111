"""Mistakes of identity leave the truth as it was, or make it what the rules say."""

from __future__ import annotations

from datetime import date, datetime

import msgspec
import pytest

from simulator.county import simulate, world_of
from simulator.mistakes import RATES
from simulator.records import _digits, _swaps
from simulator.truth import judge
from simulator.world import ZONE, Death, World

END = int(datetime(2026, 6, 30, 12, tzinfo=ZONE).timestamp()) * 1000
NONE = dict.fromkeys(RATES, 0.0)


@pytest.fixture(scope="module")
def calm() -> World:
    return world_of(80, 400, 21, END, NONE)


def test_without_rates_nothing_is_mistaken(calm: World) -> None:
    assert not calm.deaths
    assert all(each.trigger in ("A24", "A40") for each in calm.mergers)
    assert not any(visit.nobodys or visit.registered is not None for visit in calm.visits)


@pytest.mark.parametrize("name", ["moved", "moved back", "account moved", "merged by mistake", "death taken back"])
def test_what_is_put_right_leaves_the_truth_as_it_was(calm: World, name: str) -> None:
    troubled = world_of(80, 400, 21, END, NONE | {name: 1.0})
    assert len(troubled.mergers) + len(troubled.deaths) > len(calm.mergers) + 10
    assert judge(troubled) == judge(calm)


def test_the_dead_are_no_candidates(calm: World) -> None:
    troubled = world_of(80, 400, 21, END, NONE | {"died": 1.0})
    dead = {troubled.people[each.person].member for each in troubled.deaths}
    raised = {each["member"] for each in judge(calm)["candidates"]}
    assert dead & raised
    assert {each["member"] for each in judge(troubled)["candidates"]} == raised - dead


def test_the_last_word_about_a_death_holds(calm: World) -> None:
    told = (Death(0, "county-general", 2, "N"), Death(0, "county-general", 1, "Y"))
    assert not msgspec.structs.replace(calm, deaths=told).died(0)
    assert msgspec.structs.replace(calm, deaths=told[1:]).died(0)


@pytest.mark.parametrize("name", ["number of another", "newborn"])
def test_what_is_refused_counts_for_nobody(calm: World, name: str) -> None:
    troubled = world_of(80, 400, 21, END, NONE | {name: 1.0})
    refused = {visit.visit for visit in troubled.visits if visit.nobodys}
    told = {key.split("|")[1] for each in judge(troubled)["members"] for v in each["visits"] for key in v["keys"]}
    assert refused
    assert not refused & told


def test_a_mistyped_birth_date_is_one_slip_away() -> None:
    birth = date(1984, 7, 12).toordinal()
    swapped = [date.fromordinal(each).isoformat() for each in _swaps(birth)]
    assert swapped == ["1984-07-21"]
    for each in _digits(birth):
        assert sum(a != b for a, b in zip("1984-07-12", date.fromordinal(each).isoformat(), strict=True)) == 1


def test_a_county_has_mistakes_of_every_kind() -> None:
    made = simulate(120, 420, 51, END).world
    triggers = {each.trigger for each in made.mergers}
    assert triggers == {"A24", "A37", "A40", "A44", "A45"}
    assert {each.flag for each in made.deaths} == {"Y", "N", '""'}
    assert {"K", "V"} <= {visit.visit[0] for visit in made.visits}
