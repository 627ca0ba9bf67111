"""The member stage as the engine sees it: keys, refusals, headers, rows."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from agents.refer.decide import row_key
from agents.runtime.contract import Context, Record
from agents.topics import DISPOSITIONS, ROSTER, TICKS, VISITS
from domain.errors import Refusal
from domain.times import rfc3339
from parsers.records.documents import DOCUMENTS, comparable
from parsers.records.visits import encode_snapshot
from tests.support.member import MEMBER, Member, a_roster, a_visit, at, revised


def a_record(topic: str, value: bytes | None, key: bytes | None = MEMBER.encode()) -> Record:
    return Record(topic, 0, 1, key, value, 1_000)


def changed_roster(**fields: Any) -> bytes:
    return json.dumps(a_roster(**fields)).encode()


def test_a_record_is_for_the_member_that_its_key_names() -> None:
    assert row_key(a_record(VISITS, b"")) == MEMBER
    for key in (None, b""):
        with pytest.raises(Refusal, match="no-key"):
            row_key(a_record(VISITS, b"", key))


def test_a_visit_of_somebody_else_is_refused() -> None:
    member = Member()
    with pytest.raises(Refusal, match="key-mismatch"):
        member.take(VISITS, encode_snapshot(a_visit("a", "2026-03-01"), "92345678A"), 1)


def test_other_topics_are_refused() -> None:
    with pytest.raises(Refusal, match="unexpected-topic"):
        Member().take("adt.raw.v1", b"", 1)


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (b"{", ""),
        (b'{"birth_date": "1980-01-01"}', "member_id"),
        (changed_roster(birth_date=5), "birth_date"),
        (changed_roster(birth_date=None), "birth_date"),
        (changed_roster(birth_date="1980-13-01"), "birth_date"),
        (changed_roster(birth_date="0001-01-01"), "birth_date"),
        (changed_roster(enrolled_to="never"), "enrolled_to"),
        (changed_roster(programmes=[{"id": "pace", "from": "x"}]), "programmes.from"),
        (changed_roster(ecm={"status": "enrolled", "to": "x"}), "ecm.to"),
    ],
)
def test_a_roster_row_that_cannot_be_read_is_refused(value: bytes, place: str) -> None:
    with pytest.raises(Refusal) as caught:
        Member().take(ROSTER, value, 1)
    assert (caught.value.code, caught.value.place) == ("bad-roster", place)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"status": "maybe"}, "status"),
        ({"time": "yesterday"}, "time"),
        ({"time": "2026-03-01T10:00:00"}, "time"),
        ({"candidate_id": None}, ""),
    ],
)
def test_an_answer_that_cannot_be_read_is_refused(change: dict[str, Any], place: str) -> None:
    answer = {"candidate_id": "c_1", "status": "accepted", "time": "2026-03-01T10:00:00-08:00", **change}
    with pytest.raises(Refusal) as caught:
        Member().take(DISPOSITIONS, json.dumps(answer).encode(), 1)
    assert (caught.value.code, caught.value.place) == ("bad-disposition", place)
    with pytest.raises(Refusal, match="bad-disposition"):
        Member().take(DISPOSITIONS, None, 1)


def test_a_bare_roster_row_is_enough() -> None:
    member = Member()
    member.take(ROSTER, b'{"member_id": "91234567A", "birth_date": "1980-01-01"}', 1)
    assert member.row is not None
    assert member.row.roster is not None
    assert member.row.roster.plan == ""


def test_nothing_known_is_no_row() -> None:
    member = Member()
    assert member.left_roster("2026-03-01") == []
    assert member.row is None
    assert member.tick("2026-03-01") == []
    assert member.take(TICKS, b"{}", at("2026-03-01")) == []
    assert member.row is None
    member.roster()
    member.left_roster("2026-03-02")
    assert member.row is None


def test_a_tick_before_anything_is_due_keeps_the_row() -> None:
    member = Member()
    member.tell(a_visit("a", "2026-03-01"))
    row = member.row
    assert member.take(TICKS, b"{}", at("2026-03-20")) == []
    assert member.row is row
    assert member.take(TICKS, b"{}", at("2026-04-20"))
    assert member.row is not row


def test_a_roster_row_alone_is_never_due() -> None:
    member = Member()
    member.roster(programmes=[{"id": "pace", "from": "2027-01-01"}])
    assert member.row is not None
    assert member.stage.next_due(member.row) is None


def test_records_are_cloud_events_that_name_no_member() -> None:
    member = Member(source="county-test")
    member.roster()
    for number in range(5):
        member.tell(a_visit(f"e{number}", f"2026-03-{number + 1:02}"))
    for emit in member.emits:
        headers = dict(emit.headers)
        assert headers["ce_specversion"] == b"1.0"
        assert headers["ce_source"] == b"county-test"
        assert headers["ce_type"].startswith(b"handoff.")
        assert headers["ce_id"].startswith(headers["ce_subject"] + b"/")
        assert MEMBER.encode() not in b"".join(headers.values())
        assert emit.key is not None
        if emit.topic.startswith("member."):
            assert emit.key == MEMBER.encode()
        else:
            assert emit.key == headers["ce_subject"]
    ids = [dict(emit.headers)["ce_id"] for emit in member.emits]
    assert len(ids) == len(set(ids))


def test_documents_tell_when_the_fact_was_received() -> None:
    member = Member()
    visit = a_visit("a", "2026-03-01 10:00", received=at("2026-03-01 10:05"))
    member.now = at("2026-03-02 09:00")
    member.tell(visit)
    counts = member.utilization()
    assert counts is not None
    assert counts["received"] == rfc3339(visit.received)
    assert counts["as_of"] == "2026-03-02T09:00:00-08:00"


def test_a_row_of_another_schema_is_not_read() -> None:
    member = Member()
    member.roster()
    assert member.row is not None
    later = member.stage.encode(msgspec.structs.replace(member.row, schema=9))
    with pytest.raises(ValueError, match="schema 9"):
        member.stage.decode(later)


def test_decide_looks_nothing_up() -> None:
    assert list(Member().stage.lookups(a_record(VISITS, b""))) == []


def test_the_stage_names_its_topics() -> None:
    stage = Member().stage
    assert stage.name == "refer"
    assert TICKS in stage.inputs
    assert stage.changelog == "handoff.refer.changelog.v1"


def test_a_decision_depends_on_its_arguments_alone() -> None:
    one, other = Member(), Member()
    for member in (one, other):
        member.roster()
        member.tell(a_visit("a", "2026-03-01"), a_visit("b", "2026-03-02", "inpatient"))
    assert one.emits == other.emits
    assert one.row == other.row


def test_settled_leaves_out_history() -> None:
    one, other = Member(), Member()
    visit = a_visit("a", "2026-03-01", "inpatient", flags=())
    one.roster()
    one.tell(visit)
    other.roster("2025-01-01")
    other.tell(revised(visit))
    assert one.eligibility() == other.eligibility()
    assert comparable({"status": "amended", "revision": 4}) == {"status": "live"}


def test_there_is_a_schema_for_each_output() -> None:
    assert set(DOCUMENTS) == {"candidate", "watch", "transition", "alert", "utilization", "archive"}


def test_rows_stay_small() -> None:
    member = Member()
    member.roster()
    for number in range(5):
        member.tell(a_visit(f"e{number}", f"2026-03-{number + 1:02}", diagnoses=("I10", "E119")))
    assert member.row is not None
    assert len(member.stage.encode(member.row)) < 2_048


def test_context_now_is_what_counts_not_the_record() -> None:
    member = Member()
    value = encode_snapshot(a_visit("a", "2026-03-01"), MEMBER)
    row, emits = member.stage.decide(None, Record(VISITS, 0, 1, MEMBER.encode(), value, 5), Context(0))
    assert emits == []
    assert row.next_due == at("2026-03-01")
