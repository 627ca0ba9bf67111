"""A renamed stage decides the same, reads and writes elsewhere; a shadow writes nothing that is live."""

from __future__ import annotations

import msgspec

from agents import reconcile, refer
from agents.runtime.chunk import decide_chunk, questions
from agents.runtime.contract import Record
from agents.runtime.rename import renamed
from agents.runtime.store import MemoryStore, decoded
from agents.shadow import shadowed
from domain.patient.row import Claim, PatientRow
from parsers.hl7.profiles import Profiles
from parsers.records.links import Link, encode_link
from parsers.records.ticks import Tick, write_tick
from tests.support.county import HOSPITAL
from tests.support.replaying import RULES

MESSAGE = (
    b"MSH|^~\\&|REG|GENHOSP|HUB|PLAN|20260301100000||ADT^A04|1|P|2.5.1\rEVN|A04|20260301100000\r"
    b"PID|1||100^^^GENHOSP^MR||Sample^Person||19800101|F\rPV1|1|E|||||||||||||||||V1\r"
)
PATIENTS = reconcile.stage(Profiles([HOSPITAL]))
MEMBERS = refer.stage(RULES)


def record(topic: str, value: bytes, key: str = "GENHOSP|100") -> Record:
    return Record(topic, 0, 7, key.encode(), value, 1_000, {"sender": b"general", "received": b"1000"})


def test_the_same_decision_under_other_names_with_true_coordinates() -> None:
    names = {topic: topic.replace(".v1", ".v2") for topic in (*PATIENTS.inputs, PATIENTS.changelog)}
    moved = renamed(PATIENTS, names)
    assert (moved.inputs, moved.changelog) == (
        ("adt.raw.v2", "custody.raw.v2", "identity.links.v2"),
        "handoff.reconcile.changelog.v2",
    )
    asked = questions(moved, [record("adt.raw.v2", MESSAGE)])
    assert [each for each in asked if not each.startswith("demographics|")] == ["GENHOSP|100"]
    lookups = {"GENHOSP|100": "91234567A\x1f5"}
    old = decide_chunk(PATIENTS, MemoryStore(), [record("adt.raw.v1", MESSAGE)], lookups=lookups)
    new = decide_chunk(moved, MemoryStore(), [record("adt.raw.v2", MESSAGE)], lookups=lookups)
    assert [emit.topic for emit in new.emits] == [names.get(emit.topic, emit.topic) for emit in old.emits]
    assert [(emit.value or b"").replace(b"adt.raw.v2", b"adt.raw.v1") for emit in new.emits] == [
        emit.value for emit in old.emits
    ]
    assert b"adt.raw.v2/0/7" in (new.emits[0].value or b"")


def test_no_names_no_change() -> None:
    assert renamed(PATIENTS, {}) is PATIENTS


def test_a_refused_record_goes_to_the_other_dead_letters() -> None:
    stage = reconcile.stage(Profiles([HOSPITAL]))
    result = decide_chunk(shadowed(stage, "next", {}, visits=False), MemoryStore(), [record("adt.raw.v1", b"?")])
    assert [(emit.topic, emit.key) for emit in result.emits] == [("shadow.next.adt.dead-letters.v1", b"adt.raw.v1/0/7")]


def test_a_shadow_writes_only_to_its_own_topics() -> None:
    for stage in (PATIENTS, MEMBERS):
        shadow = shadowed(stage, "next", {}, visits=True)
        for topic in (*shadow.outputs, shadow.changelog, shadow.dead_letters):
            assert topic.startswith("shadow.next."), topic
        assert not shadow.ticks
    assert set(shadowed(PATIENTS, "next", {}, visits=True).inputs) == {
        *PATIENTS.inputs,
        "shadow.next.identity.links.v1",
    }
    assert "member.visits.v1" in shadowed(MEMBERS, "next", {}, visits=False).inputs
    chained = shadowed(MEMBERS, "next", {}, visits=True)
    assert set(chained.inputs) == {*MEMBERS.inputs} - {"member.visits.v1"} | {"shadow.next.member.visits.v1"}


def test_a_shadow_hears_the_live_directory_but_not_the_live_merges() -> None:
    shadow = shadowed(PATIENTS, "next", {}, visits=False)
    merge = encode_link(
        Link(
            "merge",
            "GENHOSP|100",
            1_000,
            survivor="GENHOSP|200",
            claim=Claim("merged", 5),
        )
    )
    match = encode_link(Link("waiting-match", "GENHOSP|100", 1_000, member="91234567A", method="roster", rev=3))

    def row_after(*records: Record) -> PatientRow:
        rows = MemoryStore()
        rows.apply_committed(decide_chunk(shadow, rows, [record("adt.raw.v1", MESSAGE), *records], lookups={}))
        row: PatientRow = decoded(rows, shadow)["GENHOSP|100"]
        return row

    assert row_after(record("identity.links.v1", merge)).survivors == {}
    assert set(row_after(record("shadow.next.identity.links.v1", merge)).survivors) == {"GENHOSP|200"}
    assert row_after(record("identity.links.v1", match)).roster["GENHOSP|100"].value == "91234567A"


def test_a_renamed_clock_still_ticks() -> None:
    moved = renamed(MEMBERS, {"clock.ticks.v1": "clock.ticks.v2"})
    tick = Record("clock.ticks.v2", 0, 0, b"0", write_tick(Tick(5_000)), 5_000)
    result = decide_chunk(moved, MemoryStore(), [tick])
    assert (result.clock, result.ticked, result.faults) == (5_000, 5_000, [])
    assert msgspec.structs.replace(moved, clock="clock.ticks.v1").clock == MEMBERS.clock
