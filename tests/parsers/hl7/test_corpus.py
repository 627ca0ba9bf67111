"""Recorded and damaged messages: nothing but `Refusal`, and the same fields that other parsers find."""

from __future__ import annotations

from collections import Counter
from itertools import zip_longest
from typing import Any

import hl7
import msgspec
import pytest
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.errors import Refusal
from domain.patient.events import DELETED, AdtEvent
from domain.times import CALIFORNIA
from parsers.hl7 import refusals as codes
from parsers.hl7.adt import patient_key_of, read_adt
from parsers.hl7.batch import split_messages
from parsers.hl7.encoding import Message
from parsers.hl7.mllp import FrameReader, frame
from parsers.hl7.timestamps import instant
from tests.fuzz import laws
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
    "EVN": (1, 2, 6, 7),
    "PID": (2, 3, 4, 5, 7, 8, 11, 13, 18, 29, 30),
    "PV1": (2, 3, 4, 14, 18, 19, 36, 37, 39, 44, 45, 50),
    "MRG": (1, 3, 4, 5, 6),
    "DG1": (3, 21),
    "IN1": (36,),
    "IN2": (8,),
    "OBX": (3, 5),
}
"""Every field that the reader takes anything from, the places that profiles name among them."""
NO_SEGMENT = "no segment"
OF_PYTHON_HL7 = Counter(
    {
        "a name without any field counts as a segment": 35,
        "it reads two glued messages as one": 22,
        "it does not know a segment name in lower case": 11,
        "it turns the message down: AssertionError": 1,
    }
)
OF_HL7APY = Counter(
    {
        "EVN-1, withdrawn in 2.7, is lost": 29,
        "a name without any field counts as a segment": 11,
        "components shift over empty ones": 7,
        "it turns the message down: InvalidName": 6,
        "it turns the message down: UnsupportedVersion": 5,
        "it turns the message down: InvalidEncodingChars": 4,
        "a field that the version does not have is lost": 3,
        "a leading zero is lost": 6,
        "the truncation character is escaped": 1,
    }
)
"""Why the others find something else in a field, and in how many: a cause that is not here, or more of one, fails."""


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


TIMED = {"MSH": (7,), "EVN": (2, 6), "PID": (29,), "PV1": (44, 45)}
UNREADABLE = Counter(
    {"a few digits": 7, "with slashes": 4, "words": 3, "no such hour, minute or day": 1, "too many digits": 1}
)
"""Times in the corpus that name no instant, by what is wrong with them: no other kind, and no more of each."""


def why_unreadable(text: str) -> str:
    if "/" in text:
        return "with slashes"
    if not text.isdigit():
        return "words"
    if len(text) in (8, 10, 12, 14):
        return "no such hour, minute or day"
    return "a few digits" if len(text) < 8 else "too many digits"


def test_every_form_of_time_in_the_corpus_is_read() -> None:
    lengths: Counter[int] = Counter()
    unreadable: Counter[str] = Counter()
    for text in corpus():
        message = Message(as_sent(text))
        for name, fields in TIMED.items():
            segment = ["", *message.header] if name == "MSH" else message.first(name)
            for sent in (message.text(segment[field]) for field in fields if segment):
                if sent and sent != DELETED:
                    if instant(sent, CALIFORNIA) is None:
                        unreadable[why_unreadable(sent)] += 1
                    else:
                        lengths[len(sent)] += 1
    assert unreadable <= UNREADABLE, unreadable
    assert lengths.keys() >= {8, 12, 14, 19}, "a date, a minute, a second, one with an offset"


def test_the_corpus_as_one_file() -> None:
    texts = [as_sent(text).strip(b"\r\n \t") for text in corpus()]
    for joined in (b"\r".join(texts), b"".join(frame(text) for text in texts)):
        assert split_messages(joined) == [each for text in texts for each in split_messages(text)]
    reader = FrameReader()
    stream = b"".join(frame(text) for text in texts)
    found = [each.body for i in range(0, len(stream), 1000) for each in reader.feed(stream[i : i + 1000])]
    assert found == texts


def test_the_corpus_keeps_every_law() -> None:
    for text in corpus():
        for profile in laws.PROFILES:
            laws.message(as_sent(text), profile)


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
def test_damaged_messages_keep_every_law(data: st.DataObject) -> None:
    raw = damaged(data)
    laws.message(raw, laws.profile_for(raw))
    laws.batch(raw)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200).map(lambda tail: b"MSH|^~\\&" + tail) | st.binary(max_size=60))
def test_noise_keeps_every_law(raw: bytes) -> None:
    laws.message(raw, laws.profile_for(raw))


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


def ours(message: Message, name: str, field: int) -> list[str]:
    """The field in each segment of that name."""
    if name == "MSH":
        return [canonical(message.header[field - 1], message)]
    return [canonical(message.fields(line)[field], message) for line in message.all(name)]


def of_python_hl7(tree: Any, message: Message, name: str, field: int) -> list[str]:
    segments = [segment for segment in tree if str(segment[0]) == name]
    return [canonical(str(each[field]) if field < len(each) else "", message) for each in segments]


def of_hl7apy(tree: Any, message: Message, name: str, field: int) -> list[str]:
    repeat = message.delimiters.repeat
    return [
        canonical(repeat.join(each.to_er7() for each in segment.children if each.name == f"{name}_{field}"), message)
        for segment in tree.children
        if segment.name == name
    ]


def why_python_hl7_differs(text: str, name: str, mine: list[str], theirs: list[str]) -> str:
    """The named fault of python-hl7 0.4.5 that explains a difference, or ""."""
    if not theirs and f"\r{name.lower()}|" in text and f"\r{name}|" not in text:
        return "it does not know a segment name in lower case"
    if not mine and theirs == [""]:
        return "a name without any field counts as a segment"
    if len(theirs) > len(mine) and text.count("MSH" + text[3:4]) > 1:
        return "it reads two glued messages as one"
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
    if (mine, theirs) == (NO_SEGMENT, ""):
        return "a name without any field counts as a segment"
    if not theirs and version < ("2.5" if (name, field) == ("EVN", 7) else "2.3"):
        return "a field that the version does not have is lost"
    if "#" in mine and theirs == mine.replace("#", f"{marks.escape}L{marks.escape}"):
        return "the truncation character is escaped"
    return ""


def tolerant(text: str) -> Any:
    return parse_message(text, validation_level=VALIDATION_LEVEL.TOLERANT, find_groups=False)


def turned_down(reasons: Counter[str], parse: Any, text: str) -> Any:
    """The tree, or None when the other parser does not read the message at all; that is counted."""
    try:
        return parse(text)
    except Exception as fault:
        reasons[f"it turns the message down: {type(fault).__name__}"] += 1
        return None


def test_python_hl7_finds_the_same_fields() -> None:
    reasons: Counter[str] = Counter()
    for text in corpus():
        tree = turned_down(reasons, hl7.parse, text)
        if tree is None:
            continue
        message = Message(b"\xef\xbb\xbf" + text.encode())
        for name, fields in WANTED.items():
            for field in fields:
                mine, theirs = ours(message, name, field), of_python_hl7(tree, message, name, field)
                if mine != theirs:
                    reasons[why_python_hl7_differs(text, name, mine, theirs) or f"?{name}-{field}"] += 1
    assert reasons <= OF_PYTHON_HL7, reasons


@pytest.mark.slow
def test_hl7apy_finds_the_same_fields() -> None:
    reasons: Counter[str] = Counter()
    for text in corpus()[::2]:
        tree = turned_down(reasons, tolerant, text)
        if tree is None:
            continue
        message = Message(b"\xef\xbb\xbf" + text.encode())
        for name, fields in WANTED.items():
            for field in fields:
                mine, theirs = ours(message, name, field), of_hl7apy(tree, message, name, field)
                for one, other in zip_longest(mine, theirs, fillvalue=NO_SEGMENT):
                    if one != other:
                        why = why_hl7apy_differs(message, name, field, one, other)
                        reasons[why or f"?{name}-{field}: {message.header[9]}"] += 1
    assert reasons <= OF_HL7APY, reasons
