"""Files of many messages."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parsers.batch import split_messages
from parsers.mllp import frame

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
