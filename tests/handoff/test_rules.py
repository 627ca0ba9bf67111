"""The rule set of this repository, and what its loader finds wrong with others."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from domain.errors import BadDeclaration
from domain.rules.ruleset import check
from handoff.declarations.rules import content_hash, load_rules

RULES = Path(__file__).parents[2] / "rules"
SEEDS = (
    "000_371a54d2f21aa60f",
    "001_6cf37e62ad84778a",
    "002_4e0b66a3987c7011",
    "003_2fa9b65790c5433b",
    "004_a15cbe0d129e3d63",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the rules that a test may spoil."""
    return Path(shutil.copytree(RULES, tmp_path / "rules"))


def spoil(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def faults_of(folder: Path) -> tuple[str, ...]:
    with pytest.raises(BadDeclaration) as caught:
        load_rules(folder)
    return caught.value.faults


def test_the_repositorys_rules_are_sound() -> None:
    rules = load_rules(RULES)
    assert check(rules) == []
    assert {c.population for c in rules.criteria} == {"2a", "2c", "4a", "4y"}
    thresholds = {(c.population, limb.of): (limb.at_least, limb.near) for c in rules.criteria for limb in c.thresholds}
    assert thresholds == {
        ("2a", "ed"): (5, 4),
        ("2a", "inpatient_or_snf"): (3, 2),
        ("2c", "ed"): (3, 2),
        ("2c", "inpatient_or_snf"): (2, 1),
    }
    assert len([line for line in rules.go_live if line.population == "2a"]) == 26


@pytest.mark.parametrize("seed", SEEDS)
def test_each_plan_page_is_the_source_of_something(seed: str) -> None:
    rules = load_rules(RULES)
    sources = [x.source for x in (*rules.criteria, *rules.go_live, *rules.exclusions, *rules.routes, *rules.supports)]
    assert any(f"{seed}.txt" in source for source in sources)


def test_every_plan_of_the_pages_has_a_route() -> None:
    assert {route.plan for route in load_rules(RULES).routes} == {
        "healthnet",
        "calviva",
        "chpiv",
        "iehp",
        "lacare",
        "hpsj",
    }


def test_the_hash_is_of_names_and_bytes() -> None:
    assert content_hash({"a": b"1", "b": b"2"}) == content_hash({"b": b"2", "a": b"1"})
    assert len({content_hash(x) for x in ({"a": b"12"}, {"a1": b"2"}, {"a": b"1", "2": b""}, {})}) == 4


def test_the_hash_changes_with_any_file_but_the_readme(folder: Path) -> None:
    before = load_rules(folder).hash
    spoil(folder / "README.md", "rules", "rulez")
    assert load_rules(folder).hash == before
    spoil(folder / "supports.yaml", "Homeless, or at risk of it", "Homeless or at risk of it")
    assert load_rules(folder).hash != before


def test_every_fault_of_every_file_is_said_at_once(folder: Path) -> None:
    spoil(folder / "criteria.yaml", "at_least: 5, near: 4", "at_least: five, near: 4")
    spoil(folder / "exclusions.yaml", "name: PACE", "nmae: PACE")
    spoil(folder / "go_live.csv", "*,2c,2023-07-01", "*,2c,2023-07-32")
    spoil(folder / "value_sets" / "HIV.csv", "B20,", "b20,")
    spoil(folder / "routes.yaml", "plan: iehp", "plan: ''")
    faults = "\n".join(faults_of(folder))
    for words in (
        "criteria.yaml:43: criteria.0.versions.0.limbs.0.at_least",
        "exclusions.1.nmae: unknown key",
        "2023-07-32 is no date",
        "value_sets/HIV.csv:2: a code is upper case",
        "routes.3.plan",
    ):
        assert words in faults


@pytest.mark.parametrize(
    ("name", "old", "new", "words"),
    [
        ("criteria.yaml", "valid_to: 2025-12-31", "valid_to: 2026-12-31", "overlap"),
        ("criteria.yaml", "valid_to: 2025-12-31", "valid_to: 2025-11-30", "no version is valid from 2025-12-01"),
        ("criteria.yaml", "[MENTAL,", "[MENTALS,", "no value set MENTALS"),
        ("criteria.yaml", "near: 4", "near: 5", "near must be below at_least"),
        ("criteria.yaml", "source: DHCS ECM Policy Guide Jan 2026 p20", "source: ''", "no source"),
        ("criteria.yaml", "practice:", "practice: [", "no YAML"),
        ("criteria.yaml", "    kind: count\n", "    kind: count\n    kind: count\n", "given twice"),
        ("criteria.yaml", 'version: "2026-01"\n\npractice', "\npractice", "criteria.yaml:5: version: Field required"),
        ("go_live.csv", "county,population,date,source", "county,population,date", "the heading must be"),
        ("go_live.csv", "*,2c,2023-07-01,", "*,2c,,", "no date"),
        ("go_live.csv", "*,2c,2023-07-01,", "*,2c,", "columns in place of"),
        ("go_live.csv", "Kern,2a", "Kings,2a", "Kings, population 2a stands twice"),
        ("value_sets/HIV.csv", "Z21,", "B20,", "B20 stands twice"),
        ("value_sets/TBI.csv", "S06,", "S0.6,", "without dots"),
    ],
)
def test_what_is_wrong_is_named(folder: Path, name: str, old: str, new: str, words: str) -> None:
    spoil(folder / name, old, new)
    assert words in "\n".join(faults_of(folder))


def test_missing_files_and_sets(folder: Path) -> None:
    (folder / "routes.yaml").unlink()
    (folder / "go_live.csv").unlink()
    (folder / "value_sets" / "SUD.csv").write_bytes(b"")
    assert "routes.yaml: missing" in faults_of(folder)
    (folder / "routes.yaml").write_text("routes: []\n")
    faults = "\n".join(faults_of(folder))
    assert "go_live.csv: missing" in faults
    assert "value_sets/SUD.csv:1: the heading must be" in faults
    assert "value set SUD is empty" in faults


def test_files_that_are_not_text(folder: Path) -> None:
    (folder / "criteria.yaml").write_bytes(b"version: \xff\xfe")
    (folder / "value_sets" / "SUD.csv").write_bytes(b"code,system,display,from,to\n\xff,a,b,,\n")
    faults = "\n".join(faults_of(folder))
    assert "criteria.yaml" in faults
    assert "value_sets/SUD.csv: not CSV in UTF-8" in faults


def test_blank_lines_and_dates_in_csv_are_read(folder: Path) -> None:
    path = folder / "value_sets" / "HIV.csv"
    path.write_text(path.read_text() + "\nX99,ICD-10-CM,Made up,2026-10-01,2027-09-30\n")
    codes = next(value_set for value_set in load_rules(folder).value_sets if value_set.name == "HIV").codes
    assert codes[-1].start is not None
    assert codes[-1].end == codes[-1].start + 364
