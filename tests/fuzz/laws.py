"""What holds for any bytes from outside, however damaged. Each law raises AssertionError, or what the product raised.

Only `Refusal` is an answer; anything else that a parser raises goes through and is a surprise to whoever runs the laws.
Used by `make fuzz` over millions of inputs and by the tests over hundreds. Nothing here needs more than the parsers.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Final
from zlib import crc32
from zoneinfo import ZoneInfo

import msgspec

from domain.errors import Refusal
from domain.patient.events import AdtEvent, When
from domain.times import CALIFORNIA, DAY, FIRST_YEAR, LAST_YEAR, rfc3339
from parsers.hl7 import refusals as codes
from parsers.hl7.ack import acknowledge, read_ack
from parsers.hl7.adt import patient_key_of, read_adt
from parsers.hl7.batch import Splitter, split_messages
from parsers.hl7.dialects import CLASSES, SOURCES
from parsers.hl7.encoding import unescape
from parsers.hl7.envelope import Envelope, read_envelope
from parsers.hl7.mllp import CR, FS, VT, Frame, FrameReader, frame
from parsers.hl7.profiles import Facility, Place, SenderProfile, place_of
from parsers.hl7.timestamps import birth_date, built, instant, moment
from parsers.records.custody import encode_custody, load_custody, read_custody
from parsers.records.files import Loaded
from parsers.records.roster import read_roster
from parsers.records.roster_documents import encode_roster
from parsers.records.roster_file import load_roster

PROFILES: Final = (
    SenderProfile("default"),
    SenderProfile("hospital", authority="GEN", authorities={"GENERAL": "GEN"}, sources=SOURCES["hl7"], a8_creates=True),
    SenderProfile(
        "exchange",
        zone=ZoneInfo("America/New_York"),
        encoding="cp1252",
        facility_places=(Place("EVN", 7), Place("PV1", 39), Place("PV1", 3, 4), Place("ZFA", 4), Place("MSH", 4)),
        facilities={"GEN": Facility("GEN", "hospital"), "BAY": Facility("BAY", "snf")},
        homeless_place=place_of("OBX[HOMELESS]-5"),
    ),
    SenderProfile(
        "custody",
        mrn_types=("PCN", "MR"),
        never_types=frozenset(),
        classes=CLASSES["custody"],
        class_otherwise="custody",
        class_empty="custody",
        observation_place=None,
        facility_type="jail",
        homeless_place=Place("ZPV", 5),
    ),
)
EARLIEST: Final = round(datetime(FIRST_YEAR, 1, 1, tzinfo=UTC).timestamp()) * 1000 - DAY
LATEST: Final = round(datetime(LAST_YEAR + 1, 1, 1, tzinfo=UTC).timestamp()) * 1000 + 2 * DAY
_PLACE: Final = re.compile(r"|[A-Z][A-Z0-9]{2}(-[0-9]+(\.[0-9]+)?(\[[0-9]+\])?)?", re.ASCII)
_ANSWERED: Final = datetime(2026, 11, 23, 18, tzinfo=UTC)
_EVENT: Final = msgspec.msgpack.Decoder(AdtEvent)
_ENCODE: Final = msgspec.msgpack.Encoder()
_OF_FRAMES: Final = bytes((VT, FS))


def profile_for(raw: bytes) -> SenderProfile:
    """One of `PROFILES`, the same for the same bytes."""
    return PROFILES[crc32(raw) % len(PROFILES)]


def read(raw: bytes, profile: SenderProfile) -> AdtEvent | Refusal:
    """The event or the refusal."""
    try:
        return read_adt(raw, profile)
    except Refusal as refused:
        return refused


def header(raw: bytes) -> Envelope | Refusal:
    """The envelope or the refusal."""
    try:
        return read_envelope(raw)
    except Refusal as refused:
        return refused


def message(raw: bytes, profile: SenderProfile) -> AdtEvent | Refusal:
    """All laws of one message: the full read, the header, the answer."""
    answer = read(raw, profile)
    envelope = header(raw)
    if isinstance(answer, AdtEvent):
        assert _ENCODE.encode(read(raw, profile)) == (encoded := _ENCODE.encode(answer)), "two reads differ"
        assert _EVENT.decode(encoded) == answer, "an event does not survive its codec"
        assert patient_key_of(raw, profile) == (answer.patient or None), "the key alone is another"
        for at in times_of(answer):
            assert EARLIEST <= at <= LATEST, "a time beyond the years that are believed"
            rfc3339(at)
        assert isinstance(envelope, Envelope), "the whole is read, its header is not"
        assert envelope.trigger == answer.trigger, "the header has another trigger"
        if all(map(str.isascii, envelope.fields)) or not (profile.encoding or "charset-fallback" in answer.notes):
            assert envelope.control_id == answer.control_id, "the header has another control ID"
    else:
        refused(answer)
        unusable = answer.code in (codes.EMPTY, codes.NOT_HL7)
        assert unusable == isinstance(envelope, Refusal), "header and whole disagree on whether this is HL7"
    if isinstance(envelope, Refusal):
        assert isinstance(answer, Refusal)
        assert (envelope.code, envelope.place) == (answer.code, answer.place), "the header is refused otherwise"
    answered(envelope if isinstance(envelope, Envelope) else None, answer)
    return answer


def refused(refusal: Refusal) -> None:
    """A refusal has a known code and names a place by segment, field and repetition."""
    assert refusal.code in codes.REFUSALS, "a code that is not listed"
    assert _PLACE.fullmatch(refusal.place), "a place that is none"


def times_of(event: AdtEvent) -> Iterator[int]:
    """Every instant in an event."""
    yield from (event.built, event.recorded)
    visit = event.visit
    for when in (event.occurred, event.died, visit and visit.admitted, visit and visit.departed):
        if isinstance(when, When):
            yield when.at


def answered(envelope: Envelope | None, answer: AdtEvent | Refusal) -> None:
    """Our answer is one frame, is read again, and names the message it answers."""
    at = round(_ANSWERED.timestamp()) * 1000
    if isinstance(answer, Refusal):
        written = acknowledge(envelope, "AE", "77", at, "no|good", answer.place, answer.code)
    else:
        written = acknowledge(envelope, "AA", "77", at)
    ack = read_ack(written)
    named = "" if envelope is None else unescape(envelope.fields[9], envelope.delimiters)
    assert ack.control_id == named.translate({VT: " ", FS: " "}).strip(), "the answer names another message"
    assert (ack.code, ack.text) == (("AE", "no|good") if isinstance(answer, Refusal) else ("AA", ""))
    assert FrameReader().feed(frame(written)) == [Frame(written)], "the answer is not one frame"


def stream(data: bytes) -> None:
    """Cut anywhere, a stream gives the same frames and the same count of junk; nothing is held that is too long."""
    chance = random.Random(crc32(data))
    limit = chance.choice((1, 7, 64, 1_000_000))
    whole = FrameReader(limit)
    expected = whole.feed(data)
    cut = FrameReader(limit)
    found: list[Frame] = []
    begin = 0
    while begin < len(data):
        end = begin + 1 + int(chance.expovariate(chance.choice((1.0, 0.1, 0.01))))
        found += cut.feed(data[begin:end])
        assert len(cut._buffer) <= limit + end - begin + 1, "more is held than the limit and a piece"
        begin = end
    assert found == expected, "frames depend on how the stream is cut"
    assert (cut.junk_bytes, cut.mid_frame) == (whole.junk_bytes, whole.mid_frame)
    assert cut.flush() == whole.flush()
    for each in expected:
        assert len(each.body) <= limit
        assert not each.oversize or len(each.body) == limit
        assert bytes((FS, CR)) not in each.body[1:], "a frame goes on past its end"


def batch(data: bytes) -> None:
    """The messages of a file stand in it in order, none blank, and splitting one again gives that one."""
    whole = Splitter().feed(data, last=True)
    cut, width = Splitter(), 1 + crc32(data) % 997
    assert whole == [
        piece
        for begin in range(0, len(data) + 1, width)
        for piece in cut.feed(data[begin : begin + width], last=begin + width > len(data))
    ], "pieces depend on how the file is cut"
    at = 0
    for each in split_messages(data):
        assert each, "a blank message"
        at = data.find(each, at)
        assert at >= 0, "a message that is not in the file"
        at += len(each)
        assert split_messages(each) == [each.removeprefix(b"\xef\xbb\xbf").strip(b"\x0b\x1c\r\n\t \x00")]


def time(text: str) -> None:
    """All readers of a time agree, within the years that are believed."""
    at = instant(text, CALIFORNIA)
    assert at is None or EARLIEST <= at <= LATEST
    assert built(text, CALIFORNIA)[0] == at
    when = moment(text, CALIFORNIA, None, "EVN-6")
    assert when is None or when.at == at
    assert moment(text, CALIFORNIA, 0, "EVN-6") == moment(text, ZoneInfo("UTC"), None, "EVN-6")
    day = birth_date(text)
    assert day is None or date.fromisoformat(day).isoformat() == day


def rows(data: bytes) -> None:
    """Roster and custody files and records: faults or documents that survive their codec, never half of both."""
    roster, custody = load_roster(data), load_custody(data)
    _faults(roster, data)
    _faults(custody, data)
    for document in roster.documents:
        assert read_roster(encode_roster(document)) == document
    for record in custody.documents:
        assert read_custody(encode_custody(record)) == record
    for reader, code in ((read_roster, "bad-roster"), (read_custody, "bad-custody")):
        try:
            reader(data)
        except Refusal as refusal:
            given = refusal.code
        else:
            given = code
        assert given == code, "refused with another topic's code"


def _faults(loaded: Loaded[object], data: bytes) -> None:
    assert loaded.documents or loaded.faults, "neither documents nor faults"
    lines = data.count(b"\n") + data.count(b"\r") + 1
    for fault in loaded.faults:
        assert 1 <= fault.line <= lines, "a fault on a line that the file does not have"
        assert fault.reason
