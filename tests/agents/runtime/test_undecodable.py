"""Records that no decoder can take are refused, not met as a bug of ours."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from domain.errors import Refusal
from parsers.records.dispositions import read_disposition
from parsers.records.links import decode_link
from parsers.records.roster import read_roster
from parsers.records.visits import decode_snapshot

READERS: list[Callable[[bytes], object]] = [read_roster, read_disposition, decode_link, decode_snapshot]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"{",
        b"[]",
        b'{"candidate_id": "\xff", "member_id": "\xff", "patient": "\xff", "birth_date": "\xff"}',
        b'{"x":' + b"[" * 9000,
    ],
)
def test_bytes_that_are_no_record(reader: Callable[[bytes], object], value: bytes) -> None:
    with pytest.raises(Refusal):
        reader(value)
