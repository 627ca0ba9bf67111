"""What `check` finds in a rule set, and what a rulebook answers from one."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from domain.rules.rulebook import FOREVER, Rulebook
from domain.rules.ruleset import (
    Code,
    CountingSettings,
    Criterion,
    Exclusion,
    GoLive,
    Route,
    RuleSet,
    Support,
    Threshold,
    ValueSet,
    check,
)
from domain.times import day_of, day_start


def a_criterion(**fields: Any) -> Criterion:
    return Criterion(
        **{
            "id": "P",
            "population": "9z",
            "name": "Someone",
            "kind": "count",
            "age": "adult",
            "months": 6,
            "version": "1",
            "major": 1,
            "valid_from": day_of("2022-01-01"),
            "valid_to": None,
            "source": "a page",
            "thresholds": (Threshold("ed", 5, 4),),
            **fields,
        }
    )


def a_rule_set(**fields: Any) -> RuleSet:
    base: dict[str, Any] = {
        "version": "t",
        "hash": "sha256:" + "0f" * 32,
        "settings": CountingSettings(delivery_set="A", newborn_set="A"),
        "value_sets": (ValueSet("A", (Code("I1", "ICD-10-CM", "x"),)),),
        "criteria": (a_criterion(),),
        "go_live": (GoLive("*", "9z", day_of("2022-01-01"), "a page"),),
        "exclusions": (),
    }
    return RuleSet(**{**base, **fields})


def test_a_sound_rule_set_has_no_faults() -> None:
    assert check(a_rule_set()) == []


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"criteria": (a_criterion(months=0),)}, "months must be"),
        ({"criteria": (a_criterion(valid_to=day_of("2021-01-01")),)}, "valid_to is before"),
        ({"criteria": (a_criterion(thresholds=()),)}, "counts nothing"),
        ({"criteria": (a_criterion(thresholds=(Threshold("ed", 5, 5),)),)}, "near must be below"),
        ({"criteria": (a_criterion(thresholds=(Threshold("ed", 0),)),)}, "near must be below"),
        ({"criteria": (a_criterion(), a_criterion(version="2"))}, "versions 1 and 2 overlap"),
        (
            {
                "criteria": (
                    a_criterion(valid_to=day_of("2023-12-31")),
                    a_criterion(version="2", valid_from=day_of("2024-02-01")),
                )
            },
            "no version is valid from 2024-01-01 to 2024-01-31",
        ),
        (
            {
                "criteria": (
                    a_criterion(valid_to=day_of("2023-12-31")),
                    a_criterion(version="2", valid_from=day_of("2024-01-01"), age="youth"),
                )
            },
            "differ in population, age or kind",
        ),
        ({"go_live": ()}, "population 9z has no line for `*`"),
        ({"go_live": (GoLive("*", "9z", 1, "p"), GoLive("*", "9z", 2, "p"))}, "is listed twice"),
        ({"go_live": (GoLive("*", "9z", 1, "p"), GoLive("*", "8", 2, "p"))}, "population 8 has no criterion"),
        ({"exclusions": (Exclusion("x", "X", "k", "p"), Exclusion("x", "X", "k", "p"))}, "exclusion x is listed twice"),
        ({"criteria": (a_criterion(conditions=("B",)),)}, "no value set B"),
        ({"supports": (Support("s", "w", "p", conditions=("B",)),)}, "support s: no value set B"),
        ({"supports": (Support("s", "w", "p", populations=("8",)),)}, "support s: no population 8"),
        ({"settings": CountingSettings(delivery_set="B", newborn_set="A")}, "practice: no value set B"),
        ({"value_sets": (ValueSet("A", ()),)}, "value set A is empty"),
        ({"criteria": (a_criterion(source=" "),)}, "criterion P version 1: no source"),
        ({"go_live": (GoLive("*", "9z", 1, ""),)}, "go-live *, population 9z: no source"),
        ({"exclusions": (Exclusion("x", "X", "k", ""),)}, "exclusion x: no source"),
        ({"routes": (Route("p", "c", "n", ""),)}, "route p c: no source"),
        ({"supports": (Support("s", "w", ""),)}, "support s: no source"),
    ],
)
def test_each_fault_is_named(fields: dict[str, Any], words: str) -> None:
    faults = check(a_rule_set(**fields))
    assert [fault for fault in faults if words in fault], faults


def test_all_faults_are_said_at_once() -> None:
    faults = check(a_rule_set(go_live=(), criteria=(a_criterion(source="", conditions=("B",)),)))
    assert len(faults) == 3


def test_codes_match_by_prefix_and_by_date() -> None:
    rules = a_rule_set(
        value_sets=(
            ValueSet("A", (Code("I1", "s", "d"), Code("I10", "s", "d"))),
            ValueSet("B", (Code("U099", "s", "d", start=100, end=200),)),
        )
    )
    book = Rulebook(rules)
    assert book.names_of(book.conditions(("I10", "I11"), 5)) == ("A",)
    assert book.names_of(book.conditions(("U0991",), 150)) == ("B",)
    assert book.names_of(book.conditions(("U0991",), 99)) == ()
    assert book.names_of(book.conditions(("U0991", "I19"), 201)) == ("A",)
    assert book.conditions(("I", "Z99"), 5) == 0
    assert book.bits_of(("A", "B")) == book.conditions(("I10", "U099"), 150)


def test_caches_are_bounded_and_do_not_change_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("domain.rules.rulebook._REMEMBERED", 2)
    book = Rulebook(a_rule_set(exclusions=(Exclusion("x", "X", "k", "p", valid_from=3),)))
    for code in ("I10", "I11", "Z1", "I12", "Z2", "I10"):
        assert bool(book.conditions((code,), 1)) == code.startswith("I1")
    assert [bool(book.clear(day)) for day in (1, 2, 3, 4, 2, 3)] == [False, False, True, True, False, True]


def test_go_live_by_county() -> None:
    rules = a_rule_set(
        go_live=(GoLive("*", "9z", day_of("2023-01-01"), "p"), GoLive("Kern", "9z", day_of("2022-01-01"), "p"))
    )
    book = Rulebook(rules)
    assert book.go_live("9z", "Kern") == day_start(day_of("2022-01-01"))
    assert book.go_live("9z", "Inyo") == day_start(day_of("2023-01-01"))
    assert book.go_live("8", "Kern") == FOREVER


def test_versions_that_ask_the_same_are_one_stretch() -> None:
    first = a_criterion(valid_to=day_of("2023-12-31"))
    same = a_criterion(version="2", valid_from=day_of("2024-01-01"), valid_to=day_of("2024-12-31"))
    other = a_criterion(version="3", valid_from=day_of("2025-01-01"), months=12)
    (line,) = Rulebook(a_rule_set(criteria=(other, first, same))).lines
    assert [(s.start, s.end) for s in line.periods] == [
        (day_start(day_of("2022-01-01")), day_start(day_of("2025-01-01"))),
        (day_start(day_of("2025-01-01")), FOREVER),
    ]
    assert line.version_at(day_start(day_of("2024-06-01"))).version == "2"
    assert line.version_at(0).version == "1"
    assert line.least == 4


def test_stays_asked_for_by_type_are_asked_for_apart() -> None:
    rules = a_rule_set(
        criteria=(a_criterion(thresholds=(Threshold("ed", 5), Threshold("inpatient_or_snf", 3, 2))),),
        settings=CountingSettings(delivery_set="A", newborn_set="A", stay_mode="per_type"),
    )
    (line,) = Rulebook(rules).lines
    assert line.versions[0].criterion.required == {"ed": 5, "inpatient": 3, "snf": 3}


def test_a_rulebook_names_its_rule_set() -> None:
    one, other = a_rule_set(), msgspec.structs.replace(a_rule_set(), hash="sha256:" + "10" * 32)
    assert Rulebook(one).stamp != Rulebook(other).stamp
