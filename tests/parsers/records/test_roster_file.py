"""Roster files of the field: several rows a member, any spelling, other encodings, bad rows among good ones."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from domain.rules.vocabulary import Term, Vocabulary, Words
from handoff.declarations.rules import load_rules
from parsers.records.roster import read_facts, read_roster
from parsers.records.roster_documents import encode_roster, same_roster
from parsers.records.roster_file import load_roster

WORDS = load_rules(Path(__file__).parents[3] / "rules").vocabulary
HEADER = "member_id,birth_date,plan,county,enrolled_from,enrolled_to,identifiers,zip\n"
FIRST = "91234567A,1980-01-01,L.A. Care,19,2022-01-01,2024-06-30,G|1,90012\n"
SECOND = "91234567A,1980-01-01,Health Plan of San Joaquin,06077,2024-07-01,2025-03-31,G|2,95202\n"
THIRD = "91234567A,1980-01-01,hpsj,San Joaquin County,2025-06-01,9999-12-31,,\n"
SPANS = [
    {"plan": "lacare", "county": "Los Angeles", "from": "2022-01-01", "to": "2024-06-30", "delegate": None},
    {"plan": "hpsj", "county": "San Joaquin", "from": "2024-07-01", "to": "2025-03-31", "delegate": None},
    {"plan": "hpsj", "county": "San Joaquin", "from": "2025-06-01", "to": None, "delegate": None},
]


@pytest.mark.parametrize("rows", list(itertools.permutations((FIRST, SECOND, THIRD))))
def test_rows_of_one_member_are_spans_of_one_document_in_any_order(rows: tuple[str, ...]) -> None:
    loaded = load_roster((HEADER + "".join(rows)).encode(), words=WORDS)
    assert loaded.faults == ()
    (member,) = loaded.documents
    told = json.loads(encode_roster(member))
    assert told["enrolment"] == SPANS
    assert (told["plan"], told["county"], told["enrolled_from"], told["enrolled_to"]) == (
        "hpsj",
        "San Joaquin",
        "2025-06-01",
        None,
    )
    assert member.keys == ("G|1", "G|2")
    assert member.zip == "95202", "of the latest row that has one"


def test_json_lines_give_the_spans_in_one_row() -> None:
    row = {"member_id": "91234567A", "birth_date": "1980-01-01", "enrolment": [SPANS[2], SPANS[0], SPANS[1]]}
    (member,) = load_roster(json.dumps(row).encode(), words=WORDS).documents
    assert json.loads(encode_roster(member))["enrolment"] == SPANS
    assert read_roster(encode_roster(member), WORDS) == member
    facts = read_facts(encode_roster(member), WORDS)
    assert [(each.plan, each.start, each.end) for each in facts.enrolment] == [
        (each["plan"], each["from"], each["to"]) for each in SPANS
    ]


def test_one_span_is_the_line_too_and_is_the_same_as_a_record_without_it() -> None:
    (member,) = load_roster((HEADER + FIRST).encode(), words=WORDS).documents
    told = json.loads(encode_roster(member))
    assert told["enrolment"] == SPANS[:1]
    assert read_facts(encode_roster(member)).enrolment == ()
    del told["enrolment"]
    assert same_roster(json.dumps(told).encode(), member)
    assert not same_roster(json.dumps({**told, "zip": "90013"}).encode(), member)
    assert not same_roster(b"[]", member)


@pytest.mark.parametrize(
    ("second", "fault"),
    [
        (FIRST, "member_id"),
        (SECOND.replace("2024-07-01", "2024-06-30"), "member_id"),
        (SECOND.replace("2024-07-01", ""), "member_id"),
        (SECOND.replace("1980-01-01", "1980-01-02"), "birth_date"),
    ],
)
def test_rows_of_one_member_that_contradict_each_other_reject_the_member(second: str, fault: str) -> None:
    other = "91234567C,1980-01-01,lacare,,,,,\n"
    loaded = load_roster((HEADER + FIRST + second + other).encode(), words=WORDS)
    assert [(each.line, each.field) for each in loaded.faults] == [(3, fault)]
    assert [each.member_id for each in loaded.documents] == ["91234567C"]
    assert loaded.rejected == {"91234567A"}


@pytest.mark.parametrize(
    ("enrolment", "field"),
    [
        ([SPANS[0], {**SPANS[1], "from": "2024-06-30"}], "enrolment"),
        ([7], "enrolment"),
        ([{**SPANS[0], "to": "2021-01-01"}], "enrolment.to"),
        ([{**SPANS[0], "plan": "Another"}], "enrolment.plan"),
        ([{**SPANS[0], "county": "Clark"}], "enrolment.county"),
    ],
)
def test_a_line_that_is_none_is_a_fault(enrolment: list[object], field: str) -> None:
    row = {"member_id": "91234567A", "birth_date": "1980-01-01", "enrolment": enrolment}
    loaded = load_roster(json.dumps(row).encode(), words=WORDS)
    assert {each.field for each in loaded.faults} == {field}


def test_fields_of_one_span_that_no_span_of_the_line_has_are_a_fault() -> None:
    row = {"member_id": "M1", "birth_date": "1980-01-01", "enrolment": SPANS[:2]}
    fields = {"plan": "hpsj", "county": "39", "enrolled_from": "2024-07-01", "enrolled_to": "2025-03-31"}
    assert load_roster(json.dumps({**row, **fields}).encode(), words=WORDS).faults == ()
    loaded = load_roster(json.dumps({**row, "plan": "iehp"}).encode(), words=WORDS)
    assert [each.field for each in loaded.faults] == ["enrolment"]


@pytest.mark.parametrize("county", ["Los Angeles", "LOS ANGELES COUNTY", "County of Los Angeles", "19", "037", "06037"])
@pytest.mark.parametrize("plan", ["lacare", "L.A. Care", "LA Care Health Plan"])
def test_plans_and_counties_are_known_by_their_aliases(plan: str, county: str) -> None:
    (member,) = load_roster(
        f"cin,birth_date,plan,county\n91234567A,1980-01-01,{plan},{county}\n".encode(), words=WORDS
    ).documents
    assert (member.plan, member.county) == ("lacare", "Los Angeles")


def test_programs_and_ecm_statuses_are_closed_sets_with_aliases() -> None:
    header = "cin,birth_date,programmes,ecm_status\n"
    good = load_roster(
        f"{header}91234567A,1980-01-01,Multipurpose Senior Services Program;IHSS,In ECM\n".encode(), words=WORDS
    )
    (member,) = good.documents
    assert [each.id for each in member.programmes] == ["mssp", "ihss"]
    assert member.ecm is not None
    assert member.ecm.status == "enrolled"
    bad = load_roster(f"{header}91234567A,1980-01-01,mspp,enroled\n".encode(), words=WORDS)
    reasons = {each.field: each.reason for each in bad.faults}
    assert "mssp" in reasons["programmes.id"]
    assert reasons["ecm.status"] == "not one of enrolled, ended, disenrolled, discontinued, not_enrolled"
    assert not any(word in reason for word in ("mspp", "enroled") for reason in reasons.values())


def test_every_county_has_three_spellings_and_none_is_anothers() -> None:
    counties = WORDS.counties
    assert len(counties.terms) == 58
    assert (counties.find("58"), counties.find("06115"), counties.find("yuba county")) == ("Yuba",) * 3
    assert counties.doubled == []
    assert Vocabulary(plans=(Term("a", "x"), Term("b", "X"))).doubled() == ["plans: `x` stands for two"]
    assert Words().find("Any Word") == "Any Word"


@pytest.mark.parametrize(("encoding", "name"), [("utf-8", "UTF-8"), ("utf-8-sig", "UTF-8"), ("cp1252", "Windows-1252")])
def test_files_of_spreadsheets_are_read_in_their_encoding(encoding: str, name: str) -> None:
    text = "cin,birth_date,name\n91234567A,1980-01-01,\u201cPE\u00d1A\u201d, ANA\n".replace(", ANA", "")
    loaded = load_roster(text.encode(encoding))
    assert (loaded.faults, loaded.encoding) == ((), name)
    assert loaded.documents[0].name == "\u201cPE\u00d1A\u201d"


def test_good_rows_stand_beside_bad_ones_and_a_row_that_names_nobody_is_said() -> None:
    rows = "91234567A,1980-01-01,,,,,,\n91234567C,1980-13-01,,,,,,\n91234567D,1980-01-01\n,1980-01-01,,,,,,\n"
    loaded = load_roster((HEADER + rows).encode())
    assert [each.member_id for each in loaded.documents] == ["91234567A"]
    assert loaded.rejected == {"91234567C", ""}
    assert not loaded.broken


@pytest.mark.parametrize(
    "data",
    [b"", b"cin,birth_date\n", b"cin,cin\n", b"cin,birth_date\n9\x81,x\n", b"cin,x\n" + b"a" * 200_000 + b",b\n"],
)
def test_a_file_that_is_at_fault_as_a_whole_is_broken(data: bytes) -> None:
    assert load_roster(data).broken


@pytest.mark.parametrize("end", ["open", "NULL", "n/a", "2958465", "31-DEC-9999", "present"])
def test_an_open_end_as_a_word_or_as_spreadsheets_and_databases_write_it(end: str) -> None:
    loaded = load_roster(f"cin,birth_date,enrolled_to\n91234567A,1980-01-01,{end}\n".encode())
    assert (loaded.faults, loaded.documents[0].enrolled_to) == ((), None)
