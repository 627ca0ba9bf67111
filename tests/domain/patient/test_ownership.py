"""The member of a source patient: the table of docs/semantics.md#ownership, line by line."""

from __future__ import annotations

from itertools import permutations

import pytest

from domain.patient.demographics import hash_birth, hash_name
from domain.patient.fold import fold_roster, fold_survivor
from domain.patient.ownership import Owner, facts_of, owner
from domain.patient.row import Claim, Guard, OwnerAnnouncement, PatientRow, new_row, replace

KEY = b"a key of tests"
ANN, BEN, CAL = "91234567A", "91234567C", "91234567D"
BORN = "1980-01-02"


def row(**fields: object) -> PatientRow:
    return replace(new_row("GENHOSP|100", 1), **fields)


def guard(birth: str) -> Guard:
    return Guard(1, hash_birth(KEY, birth), hash_name(KEY, "Doe", "Ana"), "F")


OPERATOR = {"operator": Claim(ANN, 1)}
GROUP = {"grouped": True, "group": OwnerAnnouncement(1, BEN, "cin", "GENHOSP|200", root="GENHOSP|200")}
CIN = {"cin": Claim(CAL, 9)}
ROSTER = {"roster": {"GENHOSP|100": Claim(ANN, 5)}}
MATCH = {"roster": {"demographics|1f": Claim(BEN, 5)}}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (OPERATOR | GROUP | CIN | ROSTER, Owner(ANN, "operator")),
        (GROUP | CIN | ROSTER, Owner(BEN, "merge")),
        (CIN | ROSTER, Owner(CAL, "cin")),
        (ROSTER, Owner(ANN, "roster")),
        (MATCH, Owner(BEN, "demographics")),
        ({}, Owner(None, "no-match")),
        ({"bad_cin": True}, Owner(None, "bad-cin")),
        ({"roster": {"A|1": Claim(ANN, 5), "B|2": Claim(BEN, 6)}}, Owner(None, "ambiguous")),
        ({"roster": {"A|1": Claim(ANN, 5), "B|2": Claim(None, 6)}}, Owner(ANN, "roster")),
    ],
)
def test_the_first_evidence_of_the_order_names_the_member(fields: dict[str, object], expected: Owner) -> None:
    assert owner(row(**fields), KEY) == expected


def test_an_operators_decision_that_was_released_decides_nothing() -> None:
    assert owner(row(operator=Claim(None, 2), **CIN), KEY) == Owner(CAL, "cin")


def test_a_group_without_a_member_leaves_the_rows_own_evidence() -> None:
    nobody = OwnerAnnouncement(1, None, "no-match", root="GENHOSP|200")
    assert owner(row(grouped=True, group=nobody, **CIN), KEY) == Owner(CAL, "cin")


@pytest.mark.parametrize(
    ("stated", "newborn", "expected"),
    [
        (BORN, False, Owner(CAL, "cin")),
        (None, False, Owner(CAL, "cin")),
        ("1980-01-03", False, Owner(CAL, "cin")),  # one digit differs, name and sex agree: a typing error
        ("1980-02-01", False, Owner(None, "identity-conflict")),
        ("2026-03-01", True, Owner(None, "child_of")),
    ],
)
def test_a_number_is_refused_if_the_rosters_birth_date_is_another(
    stated: str | None, newborn: bool, expected: Owner
) -> None:
    person = {
        "birth": None if stated is None else Claim(stated, 1),
        "name": Claim(hash_name(KEY, "DOE", "ANA"), 1),
        "sex": Claim("F", 1),
        "newborn": newborn,
        "guards": {CAL: guard(BORN)},
    }
    assert owner(row(**CIN, **person), KEY) == expected


def test_a_refused_cin_leaves_the_number_that_the_roster_lists() -> None:
    person = {"birth": Claim("1999-09-09", 1), "guards": {CAL: guard(BORN), ANN: guard("1999-09-09")}}
    assert owner(row(**CIN, **ROSTER, **person), KEY) == Owner(ANN, "roster")


def test_roster_statements_in_any_order_give_the_same_member() -> None:
    statements = [("GENHOSP|100", ANN, 1), ("GENHOSP|100", None, 2), ("GENHOSP|100", BEN, 3)]
    for order in permutations(statements):
        folded = row()
        for identifier, member, rev in order:
            folded = fold_roster(folded, identifier, member, rev)
        assert owner(folded, KEY) == Owner(BEN, "roster")


def test_facts_have_the_merge_of_the_greatest_rank_as_the_parent() -> None:
    merges = [("GENHOSP|200", Claim("merged", 5)), ("GENHOSP|300", Claim("merged", 7))]
    for order in permutations(merges):
        merged = row()
        for survivor, claim in order:
            merged = fold_survivor(merged, survivor, claim)
        parent = facts_of(merged, KEY).parent
        assert parent is not None
        assert (parent.value, parent.recorded) == ("GENHOSP|300", 7)


def test_an_unmerge_ends_the_merges_recorded_up_to_it() -> None:
    merged = fold_survivor(row(), "GENHOSP|200", Claim("merged", 5))
    assert facts_of(replace(merged, unmerged=Claim("operator", 5)), KEY).parent is None
    assert facts_of(replace(merged, unmerged=Claim("operator", 4)), KEY).parent is not None


def test_facts_never_depend_on_a_resolution() -> None:
    alone = row(**CIN, grouped=True)
    assert facts_of(replace(alone, group=GROUP["group"]), KEY) == facts_of(alone, KEY)
