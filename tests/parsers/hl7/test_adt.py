"""One message as an event: trigger, times, patient, links. The visit has a file of its own."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from domain.errors import Refusal
from domain.patient.events import DELETED, AdtEvent, Identifier, Merge, When
from parsers.hl7 import refusals as codes
from parsers.hl7.adt import patient_key_of, read_adt
from parsers.hl7.profiles import SenderProfile
from tests.parsers.writing import DEFAULT, adt, event


def at(text: str) -> int:
    """California wall time of 23 November 2026 as ms UTC."""
    return round(datetime.fromisoformat(f"2026-11-23T{text}:00-08:00").astimezone(UTC).timestamp() * 1000)


def refusal(raw: bytes) -> Refusal:
    with pytest.raises(Refusal) as caught:
        read_adt(raw, DEFAULT)
    return caught.value


def test_a_usual_message() -> None:
    assert event("A01", pv1=None) == AdtEvent(
        trigger="A01",
        sender="default",
        control_id="C1",
        built=at("10:00"),
        recorded=at("09:59"),
        occurred=None,
        patient="GEN|100",
        identifiers=(Identifier("GEN", "100", "MR"),),
        birth_date="1980-01-02",
        sex="F",
        family_name="RIVERA",
        given_name="ANA",
        notes=("zone-from-profile",),
    )


@pytest.mark.parametrize("number", range(1, 63))
def test_every_trigger_is_read(number: int) -> None:
    assert event(f"A{number:02d}").trigger == f"A{number:02d}"


@pytest.mark.parametrize(
    ("kind", "trigger"), [("ADT^A08", "A08"), ("adt^a08^x", "A08"), (" ADT ^ A08 ", "A08"), ("ADT^A0X", "A0X")]
)
def test_the_trigger_is_msh_9_2(kind: str, trigger: str) -> None:
    assert event(msh={9: kind}, evn={1: "A01"}).trigger == trigger


def test_evn_1_is_only_noted() -> None:
    assert event("A08", evn={1: "A01"}).notes == ("evn-1-differs", "zone-from-profile")
    assert event("A08", evn={1: "A08"}).notes == ("zone-from-profile",)
    assert event("A08", evn={1: '""'}).notes == ("zone-from-profile",)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("", codes.NO_TRIGGER),
        ("ADT", codes.NO_TRIGGER),
        ("ADT^", codes.NO_TRIGGER),
        ("ADT^^ADT_A01", codes.NO_TRIGGER),
        ("ADT^A1", codes.NO_TRIGGER),
        ("ADT^A001", codes.NO_TRIGGER),
        ("ORU^R01", codes.NOT_ADT),
        ("ADT_A01", codes.NOT_ADT),
    ],
)
def test_no_usable_msh_9(kind: str, code: str) -> None:
    assert refusal(adt(msh={9: kind})).code == code


@pytest.mark.parametrize(
    ("evn", "msh7", "recorded", "built", "occurred"),
    [
        ({2: "202611230959"}, "202611231000", "09:59", "10:00", None),
        ({2: ""}, "202611231000", "10:00", "10:00", None),
        ({2: "junk"}, "202611231000", "10:00", "10:00", None),
        ({2: "202611230959"}, "", "09:59", "09:59", None),
        ({2: "", 6: "202611230800"}, "", "08:00", "08:00", "08:00"),
        ({2: "202611230959", 6: "202611230800"}, "202611231000", "09:59", "10:00", "08:00"),
        ({2: "202611230959", 6: "1"}, "202611231000", "09:59", "10:00", None),
        ({2: "20261123"}, "202611231000", "10:00", "10:00", None),
        ({2: "20261123"}, "202611241000", "00:00", None, None),
        ({2: "2026"}, "202611231000", "10:00", "10:00", None),
    ],
)
def test_three_times(evn: dict[int, str], msh7: str, recorded: str, built: str | None, occurred: str | None) -> None:
    read = event(evn=evn, msh={7: msh7})
    assert read.recorded == at(recorded)
    assert built is None or read.built == at(built)
    assert read.occurred == (None if occurred is None else When(at(occurred), False, "EVN-6"))


def test_without_any_time_it_is_refused() -> None:
    assert refusal(adt(evn=None, msh={7: ""})).code == codes.NO_TIME
    assert refusal(adt(evn={2: "01/15/2026"}, msh={7: "now"})).code == codes.NO_TIME
    assert event(evn=None).recorded == at("10:00")


def test_the_offset_of_msh_7_holds_for_the_message() -> None:
    read = event(msh={7: "20261123130000-0500"}, evn={2: "20261123125900", 6: "20261123110000-0600"})
    assert (read.built, read.recorded) == (at("10:00"), at("09:59"))
    assert read.occurred == When(at("09:00"), False, "EVN-6")
    assert read.notes == ()


@pytest.mark.parametrize("given", [{"pid": None}, {"pid": {3: ""}}, {"pid": {3: "^^^GEN^MR"}}, {"pid": {3: '""'}}])
def test_without_a_patient_it_is_refused(given: dict[str, dict[int, str] | None]) -> None:
    raw = adt("A01", **given)
    found = refusal(raw)
    assert found.code == codes.NO_PATIENT
    assert found.place == ("PID" if given["pid"] is None else "PID-3")
    assert patient_key_of(raw, DEFAULT) is None
    assert event("A20", **given).patient == ""
    assert event("Z99", **given).patient == ""


@pytest.mark.parametrize(
    ("pid", "patient"),
    [
        ({3: "100"}, "GEN|100"),
        ({3: "1^^^A^PI~2^^^B^MR"}, "B|2"),
        ({3: "1^^^A^XX~2^^^B^PI"}, "B|2"),
        ({3: "1^^^A^MA~2^^^B^XX"}, "B|2"),
        ({3: "1^^^MEDI-CAL~2^^^B^XX"}, "B|2"),
        ({3: "1^^^MEDI-CAL^MA"}, "MEDI-CAL|1"),
        ({3: "1^^^A^SS~2^^^SSA~3^^^B^VN~4^^^C^XX"}, "C|4"),
        ({3: "1^^^A&1.2&ISO^MR"}, "A|1"),
        ({3: "1^^^&1.2&ISO^MR"}, "1.2|1"),
        ({3: '1^^^""^MR'}, "GEN|1"),
        ({3: "~2^^^B^MR"}, "B|2"),
        ({3: "", 2: "5^^^E"}, "E|5"),
        ({3: "", 4: "6"}, "GEN|6"),
        ({3: "123^^^SSA^SS", 2: "5"}, "GEN|5"),
    ],
)
def test_the_number_that_names_the_patient(pid: dict[int, str], patient: str) -> None:
    assert event(pid=pid).patient == patient
    assert patient_key_of(adt(pid=pid), DEFAULT) == patient


def test_who_assigned_a_bare_number() -> None:
    bare = {3: "100"}
    assert event(pid=bare, profile=SenderProfile("p")).patient == "GEN|100", "MSH-4"
    assert event(pid=bare, msh={4: ""}, profile=SenderProfile("p")).patient == "ADT|100", "MSH-3"
    assert event(pid=bare, msh={3: "", 4: ""}, profile=SenderProfile("p")).patient == "p|100"
    renamed = SenderProfile("p", authorities={"GEN": "GENERAL", "G2": "GENERAL"})
    assert event(pid=bare, profile=renamed).patient == "GENERAL|100"
    assert event(pid={3: "100^^^G2^MR"}, profile=renamed).patient == "GENERAL|100"


def test_a_profile_chooses_the_type() -> None:
    jail = SenderProfile("jail", mrn_types=("PCN", "MR"), never_types=frozenset())
    assert event(pid={3: "1^^^A^MR~2^^^B^PCN"}, profile=jail).patient == "B|2"
    nothing = SenderProfile("odd", mrn_types=())
    assert event(pid={3: "1^^^A^MR~2^^^B^XX"}, profile=nothing).patient == "A|1"


def test_social_security_numbers_are_not_kept() -> None:
    read = event(pid={3: "100^^^GEN^MR~900990100^^^^SS~900990101^^^USSSA"})
    assert read.identifiers == (Identifier("GEN", "100", "MR"),)


@pytest.mark.parametrize(
    ("pid", "more", "cin", "bad"),
    [
        ({3: "100^^^GEN^MR~91234567A^^^MEDI-CAL^MA"}, (), "91234567A", False),
        ({3: "100^^^GEN^MR~91234567A12026^^^X^MA"}, (), "91234567A", False),
        ({3: "100^^^GEN^MR~91234567A^^^Medi-Cal"}, (), "91234567A", False),
        ({3: "100^^^GEN^MR~91234567A"}, (), "91234567A", False),
        ({3: "100^^^GEN^MR~91234567A^^^X^XX"}, (), "91234567A", False),
        ({3: "91234567A^^^GEN^MR"}, (), None, False),
        ({2: "91234567A^^^X"}, (), "91234567A", False),
        ({2: "123"}, (), None, False),
        ({3: "100^^^GEN^MR~81234567A^^^X^MA"}, (), None, True),
        ({3: "100^^^GEN^MR~8^^^X^MA~91234567A^^^X^MA"}, (), "91234567A", False),
        ({3: "100^^^GEN^MR~8^^^X^MA"}, ("IN1|1" + "|" * 35 + "91234567A",), "91234567A", False),
        ({}, ("IN1|1", "IN1|2" + "|" * 35 + "91234567A^^x"), "91234567A", False),
        ({}, ("IN1|1" + "|" * 35 + "XYZ-1",), None, False),
        ({}, ('IN1|1' + "|" * 35 + '""',), None, False),
        ({}, ("IN2|1|||||||91234567A",), "91234567A", False),
        ({}, ("IN2|1|||||||81234567A",), None, True),
        ({}, ("IN2|1|||||||8", "IN1|1" + "|" * 35 + "91234567A"), "91234567A", False),
        ({}, (), None, False),
    ],
)  # fmt: skip
def test_the_cin(pid: dict[int, str], more: tuple[str, ...], cin: str | None, bad: bool) -> None:
    read = event("A01", *more, pid=pid)
    assert (read.cin, read.bad_cin) == (cin, bad)


@pytest.mark.parametrize(
    ("pid", "name", "expected"),
    [
        ({5: "O'NEIL&x^ANA~ALIAS^B"}, "family_name", "O'NEIL"),
        ({5: "SOLE"}, "given_name", None),
        ({5: ""}, "family_name", None),
        ({5: '""'}, "family_name", DELETED),
        ({7: "1980"}, "birth_date", None),
        ({7: ""}, "birth_date", None),
        ({7: '""'}, "birth_date", DELETED),
        ({8: "f^x"}, "sex", "F"),
        ({8: ""}, "sex", None),
        ({8: " "}, "sex", None),
        ({11: "1 ELM ST^^ARROYO^CA^90012-1234"}, "zip", "90012"),
        ({11: "X~1 ELM ST^^ARROYO^CA^90012"}, "zip", "90012"),
        ({11: "1 ELM ST^^ARROYO^CA^XXXXX"}, "zip", None),
        ({11: "1 ELM ST"}, "zip", None),
        ({11: '""'}, "zip", DELETED),
        ({13: "(555)555-0100"}, "phone", "5555550100"),
        ({13: "+1 555 555 0100 x99"}, "phone", "5555550100"),
        ({13: "5555550100"}, "phone", "5555550100"),
        ({13: "^NET^Internet^a@example.org~^PRN^PH^^^555^5550100"}, "phone", "5555550100"),
        ({13: "^PRN^PH^^1^555^5550100"}, "phone", "5555550100"),
        ({13: "^PRN^PH^^^^^^^^^555 555 0100"}, "phone", "5555550100"),
        ({13: "555-0100"}, "phone", None),
        ({13: "25555550100"}, "phone", None),
        ({13: "^PRN^PH^^^^^^^^"}, "phone", None),
        ({13: '""'}, "phone", DELETED),
        ({29: "20261123090000"}, "died", When(at("09:00"), False, "PID-29")),
        ({29: "20261123", 30: "Y"}, "died", When(at("00:00"), True, "PID-29")),
        ({30: "Y"}, "died", When(at("09:59"), False, "PID-30")),
        ({30: "N"}, "died", DELETED),
        ({29: "", 30: "U"}, "died", None),
        ({29: '""', 30: ""}, "died", DELETED),
        ({29: "20261123090000", 30: "N"}, "died", DELETED),
    ],
)
def test_the_person(pid: dict[int, str], name: str, expected: object) -> None:
    assert getattr(event(pid=pid), name) == expected


def test_a_death_that_is_denied_is_noted() -> None:
    assert "death-contradicts" in event(pid={29: "20261123", 30: "N"}).notes


def test_death_at_the_events_own_time() -> None:
    dead = {30: "Y"}
    assert event("A08", pid=dead, evn={6: "20261123"}).died == When(at("00:00"), True, "PID-30")
    assert event("A03", pid=dead, evn={6: "202611230800"}).died == When(at("08:00"), False, "PID-30")
    assert event("A03", pid=dead, evn={6: "202611230800"}, pv1={45: "202611230700"}).died == When(
        at("07:00"), False, "PID-30"
    )
    assert event("A03", pid=dead, pv1=None).died == When(at("09:59"), False, "PID-30")


@pytest.mark.parametrize(
    ("text", "sequence"), [("7", 7), ("", None), ("-1", None), ("x", None), ("9" * 16, None), ("²", None)]
)
def test_the_sequence_number(text: str, sequence: int | None) -> None:
    assert event(msh={13: text}).sequence == sequence


def test_a_part_of_a_longer_message_is_read_and_marked() -> None:
    assert event("A08", "DSC|C2", msh={14: "C2"}).notes == ("continued", "zone-from-profile")


def test_a_missing_control_id_is_empty() -> None:
    assert event(msh={10: ""}).control_id == ""


@pytest.mark.parametrize(
    ("trigger", "lines", "merges"),
    [
        ("A40", ("MRG|200^^^GEN^MR",), (Merge("GEN|100", "GEN|200", "patient"),)),
        ("A40", ("MRG|200",), (Merge("GEN|100", "GEN|200", "patient"),)),
        ("A40", ("MRG|1^^^^SS~200^^^OLD^MR||A7",), (Merge("GEN|100", "OLD|200", "patient"),)),
        (
            "A40",
            ("MRG|200^^^GEN^MR~300^^^GEN^MR~91234567A^^^CA^MA",),
            (Merge("GEN|100", "GEN|200", "patient"), Merge("GEN|100", "GEN|300", "patient")),
        ),
        ("A34", ("MRG||||200",), (Merge("GEN|100", "GEN|200", "patient"),)),
        (
            "A40",
            ("MRG|200^^^GEN^MR", "PV1|1|I", "PID|2||101^^^GEN^MR", "MRG|201^^^GEN^MR", "MRG|202^^^GEN^MR"),
            (
                Merge("GEN|100", "GEN|200", "patient"),
                Merge("GEN|101", "GEN|201", "patient"),
                Merge("GEN|101", "GEN|202", "patient"),
            ),
        ),
        ("A45", ("MRG|200^^^GEN^MR||||V9^^^X",), (Merge("GEN|100", "GEN|200", "visit-move", "X|V9", "X|V9"),)),
        ("A45", ("MRG|200^^^GEN^MR|||||V8",), (Merge("GEN|100", "GEN|200", "visit-move", "GEN|V8", "GEN|V8"),)),
        ("A44", ("MRG|200^^^GEN^MR||A7",), (Merge("GEN|100", "GEN|200", "account-move", "GEN|A7", "GEN|A7"),)),
        ("A47", ("MRG|200^^^GEN^MR",), (Merge("GEN|100", "GEN|200", "patient"),)),
        ("A08", ("MRG|200^^^GEN^MR",), ()),
        ("A06", ("MRG|200^^^GEN^MR||A7",), ()),
        ("A40", (), ()),
    ],
)
def test_merges(trigger: str, lines: tuple[str, ...], merges: tuple[Merge, ...]) -> None:
    read = event(trigger, *lines, pv1=None)
    assert read.merges == merges
    assert "merge-incomplete" not in read.notes


def test_an_account_merge_names_both_accounts() -> None:
    read = event("A41", "MRG|||A7", pid={18: "A8"}, pv1=None)
    assert read.merges == (Merge("GEN|100", "GEN|100", "account", "GEN|A7", "GEN|A8"),)


@pytest.mark.parametrize(
    ("trigger", "lines"),
    [
        ("A45", ("MRG|200^^^GEN^MR",)),  # which visit?
        ("A44", ("MRG|200^^^GEN^MR",)),  # which account?
        ("A41", ("MRG|||A7",)),  # into which account?
        ("A45", ("MRG|||||V9",)),  # from whom?
    ],
)
def test_a_trigger_that_does_not_name_its_unit_moves_nothing(trigger: str, lines: tuple[str, ...]) -> None:
    read = event(trigger, *lines, pv1=None)
    assert read.merges == ()
    assert "merge-incomplete" in read.notes


@pytest.mark.parametrize("lines", [("MRG|",), ("MRG|^^^GEN^MR", "PID|2||101"), ("PID|2", "MRG|200^^^GEN^MR")])
def test_an_incomplete_merge_is_noted(lines: tuple[str, ...]) -> None:
    read = event("A40", *lines)
    assert read.merges == ()
    assert "merge-incomplete" in read.notes


@pytest.mark.parametrize("trigger", ["A24", "A37", "A17"])
def test_the_second_patient_is_the_partner(trigger: str) -> None:
    assert event(trigger, "PID|2||200^^^OTHER^MR").partner == "OTHER|200"
    assert event(trigger, "PID|2").partner is None
    assert event(trigger).partner is None
    assert event("A08", "PID|2||200").partner is None


def test_an_event_survives_its_codec() -> None:
    read = event("A40", "MRG|200", pid={29: "20261123"})
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(read), type=AdtEvent) == read


def test_the_key_of_what_cannot_be_read_is_none() -> None:
    assert patient_key_of(b"", DEFAULT) is None
    assert patient_key_of(b"PID|1||7", DEFAULT) is None
    assert patient_key_of(adt(msh={7: "", 9: "ORU"}, evn=None), DEFAULT) == "GEN|100", "the key needs no more than PID"


@pytest.mark.parametrize("blank", [b"\x85", b"\xa0", "\u3000".encode()])
def test_a_blank_beyond_ascii_makes_no_trigger(blank: bytes) -> None:
    # 0x85 is an ellipsis in Windows-1252 and a line end in Latin-1, and 0x81 further down decides which of them it is.
    raw = b"MSH|^~\\&|A|B|||20260301||ADT^" + blank + b"A01|1|P|2.5.1\rPID|1||7^^^H^MR||\x81^ANA\r"
    with pytest.raises(Refusal) as refused:
        read_adt(raw, DEFAULT)
    assert refused.value.code == "no-trigger"
