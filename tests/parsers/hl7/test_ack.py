"""Acknowledgements, read again by hl7apy and by ourselves."""

from __future__ import annotations

from typing import Any

import pytest
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message

from domain.errors import Refusal
from parsers.hl7 import refusals as codes
from parsers.hl7.ack import Ack, Outcome, acknowledge, answer_code, read_ack
from parsers.hl7.envelope import Envelope, read_envelope
from parsers.hl7.mllp import Frame, FrameReader, frame
from tests.parsers.writing import adt

AT = 1_795_500_000_000  # 2026-11-24T06:00:00Z


def envelope_of(**msh: Any) -> Envelope:
    return read_envelope(adt(msh={int(name[1:]): value for name, value in msh.items()}))


def by_hl7apy(raw: bytes) -> Any:
    return parse_message(raw.decode(), validation_level=VALIDATION_LEVEL.TOLERANT, find_groups=False)


@pytest.mark.parametrize("code", ["AA", "AE", "AR", "CA", "CE", "CR"])
@pytest.mark.parametrize("version", ["2.3", "2.4", "2.5.1", "2.8"])
def test_hl7apy_reads_what_we_answer(code: str, version: str) -> None:
    envelope = envelope_of(f5="RCV", f6="PLAN", f10="MSG 7", f11="T", f12=version)
    raw = acknowledge(envelope, code, "A9", AT, "no patient number", "PID-3[2]", codes.NO_PATIENT)
    read = by_hl7apy(raw)
    header = read.msh
    assert [header.msh_3.to_er7(), header.msh_4.to_er7()] == ["RCV", "PLAN"]
    assert [header.msh_5.to_er7(), header.msh_6.to_er7()] == ["ADT", "GEN"]
    assert header.msh_7.to_er7() == "20261124060000+0000"
    assert header.msh_9.to_er7() == "ACK^A01^ACK"
    assert [header.msh_10.to_er7(), header.msh_11.to_er7(), header.msh_12.to_er7()] == ["A9", "T", version]
    assert [read.msa.msa_1.to_er7(), read.msa.msa_2.to_er7()] == [code, "MSG 7"]
    assert read.msa.msa_3.to_er7() == "no patient number"
    errors = [segment for segment in read.children if segment.name == "ERR"]
    assert len(errors) == (0 if code in ("AA", "CA") else 1)
    if errors and version in ("2.5.1", "2.8"):
        assert errors[0].err_2.to_er7() == "PID^1^3^2"
        assert errors[0].err_3.to_er7() == "101^Required field missing^HL70357"
        assert errors[0].err_4.to_er7() == "E"
        assert errors[0].err_5.to_er7() == codes.NO_PATIENT
        assert errors[0].err_8.to_er7() == "no patient number"
    elif errors:
        assert errors[0].err_1.to_er7() == "PID^1^3^101&Required field missing&HL70357"


def test_the_senders_own_delimiters() -> None:
    envelope = read_envelope(b"MSH$*%@!$A*x$B$C$D$2026$$ADT*A08$7$P$2.5")
    raw = acknowledge(envelope, "AE", "1", AT, "cost $5", "PV1-3.4", "odd*code")
    assert raw == (
        b"MSH$*%@!$C$D$A*x$B$20261124060000+0000$$ACK*A08*ACK$1$P$2.5\r"
        b"MSA$AE$7$cost @F@5\r"
        b"ERR$$PV1*1*3*1*4$207*Application internal error*HL70357$E$odd@S@code$$$cost @F@5\r"
    )
    assert read_ack(raw) == Ack("AE", "7", "cost $5")


def test_without_any_msh() -> None:
    raw = acknowledge(None, "AR", "1", AT, "no MSH segment", "MSH", codes.NOT_HL7)
    assert raw.startswith(b"MSH|^~\\&|||||20261124060000+0000||ACK|1|P|2.5.1\rMSA|AR||no MSH segment\rERR||MSH^1|100^")
    assert read_ack(raw) == Ack("AR", "", "no MSH segment")
    assert by_hl7apy(raw).msa.msa_1.to_er7() == "AR"


def test_without_text_or_place() -> None:
    envelope = envelope_of(f9="ADT^ZZZZ")
    assert acknowledge(envelope, "AA", "1", AT).endswith(b"||ACK|1|P|2.5.1\rMSA|AA|C1\r")
    assert acknowledge(envelope, "AE", "1", AT).count(b"\r") == 2
    assert acknowledge(envelope, "AE", "1", AT, error_code="x").endswith(
        b"ERR|||207^Application internal error^HL70357|E|x\r"
    )
    old = envelope_of(f12="2.3")
    assert acknowledge(old, "AE", "1", AT, place="nowhere").endswith(b"ERR|^^^207&Application internal error&HL70357\r")


def test_control_ids_and_names_come_back_byte_for_byte() -> None:
    raw = adt(msh={3: "CLÍNICA", 10: "Nº\\T\\7", 18: "8859/1"}).decode().encode("latin-1")
    answer = acknowledge(read_envelope(raw), "AA", "1", AT)
    assert "|CLÍNICA|".encode("latin-1") in answer
    assert "MSA|AA|Nº\\T\\7".encode("latin-1") in answer
    assert answer.split(b"\r")[0].endswith(b"|2.5.1||||||8859/1")


def test_text_never_breaks_a_segment() -> None:
    answer = acknowledge(envelope_of(), "AE", "1", AT, "a\r\nMSA|AA\x0b\x1cé—")
    assert [line[:3] for line in answer.decode("latin-1").split("\r")] == ["MSH", "MSA", "ERR", ""]
    assert b"\x0b" not in answer
    assert b"\x1c" not in answer


@pytest.mark.parametrize(
    ("accept", "application", "outcome", "aa_only", "never", "code"),
    [
        ("", "", "accepted", False, True, "AA"),
        ("", "", "error", False, True, "AE"),
        ("", "", "rejected", False, True, "AR"),
        ("AL", "NE", "accepted", False, True, "CA"),
        ("AL", "", "error", False, True, "CE"),
        ("AL", "AL", "rejected", False, True, "CR"),
        ("AL", "NE", "accepted", True, True, "AA"),
        ("ER", "NE", "accepted", False, False, ""),
        ("ER", "NE", "error", False, False, "CE"),
        ("SU", "NE", "accepted", False, False, "CA"),
        ("SU", "NE", "error", False, False, ""),
        ("NE", "AL", "accepted", False, False, "AA"),
        ("", "AL", "error", False, False, "AE"),
        ("NE", "NE", "accepted", False, True, "AA"),
        ("NE", "NE", "accepted", False, False, ""),
        ("NE", "NE", "accepted", True, False, "AA"),
        ("0", "0", "accepted", False, True, "AA"),
    ],
)
def test_which_code_answers(
    accept: str, application: str, outcome: Outcome, aa_only: bool, never: bool, code: str
) -> None:
    assert answer_code(envelope_of(f15=accept, f16=application), outcome, aa_only, never) == code


def test_no_envelope_is_answered_in_original_mode() -> None:
    assert answer_code(None, "error") == "AE"


@pytest.mark.parametrize(
    ("raw", "ack"),
    [
        (b"\x0bMSH|^~\\&|A\rMSA|aa|7\r\x1c\r", Ack("AA", "7")),
        (b"MSH|^~\\&|A\nMSA|AE|7|bad \\T\\ worse\n", Ack("AE", "7", "bad & worse")),
        (b"MSH|^~\\&|A\rMSA|AE|7\rERR|||101^x|E|c|||said so", Ack("AE", "7", "said so")),
        (b"MSH|^~\\&|A\rMSA|AE|7\rERR|||101^x|E", Ack("AE", "7", "101^x")),
        (b"MSH|^~\\&|A\rMSA|AE|7\rERR|PID^1", Ack("AE", "7", "PID^1")),
        (b"MSH|^~\\&|A\rMSA|AR", Ack("AR", "")),
    ],
)
def test_reading_answers(raw: bytes, ack: Ack) -> None:
    assert read_ack(raw) == ack


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", codes.EMPTY),
        (b"hello", codes.NOT_HL7),
        (b"MSH|^~\\&|A", codes.NOT_ACK),
        (b"MSH|^~\\&|A\rMSA", codes.NOT_ACK),
        (b"MSH|^~\\&|A\rMSA||7", codes.NOT_ACK),
    ],
)
def test_what_is_no_answer(raw: bytes, code: str) -> None:
    with pytest.raises(Refusal) as caught:
        read_ack(raw)
    assert caught.value.code == code


def test_the_bytes_of_mllp_never_come_back_in_an_answer() -> None:
    envelope = read_envelope(b"MSH|^~\\&|A|B|||20261123||ADT^A01|7\x1c|P|2.5|||||\x0b|8859/\x1c\rPID|")
    written = acknowledge(envelope, "AA", "1", 0)
    assert FrameReader().feed(frame(written)) == [Frame(written)]
    assert read_ack(written) == Ack("AA", "7")
