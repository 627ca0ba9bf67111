"""Groups of merged patients: one answer for any graph, in any order, with a bounded number of resolutions."""

from __future__ import annotations

import random
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.patient.facts import CIN, Evidence, PatientFacts, Resolution
from domain.patient.groups import Groups
from domain.patient.row import Claim


def merged(patient: str, survivor: str, at: int, cin: str | None = None, seen: int = 0) -> PatientFacts:
    evidence = None if cin is None else Evidence(Claim(cin, seen), CIN)
    return PatientFacts(patient, Claim(survivor, at), {}, evidence)


def alone(patient: str, cin: str | None = None, seen: int = 0) -> PatientFacts:
    return PatientFacts(patient, None, {}, None if cin is None else Evidence(Claim(cin, seen), CIN))


def resolved(facts: list[PatientFacts]) -> dict[str, Resolution]:
    groups = Groups()
    for each in facts:
        groups.update(each)
    groups.resolve_changed()
    return {each.patient: found for each in facts if (found := groups.resolution(each.patient)) is not None}


def test_the_survivors_own_number_holds_and_the_conflict_is_marked() -> None:
    found = resolved([alone("A|1", "M1", 1), merged("A|2", "A|1", 5, "M2", 9)])
    assert found["A|2"] == Resolution("M1", CIN, "A|1", "A|1", conflict=True)


def test_a_survivor_without_a_number_takes_the_retired_ones() -> None:
    found = resolved([alone("A|1"), merged("A|2", "A|1", 5, "M2", 9)])
    assert found["A|1"].member == found["A|2"].member == "M2"


def test_of_several_retired_numbers_the_one_recorded_last_names_the_member() -> None:
    found = resolved([alone("A|1"), merged("A|2", "A|1", 5, "M2", 9), merged("A|3", "A|2", 6, "M3", 8)])
    assert found["A|1"].member == "M2"


def test_merged_there_and_back_the_later_survivor_is_the_root() -> None:
    found = resolved([merged("A|2", "A|1", 5, "M2", 1), merged("A|1", "A|2", 6, "M1", 1)])
    assert {each.root for each in found.values()} == {"A|2"}
    assert {each.member for each in found.values()} == {"M2"}


def test_an_operators_word_holds_for_the_whole_group() -> None:
    retired = PatientFacts("A|2", Claim("A|1", 5), {}, None, Evidence(Claim("M9", 7), "operator"))
    found = resolved([alone("A|1", "M1", 1), retired])
    assert {each.member for each in found.values()} == {"M9"}


def test_linked_patients_keep_their_own_member_and_lend_it_to_who_has_none() -> None:
    link = {"B|1": Claim("linked", 5)}
    found = resolved([PatientFacts("A|1", None, link), alone("B|1", "M2", 1)])
    assert found["A|1"].member == found["B|1"].member == "M2"
    apart = {"A|1": Claim(None, 6)}
    found = resolved([PatientFacts("A|1", None, link), PatientFacts("B|1", None, apart, Evidence(Claim("M2", 1), CIN))])
    assert found["A|1"].member is None


def test_merge_then_unmerge_equals_never_merged() -> None:
    groups = Groups()
    groups.update(alone("A|1", "M1", 1))
    groups.update(merged("A|2", "A|1", 5, "M2", 9))
    groups.resolve_changed()
    groups.update(alone("A|2", "M2", 9))
    groups.resolve_changed()
    assert groups.resolution("A|2") == Resolution("M2", CIN, "A|2", "A|2")
    assert groups.resolution("A|1") == Resolution("M1", CIN, "A|1", "A|1")


_patients = [f"A|{number}" for number in range(6)]


@st.composite
def histories(draw: st.DrawFn) -> list[PatientFacts]:
    """Facts of a few rows, each row's several versions in order."""
    made: list[PatientFacts] = []
    for _ in range(draw(st.integers(1, 14))):
        patient = draw(st.sampled_from(_patients))
        survivor = draw(st.none() | st.sampled_from([other for other in _patients if other != patient]))
        cin = draw(st.none() | st.sampled_from(["M1", "M2"]))
        operator = draw(st.none() | st.none() | st.none() | st.just("M3"))
        partner = draw(st.none() | st.none() | st.sampled_from([other for other in _patients if other != patient]))
        linked = draw(st.sampled_from(["linked", None]))
        at = draw(st.integers(1, 4))
        made.append(
            PatientFacts(
                patient,
                None if survivor is None else Claim(survivor, at),
                {} if partner is None else {partner: Claim(linked, at)},
                None if cin is None else Evidence(Claim(cin, draw(st.integers(1, 4))), CIN),
                None if operator is None else Evidence(Claim(operator, at), "operator"),
            )
        )
    return made


@settings(max_examples=300, deadline=None)
@given(histories(), st.randoms(use_true_random=False), st.booleans())
def test_any_order_of_rows_and_any_batches_give_the_same_resolutions(
    history: list[PatientFacts], chance: random.Random, stepwise: bool
) -> None:
    last = {facts.patient: facts for facts in history}
    shuffled = list(last.values())
    chance.shuffle(shuffled)
    fresh = Groups()
    for facts in shuffled:
        fresh.update(facts)
    fresh.resolve_changed()
    grown = Groups()
    sent: dict[str, Resolution] = {}
    for facts in history:
        grown.update(facts)
        if stepwise or chance.random() < 0.5:
            sent |= dict(grown.resolve_changed())
    sent |= dict(grown.resolve_changed())
    for patient in last:
        assert grown.resolution(patient) == fresh.resolution(patient)
        assert sent[patient] == fresh.resolution(patient)


def ring(size: int) -> list[PatientFacts]:
    return [merged(f"A|{i}", f"A|{(i + 1) % size}", 10 + i, f"M{i}", i) for i in range(size)]


def count_of(facts: list[PatientFacts]) -> int:
    groups = Groups()
    sent = 0
    for each in facts:
        groups.update(each)
        sent += len(groups.resolve_changed())
    return sent


def test_a_ring_of_forty_merges_comes_to_rest_with_one_root() -> None:
    found = resolved(ring(40))
    assert {each.root for each in found.values()} == {"A|0"}
    assert {each.member for each in found.values()} == {"M0"}
    assert count_of(ring(40)) <= 40 * 41


def test_a_star_of_ten_thousand_costs_one_resolution_a_patient() -> None:
    star = [alone("A|0", "M", 1), *(merged(f"A|{i}", "A|0", i, "M", i) for i in range(1, 10_001))]
    started = time.process_time()
    assert count_of(star) == 10_001
    assert time.process_time() - started < 10


def test_a_chain_of_a_thousand_grown_from_its_root_costs_one_resolution_a_patient() -> None:
    chain = [alone("A|0", "M", 1), *(merged(f"A|{i}", f"A|{i - 1}", i) for i in range(1, 1_001))]
    assert count_of(chain) == 1_001


def test_a_chain_of_a_thousand_taken_as_one_batch_costs_one_resolution_a_patient() -> None:
    groups = Groups()
    for i in range(1_000, 0, -1):
        groups.update(merged(f"A|{i}", f"A|{i - 1}", i))
    groups.update(alone("A|0", "M", 1))
    assert len(groups.resolve_changed()) == 1_001


def test_equal_evidence_of_two_retired_patients_is_decided_by_the_patient_key_in_any_order() -> None:
    root = PatientFacts("A|0")
    retired = [
        PatientFacts(name, parent=Claim("A|0", 1), evidence=Evidence(Claim("M2", 1), "cin")) for name in ("A|1", "A|2")
    ]
    for order in (retired, retired[::-1]):
        groups = Groups()
        for facts in (root, *order):
            groups.update(facts)
            groups.resolve_changed()
        found = groups.resolution("A|0")
        assert found is not None
        assert (found.member, found.via) == ("M2", "A|2")
