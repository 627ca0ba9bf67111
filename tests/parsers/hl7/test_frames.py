"""Frames that hold several messages, and frames that only seem to."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parsers.hl7.frames import split_frame

ONE, TWO = b"MSH|^~\\&|A\rPID|1||7", b"MSH|^~\\&|B\rPID|1||8"


@pytest.mark.parametrize(
    "body",
    [
        ONE + b"\r" + TWO,
        ONE + b"\r\n\r\n" + TWO + b"\r\n",
        ONE + b"\x00\x00" + TWO,
        ONE + b"\x1c" + TWO,
        ONE + b"\r\x1c\x0b" + TWO,
        ONE + b"\r\xef\xbb\xbf" + TWO,
        b"FHS|^~\\&|X\rBHS|^~\\&|X\r" + ONE + b"\r" + TWO + b"\rBTS|2\rFTS|1\r",
    ],
)
def test_messages_glued_in_one_frame_come_apart(body: bytes) -> None:
    assert split_frame(body) == [ONE, TWO]


@pytest.mark.parametrize(
    "body",
    [
        ONE + b"|see MSH|^~\\&|B\r",
        ONE + b"|MSH|^~\\&|B\r",
        ONE + b"\rNTE|1||as sent\nMSH: see above\nMSH-3 is missing\rPV1|1|E",
        ONE + b"\rMSHX|^~\\&",
        b"\xef\xbb\xbf" + ONE + b"\r",
        b"\r\n " + ONE + b"\r\n",
        b"JUNK\r" + ONE,
        b"FHS|^~\\&|X\r" + ONE + b"\rFTS|1",
        b"no MSH at all",
        b"MSHMSH",
        b"",
    ],
)
def test_a_frame_of_one_message_stays_as_it_came(body: bytes) -> None:
    assert split_frame(body) == [body]


def test_what_stands_before_the_first_of_several_stays_with_it() -> None:
    assert split_frame(b"JUNK\r" + ONE + b"\r" + TWO) == [b"JUNK\r" + ONE, TWO]
    assert split_frame(b"\xef\xbb\xbf" + ONE + b"\r" + TWO) == [b"\xef\xbb\xbf" + ONE, TWO]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([ONE, TWO, b"\r", b"\n", b"\x00", b"\x1c", b"|", b"MSH", b"MSH|", b"BTS|1", b"x"])))
def test_of_a_frame_every_line_but_batch_segments_is_in_some_message(pieces: list[bytes]) -> None:
    body = b"".join(pieces)
    joined = b"".join(split_frame(body))
    for mark in (b"\r", b"\n", b"\x00", b"\x1c"):
        body, joined = body.replace(mark, b""), joined.replace(mark, b"")
    if b"BTS" not in body:
        assert joined == body
