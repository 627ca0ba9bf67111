"""The documentation names only what exists: headings, topics, files, and names in files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.topics import load_topics

ROOT = Path(__file__).parents[1]
SOURCES = {".py", ".md", ".yaml", ".yml", ".toml", ".json", ".csv", ".txt", ".in", ".js", ".css", ".html"}
SKIPPED = {"build", "dist", "node_modules", "__pycache__"}
CITATION = re.compile(r"docs/([a-z0-9/-]+\.md)#([\w-]+)")
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
LOOK_UP = re.compile(r"`([\w./-]+\.\w+)`((?: `[\w.]+`)*)")
OUTSIDE = re.compile(r"semantics, (?:section|law)|ecm[-]rules|contracts[:]")
"""How documents were cited that are not part of this repository; written so that it does not find itself."""


def files() -> Iterator[Path]:
    """Every text file of the repository, without what tools leave behind."""
    for path in sorted(ROOT.rglob("*")):
        parts = path.relative_to(ROOT).parts
        if path.suffix in SOURCES and not any(part.startswith(".") or part in SKIPPED for part in parts):
            yield path


def prose(path: Path) -> str:
    """A page without its fenced blocks, which are examples."""
    return re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(path: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    found: dict[str, int] = {}
    for heading in re.findall(r"^#{1,6} +(.+?) *#*$", prose(path), flags=re.MULTILINE):
        shown = LINK.sub(lambda link: link.group(0)[1:].partition("]")[0], heading).replace("`", "")
        slug = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        found[slug] = found.get(slug, -1) + 1
    return {slug if number == 0 else f"{slug}-{number}" for slug, last in found.items() for number in range(last + 1)}


def test_anchors_are_made_as_github_makes_them(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# Whose number?\n## `adt.raw.v1`\n## A [link](x.md), and more\n### Snake_case - kept\n## Time\n## Time\n"
    )
    expected = {"whose-number", "adtrawv1", "a-link-and-more", "snake_case---kept", "time", "time-1"}
    assert anchors(page) == expected


def test_every_heading_that_is_cited_exists() -> None:
    missing = [
        f"{path.relative_to(ROOT)}: docs/{page}#{anchor}"
        for path in files()
        for page, anchor in CITATION.findall(path.read_text())
        if not (ROOT / "docs" / page).exists() or anchor not in anchors(ROOT / "docs" / page)
    ]
    assert missing == []


def test_every_relative_link_of_a_page_leads_somewhere() -> None:
    broken = []
    for path in files():
        if path.suffix != ".md":
            continue
        for link in LINK.findall(prose(path)):
            if re.match(r"[a-z]+:", link):
                continue
            name, _, anchor = link.partition("#")
            target = path if not name else path.parent / name
            if not target.exists() or (anchor and anchor not in anchors(target)):
                broken.append(f"{path.relative_to(ROOT)}: {link}")
    assert broken == []


def test_no_file_cites_a_document_that_is_not_in_the_repository() -> None:
    citing = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in files()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if OUTSIDE.search(line)
    ]
    assert citing == []


def test_records_has_a_section_for_each_topic_and_for_nothing_else() -> None:
    described = re.findall(r"^## (.+)$", prose(ROOT / "docs/records.md"), flags=re.MULTILINE)
    declared = load_topics(ROOT / "topics.yaml").names
    assert sorted(described) == sorted(declared)


def look_ups() -> list[tuple[str, str]]:
    """(path, name defined there or an empty text) of every place in the look-up table of CONTRIBUTING.md."""
    _, _, section = (ROOT / "CONTRIBUTING.md").read_text().partition("## Where to look")
    rows = re.findall(r"^\| .+ \| (.+?) \|$", section.partition("\n## ")[0], flags=re.MULTILINE)
    return [
        (path, name)
        for cell in rows
        for path, names in LOOK_UP.findall(cell)
        for name in (names.replace("`", "").split() or [""])
    ]


def test_contributing_lists_twenty_look_ups_or_more() -> None:
    assert len(look_ups()) >= 20


@pytest.mark.parametrize(("path", "name"), look_ups())
def test_each_place_in_the_look_up_table_exists(path: str, name: str) -> None:
    text = (ROOT / path).read_text()
    for part in name.split(".") if name else ():
        assert re.search(rf"^\s*(?:(?:async )?def|class) {part}\b|^\s*{part}\s*(?::.*)?=", text, flags=re.MULTILINE), (
            part
        )
