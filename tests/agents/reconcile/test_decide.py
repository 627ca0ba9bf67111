"""The patient stage: from messages to whole visits of the right member, whatever the order."""

from __future__ import annotations

from itertools import permutations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.reconcile.decide import LINKS, TEST_KEY, UNATTRIBUTED
from agents.runtime.contract import Emit
from agents.topics import CUSTODY_RAW, IDENTITY_FACTS
from domain.patient.demographics import GUARD_KEY, hash_birth, hash_name
from domain.patient.row import Guard
from domain.snapshots import CustodySnapshot, VisitSnapshot
from parsers.records.facts import decode_facts
from parsers.records.links import ANSWERED, Link, encode_link
from tests.support.county import PatientStage

ANN, BOB = "91234567A", "97654321C"


def adt(
    trigger: str, number: str, stamp: str, *, visit: str = "", cin: str = "", pv1: str = "E", mrg: str = "", **f: str
) -> str:
    """An invented message; `stamp` is EVN-2 and MSH-7."""
    pid3 = f"{number}^^^GENHOSP^MR" + (f"~{cin}^^^MEDI-CAL^MA" if cin else "")
    lines = [
        f"MSH|^~\\&|REG|GENHOSP|HUB|PLAN|{stamp}||ADT^{trigger}|{f.get('control', trigger + stamp)}|P|2.5.1",
        f"EVN|{trigger}|{stamp}||||{f.get('occurred', stamp)}",
        f"PID|1||{pid3}||Sample^Person||19800101|F",
    ]
    if mrg:
        lines.append(f"MRG|{mrg}^^^GENHOSP^MR")
    if visit:
        pv = [""] * 46
        pv[2], pv[19], pv[36], pv[44], pv[45] = pv1, visit, f.get("disp", ""), f.get("admit", ""), f.get("left", "")
        lines.append("PV1|1|" + "|".join(pv[2:]))
    return "\n".join(lines)


JAILED = (
    "MSH|^~\\&|JMS|JAIL|HUB|PLAN|{1}||ADT^{0}|{0}{1}|P|2.5.1\nEVN|{0}|{1}\n"
    "PID|1||7^^^JAIL^MR~91234567A^^^MEDI-CAL^MA||Sample^Person\nPV1|1|I|||||||||||||||||B1^^^JAIL|||||||||||||||||{2}"
)


def key(number: str) -> str:
    return f"GENHOSP|{number}"


def test_a_visit_with_a_cin_goes_whole_to_its_member() -> None:
    stage = PatientStage()
    stage.message(key("100"), adt("A04", "100", "20260301100000", visit="V1", cin=ANN))
    emits = stage.message(key("100"), adt("A03", "100", "20260301150000", visit="V1", left="20260301145500", disp="01"))
    [(member, snapshot)] = stage.published(emits)
    assert member == ANN
    assert isinstance(snapshot, VisitSnapshot)
    assert (snapshot.visit.status, snapshot.visit.patient_class, snapshot.revision) == ("closed", "emergency", 2)
    assert (snapshot.visit.disposition, snapshot.visit.disposition_group) == ("01", "HOME")
    assert [source.control_id for source in snapshot.visit.messages] == ["A0320260301150000", "A0420260301100000"]
    assert not [emit for emit in stage.emits if emit.topic == UNATTRIBUTED]


def test_a_resend_writes_and_says_nothing() -> None:
    stage = PatientStage()
    message = adt("A04", "100", "20260301100000", visit="V1", cin=ANN)
    stage.message(key("100"), message)
    sealed = dict(stage.rows.envelopes)
    assert stage.message(key("100"), message) == []
    assert stage.rows.envelopes == sealed


def test_an_update_that_changes_nothing_a_member_could_see_is_not_published() -> None:
    stage = PatientStage()
    stage.message(key("100"), adt("A04", "100", "20260301100000", visit="V1", cin=ANN))
    assert stage.message(key("100"), adt("A08", "100", "20260301110000", visit="V1", cin=ANN)) == []
    assert stage.message(key("100"), adt("A31", "100", "20260301120000", cin=ANN)) == []


def test_an_attributed_patient_says_once_what_it_asks() -> None:
    stage = PatientStage()

    def asked(trigger: str, minute: int, born: str, cin: str) -> list[dict[str, int]]:
        text = adt(trigger, "100", f"202603011{minute:02d}000", visit="V1", cin=cin)
        emits = stage.message(key("100"), text.replace("|19800101|", f"|{born}|"))
        facts = [decode_facts(emit.value or b"") for emit in emits if emit.topic == IDENTITY_FACTS]
        assert all(each.only_asks for each in facts)
        return [each.asks for each in facts]

    assert asked("A04", 0, "", ANN) == [], "without a birth date there is nothing to compare"
    assert asked("A08", 1, "19800101", ANN) == [{f"guard|{ANN}": 0}]
    assert asked("A08", 2, "19800101", ANN) == []
    assert asked("A08", 3, "19800101", BOB) == [{f"guard|{BOB}": 0}]


def test_nobody_yet_is_said_with_the_reason_and_taken_back_when_the_roster_knows() -> None:
    stage = PatientStage()
    [emit] = stage.message(key("100"), adt("A04", "100", "20260301100000", visit="V1"))
    assert emit.topic == UNATTRIBUTED
    said = msgspec.json.decode(emit.value or b"")
    said["identifiers"] = [each for each in said["identifiers"] if not each.startswith("demographics|")]
    assert said == {"patient": key("100"), "identifiers": [key("100")], "reason": "no-match", "since": 1000}
    match = Link("waiting-match", key("100"), member=ANN, method="roster-identifier", identifier=key("100"), rev=5)
    emits = stage.take(LINKS, key("100"), encode_link(match))
    assert [e.value for e in emits if e.topic == UNATTRIBUTED] == [None]
    assert [member for member, _ in stage.published(emits)] == [ANN]


def test_the_directory_answers_for_a_number_the_roster_lists() -> None:
    stage = PatientStage({key("100"): f"{ANN}\x1f77"})
    emits = stage.message(key("100"), adt("A04", "100", "20260301100000", visit="V1"))
    assert [member for member, _ in stage.published(emits)] == [ANN]


def test_without_a_directory_the_reason_is_that_and_a_cin_still_flows() -> None:
    stage = PatientStage(away=True)
    [emit] = stage.message(key("100"), adt("A04", "100", "20260301100000", visit="V1"))
    assert msgspec.json.decode(emit.value or b"")["reason"] == "directory-unavailable"
    emits = stage.message(key("200"), adt("A04", "200", "20260301100000", visit="V2", cin=BOB))
    assert [member for member, _ in stage.published(emits)] == [BOB]


def test_what_the_directory_could_not_answer_is_settled_when_it_answers() -> None:
    def reasons(emits: list[Emit]) -> list[str | None]:
        told = [each.value for each in emits if each.topic == UNATTRIBUTED]
        return [None if value is None else msgspec.json.decode(value)["reason"] for value in told]

    stage = PatientStage(away=True)
    assert reasons(stage.message(key("100"), adt("A04", "100", "20260301100000", visit="V1"))) == [
        "directory-unavailable"
    ]
    assert reasons(stage.message(key("200"), adt("A04", "200", "20260301100000", visit="V2", cin=BOB))) == ["unchecked"]
    group = encode_link(Link("group", key("100"), 2000))
    assert reasons(stage.take(LINKS, key("100"), group)) == []  # no answer: the question stays
    answered = encode_link(Link(ANSWERED, key("100"), 3000))
    assert reasons(stage.take(LINKS, key("100"), answered)) == ["no-match"]
    assert stage.take(LINKS, key("100"), answered) == []
    assert reasons(stage.take(LINKS, key("200"), encode_link(Link(ANSWERED, key("200"), 3000)))) == [None]
    # A second outage asks again.
    assert reasons(stage.message(key("100"), adt("A08", "100", "20260302100000", visit="V3"))) == [
        "directory-unavailable"
    ]
    assert reasons(stage.take(LINKS, key("100"), answered)) == ["no-match"]


def test_a_cin_that_could_not_be_checked_is_compared_when_the_directory_answers() -> None:
    stage = PatientStage(away=True)
    message = adt("A04", "200", "20260301100000", visit="V2", cin=BOB)
    stage.message(key("200"), message)
    assert set(stage.ledgers()) == {BOB}
    other = Guard(5, hash_birth(TEST_KEY, "1931-12-31"), hash_name(TEST_KEY, "Other", "Person"), "")
    match = Link("waiting-match", key("200"), received=3000, member=BOB, identifier=GUARD_KEY + BOB, rev=5, guard=other)
    stage.take(LINKS, key("200"), encode_link(match))
    stage.take(LINKS, key("200"), encode_link(Link(ANSWERED, key("200"), 3000)))
    assert stage.ledgers() == {}


def test_a_corrected_cin_moves_the_whole_history() -> None:
    stage = PatientStage()
    stage.message(key("100"), adt("A04", "100", "20260301100000", visit="V1", cin=ANN))
    stage.message(key("100"), adt("A04", "100", "20260401100000", visit="V2", cin=ANN))
    stage.message(key("100"), adt("A31", "100", "20260402100000", cin=BOB))
    assert set(stage.ledgers()) == {BOB}
    assert len(stage.ledgers()[BOB]) == 2
    # An older message that comes late with the old number changes nothing of that.
    stage.message(key("100"), adt("A31", "100", "20260302100000", cin=ANN))
    assert set(stage.ledgers()) == {BOB}


MERGE_STORY = [
    (key("100"), adt("A04", "100", "20260301100000", visit="V1", cin=ANN)),
    (key("200"), adt("A04", "200", "20260310100000", visit="V2")),
    (key("100"), adt("A40", "100", "20260315100000", mrg="200")),
    (key("200"), adt("A04", "200", "20260320100000", visit="V3")),
]


def test_a_merge_brings_the_other_numbers_visits_in_whatever_the_order() -> None:
    for order in permutations(MERGE_STORY):
        stage = PatientStage()
        for k, message in order:
            stage.message(k, message)
        assert set(stage.ledgers()) == {ANN}, order
        assert {visit for _, visit in stage.ledgers()[ANN]} == {"GENHOSP|V1", "GENHOSP|V2", "GENHOSP|V3"}


def test_the_survivors_correction_reaches_those_it_absorbed() -> None:
    stage = PatientStage()
    for k, message in MERGE_STORY:
        stage.message(k, message)
    stage.message(key("100"), adt("A31", "100", "20260402100000", cin=BOB))
    assert set(stage.ledgers()) == {BOB}


CHAIN = [
    (key("1"), adt("A04", "1", "20260301100000", visit="V1", cin=ANN)),
    (key("2"), adt("A04", "2", "20260302100000", visit="V2", cin=BOB)),
    (key("3"), adt("A04", "3", "20260303100000", visit="V3")),
    (key("2"), adt("A40", "2", "20260304100000", mrg="3")),
    (key("1"), adt("A40", "1", "20260305100000", mrg="2")),
]


def test_a_chain_of_merges_ends_with_the_last_survivor_in_every_order() -> None:
    for order in permutations(CHAIN):
        stage = PatientStage()
        for k, message in order:
            stage.message(k, message)
        assert set(stage.ledgers()) == {ANN}, [m.split("|")[8] for _, m in order]
        assert len(stage.ledgers()[ANN]) == 3


@settings(max_examples=120, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=6), st.data())
def test_merges_in_any_tangle_end_the_same_in_any_order(pairs: list[tuple[int, int]], data: st.DataObject) -> None:
    messages = [
        (key(str(n)), adt("A04", str(n), f"2026030{n}100000", visit=f"V{n}", cin=f"9000000{n}A")) for n in range(1, 5)
    ]
    for n, (survivor, retired) in enumerate(pairs):
        messages.append((key(str(survivor)), adt("A40", str(survivor), f"2026031{n}100000", mrg=str(retired))))
    ledgers = []
    for order in (messages, data.draw(st.permutations(messages))):
        stage = PatientStage()
        for k, message in order:
            stage.message(k, message)
        ledgers.append(stage.ledgers())
    assert ledgers[0] == ledgers[1]
    assert sum(len(ledger) for ledger in ledgers[0].values()) == 4


def test_an_operators_word_wins_and_can_be_taken_back() -> None:
    stage = PatientStage()
    stage.message(key("100"), adt("A04", "100", "20260301100000", visit="V1", cin=ANN))
    stage.take(LINKS, key("100"), encode_link(Link("assign", key("100"), member=BOB, method="operator", rev=10)))
    assert set(stage.ledgers()) == {BOB}
    stage.take(LINKS, key("100"), encode_link(Link("release", key("100"), method="operator", rev=11)))
    assert set(stage.ledgers()) == {ANN}


def test_several_merges_in_one_message_reach_their_own_survivors() -> None:
    stage = PatientStage()
    for number, cin in (("1", ANN), ("3", BOB)):
        stage.message(key(number), adt("A04", number, "20260301100000", visit=f"V{number}", cin=cin))
    for number in ("2", "4"):
        stage.message(key(number), adt("A04", number, "20260302100000", visit=f"V{number}"))
    double = adt("A40", "1", "20260303100000", mrg="2") + "\nPID|2||3^^^GENHOSP^MR\nMRG|4^^^GENHOSP^MR"
    stage.message(key("1"), double)
    assert {member: {v for _, v in ledger} for member, ledger in stage.ledgers().items()} == {
        ANN: {"GENHOSP|V1", "GENHOSP|V2"},
        BOB: {"GENHOSP|V3", "GENHOSP|V4"},
    }


def test_a_number_that_changed_on_admission_is_still_one_visit() -> None:
    ed = (key("100"), adt("A04", "100", "20260301100000", visit="E1", cin=ANN))
    stay = adt("A06", "100", "20260301150000", visit="I1", pv1="I").replace(
        "\nPV1", "\nMRG|100^^^GENHOSP^MR||||E1^^^GENHOSP\nPV1"
    )
    for order in permutations([ed, (key("100"), stay)]):
        stage = PatientStage()
        for k, message in order:
            stage.message(k, message)
        [snapshot] = stage.ledgers()[ANN].values()
        assert isinstance(snapshot, VisitSnapshot)
        assert (snapshot.key, snapshot.visit.patient_class) == ("GENHOSP|I1", "inpatient")
        assert "became_inpatient" in snapshot.visit.flags


def test_custody_records_reach_the_member_and_a_later_version_replaces() -> None:
    stage = PatientStage()
    record = {
        "record_id": "R1",
        "kind": "scheduled",
        "facility": "County Jail",
        "facility_type": "jail",
        "scheduled": "2026-03-10T08:00:00-08:00",
        "cin": ANN,
        "identifiers": [],
        "source": "mif",
    }
    stage.take(CUSTODY_RAW, f"CIN|{ANN}", msgspec.json.encode(record), received=1)
    released = {**record, "kind": "released", "occurred": "2026-03-10T09:30:00-07:00", "scheduled": None}
    stage.take(CUSTODY_RAW, f"CIN|{ANN}", msgspec.json.encode(released), received=2)
    [snapshot] = stage.ledgers()[ANN].values()
    assert isinstance(snapshot, CustodySnapshot)
    assert (snapshot.kind, snapshot.confidence, snapshot.facility_type) == ("released", "confirmed", "jail")
    assert stage.faults == []


def test_a_jails_own_feed_is_a_booking_and_a_release_and_both_can_be_taken_back() -> None:
    stage = PatientStage()
    stage.message("JAIL|7", JAILED.format("A01", "20260301100000", ""))
    [(member, booked)] = stage.published()
    assert isinstance(booked, CustodySnapshot)
    assert (member, booked.kind, booked.confidence, booked.facility_type) == (ANN, "booked", "high", "jail")
    emits = stage.message("JAIL|7", JAILED.format("A03", "20260310093000", "01"))
    [(_, released)] = stage.published(emits)
    assert isinstance(released, CustodySnapshot)
    assert (released.kind, released.record_id) == ("released", "JAIL|B1#released")
    emits = stage.message("JAIL|7", JAILED.format("A13", "20260310100000", ""))
    assert [(s.status, s.record_id) for _, s in stage.published(emits) if isinstance(s, CustodySnapshot)] == [
        ("withdrawn", "JAIL|B1#released")
    ]
    stage.message("JAIL|7", JAILED.format("A11", "20260310100100", ""))
    assert stage.ledgers() == {}


def test_leaving_a_jail_for_a_hospital_is_no_release() -> None:
    stage = PatientStage()
    stage.message("JAIL|7", JAILED.format("A01", "20260301100000", ""))
    emits = stage.message("JAIL|7", JAILED.format("A03", "20260310093000", "02"))
    assert [s.kind for _, s in stage.published(emits) if isinstance(s, CustodySnapshot)] == ["transferred"]


@pytest.mark.parametrize(
    ("topic", "value"), [(LINKS, b"{"), (LINKS, b'{"kind":"odd","patient":"x"}'), (CUSTODY_RAW, b"no")]
)
def test_what_cannot_be_read_is_refused_and_the_row_stays(topic: str, value: bytes) -> None:
    stage = PatientStage()
    [emit] = stage.take(topic, key("100"), value)
    assert emit.topic == "adt.dead-letters.v1"
    assert len(stage.rows) == 0


def test_a_message_about_no_patient_is_taken_and_nothing_follows() -> None:
    stage = PatientStage()
    bed = "MSH|^~\\&|REG|GENHOSP|HUB|PLAN|20260301100000||ADT^A20|1|P|2.5.1\nEVN|A20|20260301100000\nNPU|W1^2^3|U"
    assert stage.message("general|1", bed) == []
    assert stage.faults == []
    assert len(stage.rows) == 0


def test_a_message_under_a_foreign_key_is_refused() -> None:
    stage = PatientStage()
    stage.message(key("999"), adt("A04", "100", "20260301100000", visit="V1", cin=ANN))
    assert stage.faults == ["key-mismatch"]
