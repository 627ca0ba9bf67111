"""Files of many messages."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parsers.hl7.batch import Splitter, Trailers, split_messages
from parsers.hl7.mllp import frame

ONE, TWO = b"MSH|^~\\&|A\rPID|1||7", b"MSH|^~\\&|B\rPID|1||8"


@pytest.mark.parametrize(
    "data",
    [
        ONE + b"\r" + TWO,
        ONE + b"\r\r\n" + TWO + b"\r\n\r\n",
        b"\xef\xbb\xbf" + ONE + b"\n\n" + TWO,
        frame(ONE) + frame(TWO),
        frame(ONE + b"\r") + b"\r\n" + frame(TWO + b"\r"),
        b"\x0b" + ONE + b"\x1c\x0b" + TWO + b"\x1c",
        b"FHS|^~\\&|X\rBHS|^~\\&|X\r" + ONE + b"\r" + TWO + b"\rBTS|2\rFTS|1\r",
        b"BHS|^~\\&|X\r" + ONE + b"\rBTS|1\rBHS|^~\\&|X\r" + TWO + b"\rBTS|1",
        ONE + b"\x00\x00" + TWO,
        b"  " + ONE + b"\r  " + TWO,
    ],
)
def test_messages_come_out_one_by_one(data: bytes) -> None:
    assert split_messages(data) == [ONE, TWO]


def test_line_ends_stay_as_they_are() -> None:
    assert split_messages(b"MSH|^~\\&|A\r\nPID|1\r\nMSH|^~\\&|B\r\nPID|2\r\n") == [
        b"MSH|^~\\&|A\r\nPID|1",
        b"MSH|^~\\&|B\r\nPID|2",
    ]


def test_own_delimiters() -> None:
    assert split_messages(b"FHS$*%@!\rMSH$*%@!$A\rMSH$*%@!$B\rFTS$1") == [b"MSH$*%@!$A", b"MSH$*%@!$B"]


@pytest.mark.parametrize("data", [b"", b"\r\n", b"\x0b\x1c\r", b"FHS|^~\\&\rFTS|0\r"])
def test_no_messages(data: bytes) -> None:
    assert split_messages(data) == []


def test_what_is_no_message_is_not_lost() -> None:
    assert split_messages(b"hello") == [b"hello"]
    assert split_messages(b"PID|1\r" + ONE) == [b"PID|1", ONE]


def test_msh_inside_a_line_starts_nothing() -> None:
    data = ONE + b"|MSH|x\rNTE|1|MSH|y"
    assert split_messages(data) == [data]
    assert split_messages(ONE + b"\rMSHA|1") == [ONE + b"\rMSHA|1"]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([ONE, TWO]), max_size=6), st.sampled_from([b"\r", b"\n", b"\r\n", b"\x1c\r\x0b"]))
def test_joined_and_split_again(messages: list[bytes], between: bytes) -> None:
    assert split_messages(between.join(messages)) == messages


PARTS = [ONE, TWO, b"\r", b"\n", b"\r\n", b"\x1c\r\x0b", b" ", b"M", b"MSH", b"junk", b"\xef\xbb\xbf", b"\rNTE|1|MSH|y"]
AROUND = [b"FHS|^~\\&|X\r", b"BHS|^~\\&\r", b"\rBTS|2\r", b"\rFTS|1\n"]
STREAM = st.lists(st.sampled_from([*PARTS, *AROUND]), max_size=14).map(b"".join)


@settings(max_examples=400, deadline=None)
@given(STREAM, st.integers(1, 7), st.sampled_from([20, 60, 10_000]))
def test_blocks_do_not_show_in_the_pieces(data: bytes, size: int, limit: int) -> None:
    whole = Splitter(limit).feed(data, last=True)
    splitter = Splitter(limit)
    # A mark is looked for in the first block only, and a block of a file is never so short.
    blocks = [data[:3], *(data[at : at + size] for at in range(3, len(data), size))]
    pieces = [piece for block in blocks for piece in splitter.feed(block)] + splitter.feed(b"", last=True)
    assert [(each.segment, each.data, each.cut) for each in pieces] == [
        (each.segment, each.data, each.cut) for each in whole
    ]
    if not any(each.cut for each in whole):
        assert [each.line for each in pieces] == [each.line for each in whole]


def test_a_piece_knows_its_line_and_what_is_too_long_is_cut() -> None:
    data = b"\r\n" + ONE + b"\r\n" + ONE + b"x" * 500 + b"\nNTE|1\n" + TWO
    pieces = Splitter(40).feed(data, last=True)
    assert [(each.line, each.cut) for each in pieces] == [(2, False), (4, True), (7, False)]
    assert len(pieces[1].data) == 40
    splitter = Splitter(40)
    small = [piece for at in range(0, len(data), 10) for piece in splitter.feed(data[at : at + 10])]
    small += splitter.feed(b"", last=True)
    assert [(each.line, each.cut, each.data) for each in small] == [(each.line, each.cut, each.data) for each in pieces]


def miscounts(data: bytes) -> list[tuple[str, int, int | None, int]]:
    trailers = Trailers()
    for piece in Splitter().feed(data, last=True):
        trailers.take(piece)
    return [(each.place, each.line, each.stated, each.found) for each in trailers.end()]


@pytest.mark.parametrize(
    ("data", "wrong"),
    [
        (b"FHS|^~\\&\rBHS|^~\\&\r" + ONE + b"\r" + TWO + b"\rBTS|2\rFTS|1", []),
        (
            b"FHS|^~\\&\rBHS|^~\\&\r" + ONE + b"\rBTS|2|x\rBHS|^~\\&\rBTS|\rFTS|3",
            [("BTS-1", 5, 2, 1), ("FTS-1", 8, 3, 2)],
        ),
        (b"FHS|^~\\&\r" + ONE + b"\rFTS|1", []),  # messages without BHS are one batch
        (b"FHS|^~\\&\rBHS|^~\\&\r" + ONE, [("BTS-1", 2, None, 1), ("FTS-1", 1, None, 1)]),
        (ONE + b"\r" + TWO, []),
        (b"BHS$*%@!\rMSH$*%@!$A\rBTS$3", [("BTS-1", 3, 3, 1)]),
    ],
)
def test_trailers_are_held_against_what_was_found(data: bytes, wrong: list[tuple[str, int, int | None, int]]) -> None:
    assert miscounts(data) == wrong
