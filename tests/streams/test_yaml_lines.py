"""The reader of declarations: every way in which a file can be wrong ends in a fault with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from domain.errors import BadDeclaration
from streams.yaml_lines import parse_declaration, read_declaration


class Model(BaseModel, extra="forbid"):
    one: int
    two: dict[str, int] = {}


def faults_of(content: str | bytes) -> tuple[str, ...]:
    with pytest.raises(BadDeclaration) as caught:
        parse_declaration(content, "f.yaml").into(Model)
    return caught.value.faults


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("one: 1\none: 2\n", "f.yaml:2: one: given twice"),
        ("one: 1\ntwo:\n  a: 1\n  a: 1\n", "f.yaml:4: two.a: given twice"),
        ("one: 1\ntwo:\n  ? [a]\n  : 1\n", "f.yaml:3: a key must be a word"),
        ("one: [1\n", "f.yaml:2: cannot be read: no YAML: "),
        ("one: 1\n\x07", "f.yaml:2: cannot be read: no YAML: special characters are not allowed"),
        (b"one: \xff", "f.yaml: cannot be read: not UTF-8"),
        ("one: 1\n---\none: 2\n", "f.yaml:2: cannot be read: no YAML: "),
        ("one: 2024-13-45\n", "f.yaml:1: one: 2024-13-45 is no timestamp"),
        ("\none: !!int x\n", "f.yaml:2: one: x is no int"),
        ("one: 1\ntwo: !!python/object:os.x {}\n", "f.yaml:2: two: no such type: "),
        ("one: &a [*a]\n", "f.yaml:1: cannot be read: too deep or too large"),
        (f"one: {'[' * 5000}", "f.yaml:1: cannot be read: too deep or too large"),
        ("one: 1\nthree: 3\n", "f.yaml:2: three: unknown key"),
        ("one: 1\ntwo:\n  a: x\n", "f.yaml:3: two.a: "),
        ("two: {}\n", "f.yaml:1: one: Field required"),
        ("", "f.yaml:1: "),
    ],
)
def test_every_fault_is_named_with_its_line(content: str | bytes, fault: str) -> None:
    (found,) = faults_of(content)
    assert found.startswith(fault)


def test_all_faults_of_a_file_are_found_at_once() -> None:
    assert len(faults_of("one: 1\none: 2\ntwo: {a: 1, a: 2}\n")) == 2
    assert len(faults_of("one: x\ntwo: {a: y, b: z}\nthree: 1\n")) == 4


def test_aliases_of_aliases_do_not_fill_the_memory() -> None:
    lines = ["a0: &a0 [1]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    (fault,) = faults_of("\n".join(lines))
    assert "too large" in fault


def test_a_key_of_its_own_takes_the_place_of_a_merged_one() -> None:
    document = parse_declaration("base: &b {k: 1, j: 2}\nmore:\n  <<: *b\n  k: 3\nagain: *b\n", "f.yaml")
    assert document.data == {"base": {"k": 1, "j": 2}, "more": {"k": 3, "j": 2}, "again": {"k": 1, "j": 2}}
    with pytest.raises(BadDeclaration, match="given twice"):
        parse_declaration("base: &b {k: 1}\nmore:\n  <<: *b\n  k: 3\n  k: 4\n", "f.yaml")


def test_an_alias_of_a_mapping_with_a_merge_is_no_repetition() -> None:
    document = parse_declaration("a: &a {k: 1}\nb: &b {<<: *a, k: 2}\nc: *b\nd: *b\n", "f.yaml")
    assert document.data["c"] == document.data["d"] == {"k": 2}


def test_a_file_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(BadDeclaration, match=r"x\.yaml: cannot be read"):
        read_declaration(tmp_path / "x.yaml")
