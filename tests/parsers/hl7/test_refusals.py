"""docs/refusals.md names every code that the source can give, and counts the corpus as it is."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from domain.errors import Refusal
from parsers.hl7 import refusals as codes
from parsers.hl7.adt import read_adt
from parsers.hl7.encoding import Message
from parsers.hl7.profiles import SenderProfile
from tests.support.corpus import as_sent, corpus

ROOT = Path(__file__).parents[3]
SOURCES = [
    path for name in ("domain", "parsers", "agents", "streams", "gateway") for path in (ROOT / name).rglob("*.py")
]
GIVEN_BY = {"Refusal", "Doubtful", "TooLarge"}
"""The exceptions whose first argument is a code."""
SET_ASIDE_IN = ROOT / "agents/runtime/chunk.py"
"""Where a `Fault` has a code as its first argument: the reader of files has a `Fault` of its own, with a line."""
CODE = re.compile(r"^\| `([a-z0-9-]+)` \|", re.MULTILINE)
COUNTED = re.compile(r"^\| `([a-z-]+)` \| ([^|]+) \| ([0-9]+) \|$", re.MULTILINE)
DEFAULT = SenderProfile("default")


def page() -> tuple[str, str]:
    """The two parts of the page: all codes, and those of the corpus."""
    general, _, counted = (ROOT / "docs/refusals.md").read_text().partition("## What a corpus")
    return general, counted


def texts_of(argument: ast.expr, named: dict[str, str]) -> Iterator[str]:
    """The texts that an argument may stand for."""
    match argument:
        case ast.Constant(value=str(text)):
            yield text
        case ast.Name(id=name) | ast.Attribute(attr=name):
            if name.isupper():
                yield named[name]
            # Otherwise a variable that passes on a code given elsewhere.
        case ast.IfExp(body=one, orelse=other):
            yield from texts_of(one, named)
            yield from texts_of(other, named)
        case _:
            raise AssertionError(f"a code that cannot be told from the source: {ast.unparse(argument)}")


def codes_in_source() -> set[str]:
    trees = {path: ast.parse(path.read_text()) for path in SOURCES}
    nodes = [node for tree in trees.values() for node in ast.walk(tree)]
    faults = set(ast.walk(trees[SET_ASIDE_IN]))
    named = {
        node.target.id: node.value.value
        for node in nodes
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    }
    return {
        code
        for node in nodes
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args
        if node.func.id in GIVEN_BY or (node.func.id == "Fault" and node in faults)
        for code in texts_of(node.args[0], named)
    } | {"internal-error"}


def test_every_code_of_the_source_is_explained_and_no_other() -> None:
    explained = CODE.findall(page()[0])
    assert len(explained) == len(set(explained))
    assert set(explained) == codes_in_source()
    assert set(explained) >= codes.REFUSALS


def kind_of(refusal: Refusal, raw: bytes) -> str:
    message = Message(raw)
    pid, evn = message.first("PID"), message.first("EVN") or [""] * 8
    match refusal.code:
        case codes.NO_PATIENT if pid is None:
            return "no PID segment"
        case codes.NO_PATIENT:
            numbered = any(message.text(pid[field]) for field in (2, 3, 4))
            return "only numbers that never name a patient" if numbered else "PID without any number"
        case codes.NO_TIME:
            empty = not any((message.header[6], evn[2], evn[6]))
            return "every time empty" if empty else "times that HL7 does not know"
        case codes.NO_TRIGGER if message.text(message.header[8]) == "ADT":
            return "ADT without an event"
    return "of no kind that the page knows"


def test_the_refusals_of_the_corpus_are_counted_as_the_page_says() -> None:
    found: Counter[tuple[str, str]] = Counter()
    for text in corpus():
        try:
            read_adt(as_sent(text), DEFAULT)
        except Refusal as refusal:
            found[refusal.code, kind_of(refusal, as_sent(text))] += 1
    stated = page()[1]
    assert {(code, kind): int(count) for code, kind, count in COUNTED.findall(stated)} == found
    assert f"{len(corpus())} ADT messages" in stated
    assert f"{len(corpus()) - found.total()} are read and {found.total()} are not" in stated
