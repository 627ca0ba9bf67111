"""Decoding, line ends, delimiters, escapes."""

from __future__ import annotations

import pytest

from domain.errors import Refusal
from parsers.hl7 import refusals as codes
from parsers.hl7.adt import read_adt
from parsers.hl7.charsets import decoded, encoded
from parsers.hl7.encoding import STANDARD, Message, delimiters_of, unescape
from tests.parsers.writing import DEFAULT, adt, event

HEADER = "MSH|^~\\&|ADT|GEN|||20261123100000||ADT^A01|C1|P|2.5"


def refusal(raw: bytes) -> Refusal:
    with pytest.raises(Refusal) as caught:
        Message(raw)
    return caught.value


@pytest.mark.parametrize("raw", [b"", b"\r\n", b"\x0b\x1c\r", b" \x00\t"])
def test_nothing_is_empty(raw: bytes) -> None:
    assert refusal(raw).code == codes.EMPTY


@pytest.mark.parametrize("raw", [b"PID|1", b"MSH", b"MSHX", b"MSH ^~", b"MSH\r|^~\\&", b"EVN|MSH|", b"\xff\xfe", b"{}"])
def test_without_a_usable_msh_it_is_not_hl7(raw: bytes) -> None:
    assert refusal(raw).code == codes.NOT_HL7


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_line_ends(end: str) -> None:
    message = Message(f"{HEADER}{end}PID|1||7{end}{end}".encode())
    pid = message.first("PID")
    assert pid is not None
    assert pid[3] == "7"


@pytest.mark.parametrize(
    ("before", "after"), [(b"\x0b", b"\x1c\r"), (b"\r\n", b""), (b"\xef\xbb\xbf", b""), (b"\x00\x00", b"\x00")]
)
def test_what_surrounds_a_message_is_taken_off(before: bytes, after: bytes) -> None:
    assert Message(before + HEADER.encode() + after).header[9] == "C1"


def test_lines_before_msh_are_passed_over() -> None:
    assert Message(b"FHS|^~\\&\rBHS|^~\\&\r" + HEADER.encode()).header[9] == "C1"


@pytest.mark.parametrize("end", ["\r", "\n"])
def test_only_the_first_of_glued_messages_is_read(end: str) -> None:
    message = Message(end.join([HEADER, "PID|1||7", HEADER, "PID|1||8", "DG1|1||I10"]).encode())
    assert message.all("PID") == ["PID|1||7"]
    assert message.all("DG1") == []
    assert message.notes == ["glued-messages"]


def test_a_header_inside_a_field_glues_nothing() -> None:
    message = Message(f"{HEADER}\rNTE|1|x\rNTE|2|\\.br\\MSH|\rPID|1||7".encode())
    assert message.notes == []
    assert len(message.all("NTE")) == 2


def test_segment_names_in_lower_case() -> None:
    message = Message(f"{HEADER}\rpid|1||7\rpv1|1|E".encode())
    assert message.all("PID") == ["PID|1||7"]
    assert message.all("PV1") == ["PV1|1|E"]


def test_a_longer_name_is_another_segment() -> None:
    message = Message(f"{HEADER}\rPIDX|1||7\rPID".encode())
    assert message.first("PID") is None
    assert message.first("PID") is None, "and stays none"


def test_a_raw_cr_inside_a_field_makes_a_stray_line() -> None:
    message = Message(f"{HEADER}\rPID|1||7||DOE\rJANE||1980\rPV1|1|E".encode())
    assert message.all("PV1") == ["PV1|1|E"]


def test_a_z_segment_is_within_reach() -> None:
    message = Message(f"{HEADER}\rZPV|1||x".encode())
    assert [message.fields(line)[3] for line in message.all("ZPV")] == ["x"]


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("^~\\&", "^~\\&"),
        ("^~\\&#", "^~\\&"),
        ("^~\\", "^~\\&"),
        ("^", "^~\\&"),
        ("", "^~\\&"),
        ("*%@!", "*%@!"),
        ("~^\\&", "~^\\&"),
        ("^^\\&", "^~\\&"),
        ("^A\\ ", "^~\\&"),
        ("^~|&", "^~\\&"),
        ("~", "~\x11\\&"),
        ("~~~~", "~\x11\\&"),
        ("^\u00e9\\&", "^~\\&"),
    ],
)
def test_delimiters_come_from_msh_2_where_they_can_be_used(encoding: str, expected: str) -> None:
    found = delimiters_of("|", encoding)
    assert found.component + found.repeat + found.escape + found.sub == expected


def test_custom_delimiters_all_through() -> None:
    read = read_adt(
        b"MSH$*%@!$ADT$GEN$$$20261123$$ADT*A01$C1$P$2.5\rPID$1$$7***AUTH!1.2!ISO*MR%8***B*SS$$RO@F@E*J", DEFAULT
    )
    assert read.patient == "AUTH|7"
    assert read.family_name == "RO$E"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("a\\F\\b", "a|b"),
        ("a\\S\\b\\T\\c\\R\\d\\E\\e", "a^b&c~d\\e"),
        ("\\E\\F\\E\\", "\\F\\"),
        ("\\X41\\", "A"),
        ("\\XC3A9\\", "é"),
        ("\\XE9\\", "é"),
        ("\\X4\\", "\\X4\\"),
        ("\\X\\", "\\X\\"),
        ("\\Xzz\\", "\\Xzz\\"),
        ("a\\.br\\b", "a\nb"),
        ("\\.sp2\\", "\\.sp2\\"),
        ("\\H\\bold\\N\\", "bold"),
        ("\\P\\", "#"),
        ("\\Q\\", "\\Q\\"),
        ("C:\\dir\\file", "C:\\dir\\file"),
        ("end\\", "end\\"),
        ("\\", "\\"),
    ],
)
def test_escapes(text: str, expected: str) -> None:
    assert unescape(text, delimiters_of("|", STANDARD)) == expected


def test_an_escaped_delimiter_does_not_split() -> None:
    assert event(pid={5: "O\\S\\NEIL^SE\\T\\AN"}).family_name == "O^NEIL"
    assert event(pid={5: "O\\S\\NEIL^SE\\T\\AN"}).given_name == "SE&AN"


def test_text_is_the_first_of_everything_trimmed() -> None:
    message = Message(HEADER.encode())
    assert message.text(" a&b^c~d ") == "a"
    assert message.text('""') == '""'
    assert message.component("a^b&c^d~e^f", 2) == "b"
    assert message.component("a^b~c^d^e", 3) == ""
    assert message.field_at("DG1|1||I10", 3) == "I10"
    assert message.field_at("DG1|1", 3) == ""


@pytest.mark.parametrize(
    ("stated", "codec", "note"),
    [
        ("8859/1", "latin-1", ""),
        ("8859/15~UNICODE", "iso8859-15", ""),
        ("8859/15 ", "iso8859-15", ""),
        ("UNICODE UTF-8", "utf-8", ""),
        ("utf-8", "utf-8", ""),
        ("", "utf-8", ""),
        ("", "cp1252", "charset-fallback"),
        ("ASCII", "cp1252", "charset-fallback"),
        ("NONSENSE", "utf-8", ""),
        ("UNICODE", "cp1252", "charset-fallback"),
    ],
)
def test_charsets(stated: str, codec: str, note: str) -> None:
    raw = f"{HEADER}||||||{stated}\rPID|1||7||MUÑOZ".encode(codec)
    text, found = decoded(raw)
    assert "MUÑOZ" in text
    assert found == note


def test_the_profiles_charset_comes_before_the_guess() -> None:
    assert decoded(f"{HEADER}\rPID|1||7||MUÑOZ".encode("cp850"), "cp850") == (f"{HEADER}\rPID|1||7||MUÑOZ", "")


def test_bytes_that_mean_nothing_anywhere_are_still_read() -> None:
    assert decoded(b"MSH|^~\\&|\x81\xe9") == ("MSH|^~\\&|\x81\xe9", "charset-fallback")


def test_byte_order_marks() -> None:
    assert decoded(b"\xef\xbb\xbf" + "MSH|é".encode())[0] == "MSH|é"
    stated = f"{HEADER}||||||8859/1|é"
    assert decoded(b"\xef\xbb\xbf" + stated.encode()) == (stated, ""), "the mark knows better than MSH-18"
    assert decoded("MSH|^~\\&|é".encode("utf-16"))[0] == "MSH|^~\\&|é"


@pytest.mark.parametrize("raw", [b"\xe9", b"MSH\xe9", b"MSH", b"MSHA\xe9BA"])
def test_a_broken_header_states_no_charset(raw: bytes) -> None:
    assert decoded(raw)[1] == "charset-fallback" or raw.isascii()


def test_the_event_carries_the_fallback_note() -> None:
    raw = adt(pid={5: "MUÑOZ^ANA"}).decode().encode("cp1252")
    read = read_adt(raw, DEFAULT)
    assert read.family_name == "MUÑOZ"
    assert "charset-fallback" in read.notes


@pytest.mark.parametrize(
    ("stated", "codec"), [("8859/1", "latin-1"), ("UNICODE UTF-8", "utf-8"), ("", "utf-8"), ("ASCII", "utf-8")]
)
def test_text_is_written_as_its_header_says_and_read_again(stated: str, codec: str) -> None:
    text = f"MSH|^~\\&|A|B|||20260301||ADT^A04|1|P|2.5.1||||||{stated}\rPID|1||7^^^H^MR||NU\u00d1EZ^ANA\r"
    raw = encoded(text)
    assert raw == text.encode(codec)
    assert decoded(raw, "")[0] == text


def test_text_beyond_the_stated_charset_is_written_in_utf_8() -> None:
    text = "MSH|^~\\&|A|B|||20260301||ADT^A04|1|P|2.5.1||||||8859/1\rPID|1||7^^^H^MR||\u0160IMEK^ANA\r"
    assert encoded(text) == text.encode()
