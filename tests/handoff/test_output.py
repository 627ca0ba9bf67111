"""Tables at the width of the terminal: what fits stands whole on one line, the rest below it, nothing is cut."""

from __future__ import annotations

import pytest
from rich.console import Console

from handoff import output
from handoff.commands import look

DOCUMENT = {
    "candidate_id": "c_k3v9x2m8q1zz",
    "member_id": "91234567A",
    "population": "4a",
    "state": "needs_review",
    "status": "raised",
    "plan": "blue-shield-promise",
    "county": "San Bernardino",
    "conditions": ["DIABETES", "HYPERTENSION"],
    "trigger": {"occurred": "2026-11-01T10:00:00-08:00", "kind": "custody_release"},
}
LETTER = (
    "adt.dead-letters.v1/3/120",
    "2026-11-26 10:00",
    "unknown-candidate",
    "candidate_id",
    "refer",
    "plain_hospital",
)


def shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int, what: str) -> list[str]:
    console = Console(highlight=False, width=width)
    monkeypatch.setattr(output, "out", console)
    if what == "candidates":
        look.candidates_table([DOCUMENT])
    elif what == "letters":
        output.table("Dead letters: 1", ("at", "when", "code", "place", "stage", "sender"), [LETTER])
    else:
        row = ("reconcile", "identity.links.v1", 11, 1234567, 1234567, 100000, 12.3)
        output.table("Lag", ("stage", "topic", "partition", "committed", "end", "lag", "seconds"), [row])
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("width", [60, 80, 100])
@pytest.mark.parametrize(
    ("what", "whole"),
    [
        ("candidates", ("c_k3v9x2m8q1", "91234567A", "needs review", "custody release with", "San Bernardino")),
        ("letters", ("adt.dead-letters.v1/3/120", "unknown-candidate", "candidate_id", "plain_hospital")),
        ("lag", ("reconcile", "identity.links.v1", "1234567", "100000", "12.3")),
    ],
)
def test_a_narrow_terminal_gets_every_value_whole(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    width: int,
    what: str,
    whole: tuple[str, ...],
) -> None:
    lines = shown(monkeypatch, capsys, width, what)
    assert all(len(line) <= width for line in lines)
    assert len(lines) <= 6
    for text in whole:
        assert any(text in line for line in lines), text


def test_a_wide_terminal_gets_a_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert any("┃" in line for line in shown(monkeypatch, capsys, 160, "candidates"))


def test_one_long_sentence_is_folded_within_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output, "out", Console(highlight=False, width=80))
    output.table("Findings", ("finding",), [("REG/GENHOSP: 300 of 300 messages refused in the last day " * 3,)])
    assert all(len(line) <= 80 for line in capsys.readouterr().out.splitlines())
