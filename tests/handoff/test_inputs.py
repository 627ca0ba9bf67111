"""Inputs are read block by block: what comes out does not depend on where a block ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from handoff.inputs import BadInput, messages

ONE = b"MSH|^~\\&|REG|GENHOSP|||20260301||ADT^A01|1|P|2.5\rPID|1||100\r"
MANY = b"".join(b"\x0b" + ONE.replace(b"|1|P", b"|%d|P" % n) + b"\x1c\r" for n in range(40))


@pytest.mark.parametrize("block", [1, 7, 64, 1 << 20])
def test_messages_of_a_file_at_any_block_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr("handoff.inputs._BLOCK", block)
    (tmp_path / "day.hl7").write_bytes(MANY)
    found = list(messages([str(tmp_path / "day.hl7")]))
    assert [each.raw.split(b"|")[9] for each in found] == [str(n).encode() for n in range(40)]
    assert found[39].origin.endswith("day.hl7#40")


@pytest.mark.parametrize("block", [1, 50, 1 << 20])
@pytest.mark.parametrize("name", ["day.jsonl", "day.txt"])
def test_json_lines_at_any_block_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, name: str) -> None:
    monkeypatch.setattr("handoff.inputs._BLOCK", block)
    lines = [json.dumps({"hl7": ONE.decode(), "sender": f"s{n}"}) for n in range(9)]
    (tmp_path / name).write_text("\n".join((*lines[:4], "", *lines[4:])))
    found = list(messages([str(tmp_path / name)]))
    assert [each.sender for each in found] == [f"s{n}" for n in range(9)]
    assert found[-1].origin.endswith(f"{name}:10")


def test_an_empty_file_and_a_missing_one(tmp_path: Path) -> None:
    (tmp_path / "none.hl7").write_bytes(b"")
    assert list(messages([str(tmp_path / "none.hl7")])) == []
    with pytest.raises(BadInput, match="No such file"):
        list(messages([str(tmp_path / "missing.hl7")]))
