"""Folding facts into a member's row."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from domain.member.row import CareResponse, fold_custody, fold_response, fold_roster, fold_visit, is_empty, new_row
from domain.snapshots import RosterFacts
from tests.support.member import a_release, a_visit, revised, snapshot_of


def test_a_known_or_older_snapshot_changes_nothing() -> None:
    first = a_visit("a", "2026-03-01")
    second = revised(first, facility="Elsewhere")
    row = fold_visit(fold_visit(new_row(), first), second)
    assert fold_visit(row, first) is row
    assert fold_visit(row, second) is row
    assert row.visits[0].facility == "Elsewhere"


def test_a_withdrawn_visit_stays_away_until_a_later_revision() -> None:
    first = a_visit("a", "2026-03-01")
    gone = revised(first, status="withdrawn")
    row = fold_visit(fold_visit(new_row(), first), gone)
    assert row.visits == ()
    assert fold_visit(row, first) is row
    back = fold_visit(row, revised(gone, status="closed"))
    assert [visit.revision for visit in back.visits] == [3]
    assert back.withdrawn == {}


def test_a_withdrawal_of_a_record_may_come_as_that_of_a_visit() -> None:
    record = a_release("R1", "2026-03-01")
    row = fold_custody(new_row(), record)
    gone = snapshot_of(record.patient, "R1", 2, 0, status="withdrawn", patient_class="other")
    assert fold_visit(row, gone).custody == ()
    assert fold_custody(fold_visit(row, gone), record).custody == ()


def test_custody_records_fold_like_visits() -> None:
    first = a_release("R1", "2026-03-01")
    second = revised(first, kind="scheduled", occurred=None)
    row = fold_custody(fold_custody(new_row(), second), first)
    assert [(r.kind, r.at) for r in row.custody] == [("scheduled", first.received)]
    other = fold_custody(row, a_release("R0", "2026-02-01"))
    assert [r.record_id for r in other.custody] == ["R0", "R1"]
    assert fold_custody(other, revised(second, status="withdrawn")).custody == other.custody[:1]


def test_the_roster_that_says_the_same_changes_nothing() -> None:
    row = fold_roster(new_row(), RosterFacts(plan="lacare"), 5)
    assert fold_roster(row, RosterFacts(plan="lacare"), 9) is row
    assert row.roster_received == 5
    assert fold_roster(row, None, 9).roster is None


def test_the_later_answer_holds() -> None:
    early, late = CareResponse(1, "accepted", "a", ""), CareResponse(2, "declined", "a", "")
    row = fold_response(fold_response(new_row(), "c", late), "c", early)
    assert row.dispositions == {"c": late}
    assert fold_response(row, "c", late) is row


def test_an_empty_row_need_not_be_kept() -> None:
    assert is_empty(new_row())
    assert not is_empty(fold_visit(new_row(), a_visit("a", "2026-03-01")))
    assert not is_empty(fold_roster(new_row(), RosterFacts(), 1))


@given(st.permutations(range(8)))
def test_any_order_of_snapshots_gives_the_same_facts(order: list[int]) -> None:
    a, r = a_visit("a", "2026-03-01"), a_release("R1", "2026-02-01")
    snapshots = [a, revised(a, facility="B"), a_visit("b", "2026-01-01"), a_visit("a", "2026-03-01", patient="HIE|1")]
    gone = revised(snapshots[2], status="withdrawn")
    snapshots += [gone, snapshots[1]]

    def fold(indexes: list[int]) -> object:
        row = new_row()
        for i in indexes:
            row = fold_custody(row, revised(r) if i == 7 else r) if i >= 6 else fold_visit(row, snapshots[i])
        return row

    assert fold(order) == fold(list(range(8)))
