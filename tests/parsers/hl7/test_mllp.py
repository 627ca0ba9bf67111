"""Frames are found the same however the stream is cut."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parsers.hl7.mllp import Frame, FrameReader, frame

TWO = frame(b"MSH|one\rPID|1\r") + frame(b"MSH|two\r")


def all_at_once(stream: bytes, limit: int = 100) -> tuple[list[Frame], int, bool]:
    reader = FrameReader(limit)
    return reader.feed(stream), reader.junk_bytes, reader.mid_frame


def in_pieces(pieces: list[bytes], limit: int = 100) -> tuple[list[Frame], int, bool]:
    reader = FrameReader(limit)
    frames = [found for piece in pieces for found in reader.feed(piece)]
    return frames, reader.junk_bytes, reader.mid_frame


def test_two_frames_in_one_packet() -> None:
    assert all_at_once(TWO) == ([Frame(b"MSH|one\rPID|1\r"), Frame(b"MSH|two\r")], 0, False)


@pytest.mark.parametrize("cut", range(len(TWO) + 1))
def test_a_cut_at_any_byte_changes_nothing(cut: int) -> None:
    assert in_pieces([TWO[:cut], TWO[cut:]]) == all_at_once(TWO)


def test_byte_by_byte() -> None:
    assert in_pieces([bytes([byte]) for byte in TWO]) == all_at_once(TWO)


def test_junk_and_nuls_between_frames_are_counted_and_skipped() -> None:
    stream = b"\r\n\x00\x00" + frame(b"one") + b"\r\nnoise\x1c\r" + frame(b"two") + b"\n"
    assert all_at_once(stream) == ([Frame(b"one"), Frame(b"two")], 4 + 9 + 1, False)


def test_without_vt_there_is_no_frame() -> None:
    assert all_at_once(b"MSH|one\x1c\r") == ([], 9, False)


def test_fs_alone_ends_a_frame_when_vt_follows() -> None:
    stream = b"\x0bone\x1c\x0btwo\x1c\r"
    for cut in range(len(stream)):
        assert in_pieces([stream[:cut], stream[cut:]]) == ([Frame(b"one"), Frame(b"two")], 0, False)


def test_fs_alone_ends_a_frame_when_the_peer_pauses() -> None:
    reader = FrameReader()
    assert reader.feed(b"\x0bone\x1c") == []
    assert reader.mid_frame
    assert reader.flush() == [Frame(b"one")]
    assert not reader.mid_frame
    assert reader.flush() == []
    assert reader.feed(b"\r" + frame(b"two")) == [Frame(b"two")], "the late CR is junk"
    assert reader.junk_bytes == 1


def test_a_pause_inside_a_frame_ends_nothing() -> None:
    reader = FrameReader()
    reader.feed(b"\x0bone\x1cx")
    assert reader.flush() == []
    assert reader.feed(b"\x1c\r") == [Frame(b"one\x1cx")]


def test_an_empty_frame_is_a_frame() -> None:
    assert all_at_once(frame(b"")) == ([Frame(b"")], 0, False)


def test_vt_inside_a_frame_is_body() -> None:
    assert all_at_once(b"\x0ba\x0bb\x1c\r") == ([Frame(b"a\x0bb")], 0, False)


@pytest.mark.parametrize("extra", [0, 1, 50])
def test_a_body_over_the_limit_comes_once_cut_and_marked(extra: int) -> None:
    body = b"x" * (10 + extra)
    stream = frame(body) + frame(b"next")
    expected = [Frame(body[:10], oversize=extra > 0), Frame(b"next")]
    for cut in range(len(stream)):
        assert in_pieces([stream[:cut], stream[cut:]], limit=10) == (expected, 0, False)


def test_an_oversize_body_is_known_before_it_ends() -> None:
    reader = FrameReader(limit=10)
    assert reader.feed(b"\x0b" + b"x" * 11) == [Frame(b"x" * 10, oversize=True)]
    assert reader.mid_frame
    assert reader.feed(b"y" * 100_000) == []
    assert reader.feed(b"\x1cz\x1c") == []
    assert reader.flush() == []
    assert not reader.mid_frame
    assert reader.feed(frame(b"next")) == [Frame(b"next")]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from([b"\x0b", b"\x1c", b"\r", b"\n", b"a", b"bc" * 4, b"\x1c\r", b"\x00"]), max_size=40),
    st.randoms(use_true_random=False),
)
def test_any_split_gives_the_same_frames(parts: list[bytes], random: object) -> None:
    stream = b"".join(parts)
    pieces, begin = [], 0
    while begin < len(stream):
        size = random.randint(1, 5)  # type: ignore[attr-defined]
        pieces.append(stream[begin : begin + size])
        begin += size
    assert in_pieces(pieces, limit=6) == all_at_once(stream, limit=6)


def test_time_grows_with_the_input_not_its_square() -> None:
    def seconds(size: int) -> float:
        reader = FrameReader(limit=10**9)
        stream = b"\x0b" + b"\x1cx" * (size // 2)
        begun = time.process_time()
        for i in range(0, len(stream), 64):
            reader.feed(stream[i : i + 64])
        assert reader.feed(b"\x1c\r")[0].body == stream[1:]
        return time.process_time() - begun

    small = min(seconds(50_000) for _ in range(3))
    assert seconds(1_600_000) < 32 * 12 * max(small, 0.001), "32 times the input, far from 1,024 times the work"


def test_a_body_that_may_not_end_in_fs_alone_ends_at_fs_cr() -> None:
    asked: list[bytes] = []

    def never(head: bytes) -> bool:
        asked.append(head)
        return False

    reader = FrameReader(ends_alone=never)
    assert reader.feed(b"\x0bMSH|a\x1c\x0bb\x1c\x0bc\x1c") == []
    assert reader.flush() == []
    assert reader.feed(b"\r\x0bMSH|b\x1c") == [Frame(b"MSH|a\x1c\x0bb\x1c\x0bc")]
    assert reader.flush() == []
    assert reader.feed(b"\r") == [Frame(b"MSH|b")]
    assert asked == [b"MSH|a", b"MSH|b"]  # once for each body
    short = FrameReader(4, ends_alone=never)
    assert short.feed(b"\x0b123456\x1c\x0bab\x1c\r") == [Frame(b"1234", oversize=True), Frame(b"ab")]
    assert asked == [b"MSH|a", b"MSH|b"]  # of a body that is too long nothing hangs on it
