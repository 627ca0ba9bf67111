"""Rosters: what a good row becomes, and that every bad one is named by its line and never by its content."""

from __future__ import annotations

import json

import pytest

from domain.errors import Refusal
from parsers.records.roster import read_facts, read_roster
from parsers.records.roster_documents import encode_roster
from parsers.records.roster_file import load_roster

HEADER = "member_id,birth_date,plan,identifiers,programmes,ecm_status,ecm_from,aid_codes,name\n"


def test_a_csv_row_becomes_a_document() -> None:
    row = (
        "91234567A,1980-01-01,lacare,GENHOSP|100;MERCY|7,pace:2025-01-01:;hospice::2026-01-31:unverified,"
        "Enrolled,2025-06-01,m1;M2,Doe\n"
    )
    loaded = load_roster((HEADER + row).encode())
    assert loaded.faults == ()
    (member,) = loaded.documents
    told = json.loads(encode_roster(member))
    assert told["member_id"] == told["cin"] == "91234567A"
    assert told["identifiers"] == [{"authority": "GENHOSP", "number": "100"}, {"authority": "MERCY", "number": "7"}]
    assert told["programmes"] == [
        {"id": "pace", "from": "2025-01-01", "to": None, "verified": True},
        {"id": "hospice", "from": None, "to": "2026-01-31", "verified": False},
    ]
    assert told["ecm"] == {"status": "enrolled", "from": "2025-06-01", "to": None, "provider": ""}
    assert told["aid_codes"] == ["M1", "M2"]
    assert member.keys == ("GENHOSP|100", "MERCY|7")


def test_what_is_written_is_read_back_the_same() -> None:
    row = "91234567A,1980-01-01,lacare,GENHOSP|100,pace:2025-01-01:,enrolled,2025-06-01,M1,Doe\n"
    (member,) = load_roster((HEADER + row).encode()).documents
    assert read_roster(encode_roster(member)) == member
    facts = read_facts(encode_roster(member))
    assert (facts.birth_date, facts.plan, facts.aid_codes) == ("1980-01-01", "lacare", ("M1",))
    assert facts.programmes[0].start == "2025-01-01"
    assert facts.ecm is not None
    assert facts.ecm.status == "enrolled"


def test_json_lines_say_the_same_as_csv() -> None:
    line = {
        "cin": "91234567A",
        "birth_date": "1980-01-01",
        "identifiers": [{"authority": "GENHOSP", "number": "100"}],
        "programmes": [{"id": "pace", "from": "2025-01-01", "to": None, "verified": True}],
        "ecm": {"status": "enrolled", "from": "2025-06-01", "to": None, "provider": "P"},
        "shoe_size": 44,
    }
    loaded = load_roster(
        (json.dumps(line) + "\n\n" + json.dumps({**line, "cin": "91234567C", "identifiers": []})).encode()
    )
    assert loaded.faults == ()
    assert [each.member_id for each in loaded.documents] == ["91234567A", "91234567C"]
    assert loaded.ignored == ("shoe_size",)


def test_a_mapping_names_their_columns() -> None:
    data = b"Client Index No,DOB\n91234567A,01/31/1980\n"
    (member,) = load_roster(data, {"cin": "Client Index No", "birth_date": "dob"}).documents
    assert (member.member_id, member.birth_date) == ("91234567A", "1980-01-31")


def test_a_mapping_to_a_column_that_is_not_there_is_a_fault() -> None:
    loaded = load_roster(b"cin,dob\n91234567A,19800131\n", {"birth_date": "born"})
    assert any(fault.field == "birth_date" and "mapping" in fault.reason for fault in loaded.faults)


def test_every_bad_row_is_listed_with_its_line_and_none_of_its_content() -> None:
    rows = (
        "91234567B,1980-01-01,lacare,,,,,,Canary",  # 2: B is no check letter
        '91234567A,1980-02-30,lacare,,,,,,"Two\nlines"',  # 3 and 4: no such day, a line break in a name
        "91234568A,,lacare,GENHOSP,,,,,Canary",  # 5: no birth date, no number
        "91234569A,1980-01-01,lacare",  # 6: cells missing
        "91234560A,1980-01-01,lacare,,pace:2026-01-01:2025-01-01,,,,",  # 7: ends before it begins
    )
    loaded = load_roster((HEADER + "\n".join(rows)).encode())
    found = {(fault.line, fault.field) for fault in loaded.faults}
    assert found == {
        (2, "member_id"),
        (3, "birth_date"),
        (3, "name"),
        (5, "birth_date"),
        (5, "identifiers"),
        (6, ""),
        (7, "programmes.to"),
    }
    said = " ".join(str(fault) for fault in loaded.faults)
    assert not any(secret in said for secret in ("Canary", "91234567B", "1980-02-30", "GENHOSP"))


def test_a_member_or_a_number_on_two_lines_is_a_fault_of_the_later() -> None:
    rows = "91234567A,1980-01-01,,G|1,,,,,\n91234567A,1980-01-01,,,,,,,\n91234567C,1980-01-01,,G|1,,,,,\n"
    loaded = load_roster((HEADER + rows).encode())
    assert {(fault.line, fault.field) for fault in loaded.faults} == {(3, "member_id"), (4, "identifiers")}


def test_a_card_number_is_cut_to_its_cin_and_a_plain_member_id_is_taken_as_it_is() -> None:
    loaded = load_roster(b"member_id,birth_date\n91234567A12345,1980-01-01\nPLAN-77,1980-01-01\n")
    assert [(each.member_id, each.cin) for each in loaded.documents] == [("91234567A", "91234567A"), ("PLAN-77", None)]


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"", 1),
        (b"member_id,birth_date\n", 1),
        (b"member_id,member_id\n1,2\n", 1),
        (b"member_id,birth_date\nM1,1980-01-01\nM\x81,1980-01-01\n", 3),
        (b'{"member_id": "M1", "birth_date": "1980-01-01"}\n{broken\n', 2),
        (b'{"member_id": 7, "birth_date": "1980-01-01"}', 1),
        (b'{"member_id": "M1", "birth_date": "1980-01-01", "programmes": [{"id": "pace", "verified": "yes"}]}', 1),
        (b'{"member_id": "M1", "cin": "91234567A", "birth_date": "1980-01-01"}', 1),
        (b"member_id,birth_date\nM\x07,1980-01-01\n", 2),
    ],
)
def test_files_that_are_none(data: bytes, line: int) -> None:
    loaded = load_roster(data)
    assert {fault.line for fault in loaded.faults} == {line}


def test_a_bom_is_no_part_of_the_first_column() -> None:
    assert load_roster(b"\xef\xbb\xbfmember_id,birth_date\nM1,1980-01-01\n").faults == ()


@pytest.mark.parametrize("value", [b"", b"[]", b"{}", b'{"member_id":"M1"}', b'{"member_id":"M1","birth_date":5}'])
def test_a_record_that_is_no_roster_row_is_refused(value: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        read_roster(value)
    assert refused.value.code == "bad-roster"


ROW = {"member_id": "M1", "birth_date": "1980-01-01"}


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"birth_date": "1700-01-01"}, "birth_date"),
        ({"identifiers": {"authority": "G"}}, "identifiers"),
        ({"identifiers": [7]}, "identifiers"),
        ({"identifiers": [{"authority": "G", "number": 7}]}, "identifiers"),
        ({"aid_codes": [7]}, "aid_codes"),
        ({"programmes": [7]}, "programmes"),
        ({"programmes": ["pace:a:b:c:d"]}, "programmes"),
        ({"programmes": ["pace:::perhaps"]}, "programmes"),
        ({"programmes": [{"from": "2026-01-01"}]}, "programmes.id"),
        ({"ecm": 7}, "ecm"),
        ({"ecm": {"from": "2026-01-01"}}, "ecm.status"),
        ({"enrolled_from": "2026-02-01", "enrolled_to": "2026-01-01"}, "enrolled_to"),
    ],
)
def test_a_field_that_is_not_what_it_should_be(more: dict[str, object], field: str) -> None:
    loaded = load_roster(json.dumps({**ROW, **more}).encode())
    assert {fault.field for fault in loaded.faults} == {field}


def test_csv_may_be_separated_by_tabs_and_have_blank_lines_and_nameless_columns() -> None:
    loaded = load_roster(b"member_id\tbirth_date\t\nM1\t1980-01-01\tx\n\t\t\nM2\t1980-01-01\ty\n")
    assert loaded.faults == ()
    assert [each.member_id for each in loaded.documents] == ["M1", "M2"]


def test_what_csv_cannot_hold_is_a_fault_of_its_line() -> None:
    loaded = load_roster(b"member_id,birth_date\nM1,1980-01-01\nM2," + b"x" * 200_000 + b"\n")
    assert [(fault.line, fault.reason) for fault in loaded.faults] == [(3, "not CSV")]


@pytest.mark.parametrize(
    "end",
    [
        "", "9999-12-31", "12/31/9999", "99991231", "9999-12-31T23:59:59", "12/31/9999 00:00:00", "2999-12-31",
        "99999999", "99/99/9999", "9999-99-99", "00000000", "0000-00-00", "0/0/0", "0001-01-01",
    ],
)  # fmt: skip
def test_an_open_end_however_written(end: str) -> None:
    loaded = load_roster(f"member_id,birth_date,enrolled_to\n91234567A,1980-01-01,{end}\n".encode())
    assert loaded.faults == ()
    assert loaded.documents[0].enrolled_to is None


@pytest.mark.parametrize("end", ["0000-00-00-00", "9099-12-32", "00000009", "never", "0" * 100_000 + "x"])
def test_what_is_neither_a_day_nor_an_open_end_is_a_fault(end: str) -> None:
    loaded = load_roster(f"member_id,birth_date,enrolled_to\n91234567A,1980-01-01,{end}\n".encode())
    assert [(fault.line, fault.field) for fault in loaded.faults] == [(2, "enrolled_to")]


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"plan": "x" * 200}, "plan"),
        ({"member_id": "x" * 200}, "member_id"),
        ({"aid_codes": ["M1", "x" * 200]}, "aid_codes"),
        ({"identifiers": [{"authority": "x" * 200, "number": "1"}]}, "identifiers"),
        ({"identifiers": "GENHOSP|" + "x" * 200}, "identifiers"),
        ({"programmes": [{"id": "x" * 200}]}, "programmes.id"),
        ({"ecm": {"status": "enrolled", "provider": "x" * 200}}, "ecm.provider"),
    ],
)
def test_a_value_that_is_too_long_to_copy_is_a_fault(more: dict[str, object], field: str) -> None:
    with pytest.raises(Refusal) as refused:
        read_roster(json.dumps({"member_id": "M1", "birth_date": "1980-01-01", **more}).encode())
    assert (refused.value.code, refused.value.place) == ("bad-roster", field)
    assert "199" in refused.value.detail
    full = {"member_id": "M1", "birth_date": "1980-01-01", "plan": "x" * 199, "aid_codes": ["x" * 199]}
    assert read_roster(json.dumps(full).encode()).plan == "x" * 199
