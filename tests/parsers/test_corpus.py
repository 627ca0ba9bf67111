"""Recorded and damaged messages: nothing but `Refusal`, and the same fields that other parsers find."""

from __future__ import annotations

from collections import Counter
from typing import Any

import hl7
import msgspec
import pytest
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.facts import AdtEvent
from domain.refusal import Refusal
from parsers import codes
from parsers.ack import acknowledge, read_ack
from parsers.adt import patient_key_of, read_adt
from parsers.batch import split_messages
from parsers.envelope import read_envelope
from parsers.hl7 import Message
from parsers.mllp import FrameReader, frame
from tests.parsers.writing import DEFAULT, adt
from tests.support.corpus import as_sent, corpus, corpus_or

WRITTEN = [
    adt("A01", "DG1|1||I10", "IN1|1" + "|" * 35 + "91234567A", pid={11: "1 ELM^^ARROYO^CA^90012", 13: "5555550100"}),
    adt("A40", "MRG|200^^^GEN^MR||A7||V9", "PID|2||101", "MRG|201", pv1=None),
    adt("A06", "MRG|100||||V0", pid={29: "20261123", 30: "Y"}, pv1={36: "01", 44: "20261122", 45: "20261123"}),
]
SEEDS = [as_sent(text) for text in corpus_or([raw.decode() for raw in WRITTEN])] + WRITTEN
WANTED = {
    "MSH": (3, 4, 7, 9, 10, 11, 12, 13, 15, 16, 18),
    "EVN": (1, 2, 6),
    "PID": (2, 3, 5, 7, 8, 11, 13, 18, 29, 30),
    "PV1": (2, 3, 4, 14, 18, 19, 36, 37, 39, 44, 45, 50),
    "MRG": (1, 3, 5),
}


def read(raw: bytes) -> AdtEvent | Refusal:
    """The event or the refusal of a message; anything else that it raises fails the test."""
    try:
        answer = read_adt(raw, DEFAULT)
    except Refusal as refused:
        return refused
    assert patient_key_of(raw, DEFAULT) == (answer.patient or None)
    assert msgspec.json.decode(msgspec.json.encode(answer), type=AdtEvent) == answer
    return answer


def test_the_corpus_raises_nothing_but_refusals() -> None:
    outcomes = Counter(
        answer.code if isinstance(answer, Refusal) else "read" for answer in (read(as_sent(text)) for text in corpus())
    )
    assert outcomes["read"] >= 0.85 * outcomes.total(), outcomes
    assert set(outcomes) <= {"read", codes.NO_PATIENT, codes.NO_TIME, codes.NO_TRIGGER}


def test_what_was_refused_lacks_what_the_refusal_says() -> None:
    for text in corpus():
        answer = read(as_sent(text))
        if isinstance(answer, Refusal):
            message = Message(as_sent(text))
            pid, evn = message.first("PID"), message.first("EVN") or [""] * 8
            if answer.code == codes.NO_PATIENT:
                named = pid is not None and any(message.text(pid[field]) for field in (2, 3, 4))
                assert not named or "SSN" in text, text
            elif answer.code == codes.NO_TIME:
                times = (message.header[6], evn[2], evn[6])
                assert not any(time[:8].isdigit() and time[:3] in ("199", "200") for time in times), text


def test_the_corpus_as_one_file() -> None:
    texts = [as_sent(text).strip(b"\r\n \t") for text in corpus()]
    for joined in (b"\r".join(texts), b"".join(frame(text) for text in texts)):
        assert split_messages(joined) == [each for text in texts for each in split_messages(text)]
    reader = FrameReader()
    stream = b"".join(frame(text) for text in texts)
    found = [each.body for i in range(0, len(stream), 1000) for each in reader.feed(stream[i : i + 1000])]
    assert found == texts


def test_the_header_alone_says_the_same() -> None:
    for text in corpus():
        answer, envelope = read(as_sent(text)), read_envelope(as_sent(text))
        if isinstance(answer, AdtEvent):
            assert (envelope.control_id, envelope.trigger) == (answer.control_id, answer.trigger)


def test_every_answer_to_the_corpus_is_read_again() -> None:
    for text in corpus():
        envelope = read_envelope(as_sent(text))
        answer = read_ack(acknowledge(envelope, "AE", "1", 0, "no|good", "PID-3", codes.NO_PATIENT))
        assert (answer.code, answer.text) == ("AE", "no|good")


def damaged(data: st.DataObject) -> bytes:
    """A message with a few bytes flipped, cut, doubled or put in."""
    raw = bytearray(data.draw(st.sampled_from(SEEDS)))
    special = st.sampled_from([b"|", b"^", b"~", b"\\", b"&", b"\r", b"\n", b'""', b"\x0b", b"\x1c", b"\xff", b"\x00"])
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(raw)))
        width = data.draw(st.integers(0, 12))
        match data.draw(st.integers(0, 3)):
            case 0:
                raw[at : at + 1] = data.draw(st.binary(min_size=1, max_size=1))
            case 1:
                del raw[at : at + width]
            case 2:
                raw[at:at] = raw[at : at + width]
            case _:
                raw[at:at] = data.draw(special)
    return bytes(raw)


@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_damaged_messages_raise_nothing_but_refusals(data: st.DataObject) -> None:
    raw = damaged(data)
    answer = read(raw)
    assert isinstance(answer, AdtEvent) or answer.code in codes.REFUSALS
    split_messages(raw)
    try:
        envelope = read_envelope(raw)
    except Refusal as refused:
        envelope, code = None, refused.code
    else:
        code = ""
    assert code in ("", codes.EMPTY, codes.NOT_HL7)
    assert read_ack(acknowledge(envelope, "AR", "1", 0, "no", "MSH-9.2", codes.NO_TRIGGER)).code == "AR"


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200).map(lambda tail: b"MSH|^~\\&" + tail) | st.binary(max_size=60))
def test_noise_raises_nothing_but_refusals(raw: bytes) -> None:
    answer = read(raw)
    assert isinstance(answer, AdtEvent) or answer.code in codes.REFUSALS


# -- the same fields by others ------------------------------------------------------------------------------------


def canonical(value: str, message: Message) -> str:
    """A field without what means nothing: trailing delimiters and blanks."""
    marks = message.delimiters
    repetitions = [
        marks.component.join(part.rstrip(marks.sub) for part in repetition.split(marks.component)).rstrip(
            marks.component
        )
        for repetition in value.split(marks.repeat)
    ]
    return marks.repeat.join(repetitions).rstrip(marks.repeat).strip()


def ours(message: Message, name: str, field: int) -> str:
    if name == "MSH":
        return message.header[field - 1]
    fields = message.first(name)
    return "" if fields is None else fields[field]


def of_python_hl7(tree: Any, name: str, field: int) -> str:
    try:
        segment = tree.segment(name)
    except KeyError:
        return ""
    return str(segment[field]) if field < len(segment) else ""


def of_hl7apy(tree: Any, name: str, field: int, repeat: str) -> str:
    for segment in tree.children:
        if segment.name == name:
            return repeat.join(each.to_er7() for each in segment.children if each.name == f"{name}_{field}")
    return ""


def why_hl7apy_differs(message: Message, name: str, field: int, mine: str, theirs: str) -> str:
    """The named fault of hl7apy 1.3.5 that explains a difference, or ""."""
    marks = message.delimiters
    version = message.header[11].split(marks.component)[0]
    given = [part for part in mine.replace(marks.repeat, marks.component).split(marks.component) if part]
    shown = [part for part in theirs.replace(marks.repeat, marks.component).split(marks.component) if part]
    if (name, field) == ("EVN", 1) and version >= "2.7" and not theirs:
        return "EVN-1, withdrawn in 2.7, is lost"
    if given == shown:
        return "components shift over empty ones"
    if theirs == mine.lstrip("0"):
        return "a leading zero is lost"
    if not theirs and version < "2.3":
        return "a field that the version does not have is lost"
    if "#" in mine and theirs == mine.replace("#", f"{marks.escape}L{marks.escape}"):
        return "the truncation character is escaped"
    return ""


def test_python_hl7_finds_the_same_fields() -> None:
    reasons: Counter[str] = Counter()
    for text in corpus():
        try:
            tree = hl7.parse(text)
        except AssertionError:
            reasons["it turns the message down"] += 1
            continue
        message = Message(b"\xef\xbb\xbf" + text.encode())
        for name, fields in WANTED.items():
            for field in fields:
                mine = canonical(ours(message, name, field), message)
                theirs = canonical(of_python_hl7(tree, name, field), message)
                if mine != theirs:
                    lower = f"\r{name.lower()}|" in text and f"\r{name}|" not in text
                    reasons["it does not know a segment name in lower case" if lower else f"?{name}-{field}"] += 1
    assert not [reason for reason in reasons if reason.startswith("?")], reasons


@pytest.mark.slow
def test_hl7apy_finds_the_same_fields() -> None:
    reasons: Counter[str] = Counter()
    for text in corpus()[::2]:
        try:
            tree = parse_message(text, validation_level=VALIDATION_LEVEL.TOLERANT, find_groups=False)
        except Exception as fault:
            reasons[f"it turns the message down: {type(fault).__name__}"] += 1
            continue
        message = Message(b"\xef\xbb\xbf" + text.encode())
        for name, fields in WANTED.items():
            for field in fields:
                mine = canonical(ours(message, name, field), message)
                theirs = canonical(of_hl7apy(tree, name, field, message.delimiters.repeat), message)
                if mine != theirs:
                    why = why_hl7apy_differs(message, name, field, mine, theirs)
                    reasons[why or f"?{name}-{field}: {message.header[9]}"] += 1
    assert not [reason for reason in reasons if reason.startswith("?")], reasons
    assert reasons.total() < 150, reasons
