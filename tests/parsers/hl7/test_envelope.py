"""The header alone."""

from __future__ import annotations

import pytest

from domain.errors import Refusal
from parsers.hl7 import refusals as codes
from parsers.hl7.adt import read_adt
from parsers.hl7.envelope import read_envelope
from tests.parsers.writing import DEFAULT, adt


def test_every_field_that_a_listener_needs() -> None:
    envelope = read_envelope(
        adt(
            msh={3: "A\\T\\B^1.2^ISO", 4: " GEN ^x", 9: "adt^a01^ADT_A01", 11: "P^T", 12: "2.5^USA", 15: "AL", 16: "ne"}
        )
    )
    assert (envelope.sending_app, envelope.sending_facility) == ("A&B", "GEN")
    assert (envelope.message_type, envelope.trigger) == ("ADT", "A01")
    assert (envelope.control_id, envelope.processing_id, envelope.version) == ("C1", "P", "2.5")
    assert (envelope.accept_ack, envelope.application_ack) == ("AL", "NE")
    assert envelope.fields[9] == "C1", "fields[n - 1] is MSH-n"
    assert envelope.charset == ""


def test_a_header_of_nothing_but_delimiters() -> None:
    envelope = read_envelope(b"MSH|^~\\&")
    assert (envelope.message_type, envelope.trigger, envelope.control_id) == ("", "", "")
    assert read_envelope(b"MSH|^~\\&|||||||ADT").trigger == ""


@pytest.mark.parametrize("before", [b"", b"\x0b", b"\xef\xbb\xbf", b"\r\n", b"FHS|^~\\&\r", b"BHS|^~\\&\r\n"])
def test_msh_is_found_where_it_begins_a_line(before: bytes) -> None:
    assert read_envelope(before + adt()).control_id == "C1"


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", codes.EMPTY),
        (b"\x0b\x1c\r \n", codes.EMPTY),
        (b"PID|1|MSH|", codes.NOT_HL7),
        (b"MSH", codes.NOT_HL7),
        (b"MSHX^~", codes.NOT_HL7),
    ],
)
def test_without_a_usable_msh_it_is_refused(raw: bytes, code: str) -> None:
    with pytest.raises(Refusal) as caught:
        read_envelope(raw)
    assert caught.value.code == code


@pytest.mark.parametrize(("stated", "codec"), [("", "utf-8"), ("", "cp1252"), ("8859/1", "latin-1")])
def test_names_beyond_ascii(stated: str, codec: str) -> None:
    envelope = read_envelope(adt(msh={3: "CLÍNICA", 18: stated}).decode().encode(codec))
    assert envelope.sending_app == "CLÍNICA"
    assert envelope.fields[2].encode("latin-1") == "CLÍNICA".encode(codec), "kept byte for byte"
    assert envelope.charset == ("iso8859-1" if stated else "")


def test_a_byte_that_only_windows_knows() -> None:
    raw = adt(msh={10: "7\u2013A"}).decode().encode("cp1252")
    assert read_envelope(raw).control_id == "7\u2013A" == read_adt(raw, DEFAULT).control_id


def test_a_message_in_utf_16_has_a_header_too() -> None:
    raw = adt(msh={10: "7\u0130"}).decode().encode("utf-16")
    assert read_envelope(raw).control_id == "7\u0130" == read_adt(raw, DEFAULT).control_id


def test_the_mark_knows_better_than_msh_18_and_nul_is_no_blank() -> None:
    raw = b"\xef\xbb\xbf" + adt(msh={10: "7\u00e9", 18: "8859/1"})
    assert read_envelope(raw).control_id == "7\u00e9" == read_adt(raw, DEFAULT).control_id
    assert read_envelope(b"MSH|^~\\&" + b"|" * 8 + b"7\x00\rPID|").control_id == "7\x00"


def test_a_hex_escape_in_the_header() -> None:
    assert read_envelope(adt(msh={3: "A\\XC4B0\\"})).sending_app == "Aİ"
