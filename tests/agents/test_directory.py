"""The directory: whoever waits is named, whoever changes hands is told, and neither order nor repeats matter."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.directory import Directory, Listed, MemoryTexts, answer_in, identifier_key
from agents.directory_records import keys_of, read_entry, take
from agents.runtime.contract import Record
from domain.errors import Refusal
from parsers.records.links import Link, decode_link

ANN, BEA = "91234567A", "91234567C"
KEY = b"key"


class Told:
    """What patient rows believe after reading links in any order: the greater (rev, member) wins, as they fold."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], tuple[int, str]] = {}

    def take(self, links: list[Link]) -> None:
        for link in links:
            assert link.identifier is not None
            assert link.kind == ("release" if link.member is None else "waiting-match")
            place = (link.patient, link.identifier)
            self.known[place] = max(self.known.get(place, (0, "")), (link.rev, link.member or ""))

    def owner(self, patient: str, identifier: str | None = None) -> str:
        return self.known.get((patient, identifier or patient), (0, ""))[1]


def fresh() -> Directory:
    return Directory(MemoryTexts(), KEY)


def roster(directory: Directory, member: str, numbers: list[str], rev: int) -> list[Link]:
    """A roster row that lists some numbers and says nothing of the person."""
    return directory.roster(member, Listed(tuple(numbers)), rev)


def test_a_row_names_whoever_waits_for_one_of_its_numbers() -> None:
    directory = fresh()
    assert directory.waiting("G|1", ["PLAN|9"], 5) == []
    links = roster(directory, ANN, ["PLAN|9"], 10)
    assert [(link.patient, link.identifier, link.member, link.rev) for link in links] == [("G|1", "PLAN|9", ANN, 10)]
    assert directory.answer("PLAN|9") == f"{ANN}\x1f10\x1f\x1f\x1f"
    assert directory.answer("G|1") is None


def test_a_patient_who_comes_after_the_row_is_named_at_once() -> None:
    directory = fresh()
    assert roster(directory, ANN, ["G|1"], 10) == []
    (link,) = directory.waiting("G|1", [], 20)
    assert (link.kind, link.member, link.rev, link.received, link.method) == (
        "waiting-match",
        ANN,
        10,
        20,
        "roster-identifier",
    )


def test_a_number_that_moves_is_told_though_nobody_waits() -> None:
    directory = fresh()
    roster(directory, ANN, ["G|1"], 10)
    (link,) = roster(directory, BEA, ["G|1"], 20)
    assert (link.patient, link.member, link.rev) == ("G|1", BEA, 20)


def test_a_member_who_says_so_again_does_not_take_it_back() -> None:
    directory = fresh()
    roster(directory, ANN, ["G|1"], 10)
    roster(directory, BEA, ["G|1"], 20)
    assert roster(directory, ANN, ["G|1"], 30) == []
    (link,) = roster(directory, BEA, [], 40)
    assert (link.member, link.rev) == (ANN, 40)


def test_a_member_who_goes_releases_all_numbers() -> None:
    directory = fresh()
    roster(directory, ANN, ["G|1", "M|2"], 10)
    directory.waiting("G|7", ["M|2"], 11)
    directory.attributed("G|7")
    links = roster(directory, ANN, [], 20)
    assert {(link.patient, link.identifier, link.kind) for link in links} == {
        ("G|1", "G|1", "release"),
        ("M|2", "M|2", "release"),
        ("G|7", "M|2", "release"),
    }
    assert directory.answer("G|1") is None


def test_a_repeat_or_an_older_row_changes_nothing() -> None:
    directory = fresh()
    roster(directory, ANN, ["G|1"], 10)
    before = dict(directory.store.texts)  # type: ignore[attr-defined]
    assert roster(directory, ANN, ["G|1"], 10) == []
    assert roster(directory, ANN, ["G|2"], 9) == []
    assert directory.store.texts == before  # type: ignore[attr-defined]


def test_each_statement_about_a_number_has_a_greater_revision_even_within_one_millisecond() -> None:
    directory = fresh()
    directory.waiting("G|1", [], 1)
    revs = [
        link.rev
        for member, numbers in ((ANN, ["G|1"]), (BEA, ["G|1"]), (BEA, []), (ANN, []))
        for link in roster(directory, member, numbers, 10)
    ]
    assert revs == sorted(set(revs))
    assert len(revs) >= 3


def test_a_patient_whom_no_text_can_hold_is_passed_over() -> None:
    directory = fresh()
    assert directory.waiting("G|\x1f1", ["G|2"], 1) == []
    directory.waiting("G|1", ["G|\x1e", "G|2"], 1)
    assert [link.patient for link in roster(directory, ANN, ["G|2"], 10)] == ["G|1"]


@given(st.permutations(["wait", "ann", "bea-gains", "ann-loses"]), st.integers(0, 3))
def test_any_order_of_patients_and_rows_ends_with_the_same_belief(order: list[str], repeated: int) -> None:
    directory, told = fresh(), Told()
    steps = {
        "wait": lambda: directory.waiting("G|1", [], 5),
        "ann": lambda: roster(directory, ANN, ["G|1"], 10),
        "ann-loses": lambda: roster(directory, ANN, [], 20),
        "bea-gains": lambda: roster(directory, BEA, ["G|1"], 20),
    }
    for name in (*order, order[repeated]):
        told.take(steps[name]())
    assert told.owner("G|1") == BEA
    assert (
        directory.answer(
            "G|1",
        )
        is not None
    )
    assert str(directory.answer("G|1")).startswith(BEA)


def test_links_are_worth_the_same_in_any_order() -> None:
    directory = fresh()
    directory.waiting("G|1", [], 1)
    links = [
        link
        for member, numbers, rev in (
            (ANN, ["G|1"], 10),
            (BEA, ["G|1"], 10),
            (BEA, [], 10),
            (ANN, [], 12),
            (BEA, ["G|1"], 13),
        )
        for link in roster(directory, member, numbers, rev)
    ]
    for order in itertools.permutations(links):
        told = Told()
        told.take([*order, order[0]])
        assert told.owner("G|1") == BEA


def record(topic: str, key: str, value: object, received: int = 50) -> Record:
    data = None if value is None else json.dumps(value).encode()
    return Record(topic, 0, 0, key.encode(), data, received, {"received": str(received).encode()})


def test_records_become_links_on_the_topic() -> None:
    directory = fresh()
    waiting = record("adt.unattributed.v1", "G|1", {"patient": "G|1", "identifiers": ["G|1"], "reason": "no-match"})
    row = {"member_id": ANN, "birth_date": "1980-01-01", "identifiers": [{"authority": "G", "number": "1"}]}
    assert take(directory, read_entry(waiting, KEY)) == []
    (emit,) = take(directory, read_entry(record("members.roster.v1", ANN, row, 60), KEY))
    assert (emit.topic, emit.key) == ("identity.links.v1", b"G|1")
    assert emit.value is not None
    assert decode_link(emit.value).member == ANN
    assert dict(emit.headers) == {"received": b"60"}
    assert take(directory, read_entry(record("adt.unattributed.v1", "G|1", None), KEY)) == []
    (released,) = take(directory, read_entry(record("members.roster.v1", ANN, None, 70), KEY))
    assert released.value is not None
    assert decode_link(released.value).kind == "release"


def test_what_is_fetched_beforehand_is_what_is_needed() -> None:
    directory = fresh()
    row = {"member_id": ANN, "birth_date": "1980-01-01", "identifiers": [{"authority": "G", "number": "1"}]}
    asked: list[str] = []
    get = directory.store.get
    directory.store.get = lambda key: asked.append(key) or get(key)  # type: ignore[func-returns-value, method-assign]
    for each in (
        record("members.roster.v1", ANN, row),
        record("adt.unattributed.v1", "G|1", {"patient": "G|1", "identifiers": []}),
    ):
        asked.clear()
        take(directory, read_entry(each, KEY))
        assert set(asked) <= set(keys_of(read_entry(each, KEY)))


@pytest.mark.parametrize(
    "wrong",
    [
        record("members.roster.v1", ANN, {"member_id": ANN}),
        record("adt.unattributed.v1", "G|1", ["no"]),
        Record("members.roster.v1", 0, 0, None, None, 1),
    ],
)
def test_a_record_that_cannot_be_read_is_refused_and_changes_nothing(wrong: Record) -> None:
    directory = fresh()
    with pytest.raises(Refusal):
        take(directory, read_entry(wrong, KEY))
    assert directory.store.texts == {}  # type: ignore[attr-defined]


def test_an_answer_is_only_the_owner_and_the_revision() -> None:
    directory = fresh()
    roster(directory, ANN, ["G|1"], 10)
    stored = directory.store.get(identifier_key("G|1"))
    assert stored != f"{ANN}\x1f10\x1f\x1f\x1f"
    assert answer_in(stored) == f"{ANN}\x1f10\x1f\x1f\x1f"
    assert answer_in(None) is None


def test_a_record_of_another_topic_is_nothing_to_the_directory() -> None:
    directory = fresh()
    other = record("adt.raw.v1", "G|1", {})
    assert (keys_of(read_entry(other, KEY)), take(directory, read_entry(other, KEY))) == ([], [])
    gone = record("members.roster.v1", ANN, None)
    assert keys_of(read_entry(gone, KEY)) == ["member:" + ANN]


def test_a_patient_who_waits_again_is_listed_once() -> None:
    directory = fresh()
    directory.waiting("G|1", ["G|2"], 1)
    directory.waiting("G|1", ["G|2"], 2)
    assert len(roster(directory, ANN, ["G|2"], 10)) == 1


def asks(patient: str, **asked: int) -> Record:
    """The facts of a patient in no group, which asks for identifiers."""
    questions = {name.replace("_", "|"): rev for name, rev in asked.items()}
    return record("identity.facts.v1", patient, [patient, None, {}, None, None, [], questions])


def links_of(directory: Directory, given: Record) -> list[Link]:
    return [decode_link(emit.value or b"") for emit in take(directory, read_entry(given, KEY))]


def person(birth_date: str, rev: int) -> Record:
    return record("members.roster.v1", ANN, {"member_id": ANN, "birth_date": birth_date}, rev)


def test_an_attributed_patient_gets_the_guard_of_a_row_that_comes_later_and_of_its_correction() -> None:
    directory = fresh()
    guard = f"guard_{ANN}"
    assert links_of(directory, asks("G|1", **{guard: 0})) == []
    (first,) = links_of(directory, person("1980-01-01", 10))
    (second,) = links_of(directory, person("1980-01-02", 20))
    assert (first.patient, first.rev, second.rev) == ("G|1", 10, 20)
    assert first.guard is not None
    assert second.guard is not None
    assert first.guard.birth != second.guard.birth
    assert links_of(directory, person("1980-01-01", 15)) == [], "an older row changes nothing"
    assert links_of(directory, asks("G|1", **{guard: 20})) == [], "it has the last answer"
    (late,) = links_of(directory, asks("G|2", **{guard: 10}))
    assert (late.patient, late.rev, late.guard) == ("G|2", 20, second.guard)


def test_a_patient_that_only_asks_takes_no_place_among_the_groups() -> None:
    directory = fresh()
    links_of(directory, asks("G|1", G_1=0))
    assert directory.resolve_groups(1) == []
    (link,) = roster(directory, ANN, ["G|1"], 10)
    assert (link.patient, link.member) == ("G|1", ANN)
