"""Folding one message into the row of a source patient."""

from __future__ import annotations

from domain.patient.events import ACCOUNT_MOVE, AdtEvent, Merge
from domain.patient.fold import fold_event
from domain.patient.row import Hashes, PatientRow, new_row
from domain.snapshots import Source

PATIENT = "GENHOSP|2"


def after_moves(row: PatientRow, recorded: int, *accounts: str) -> PatientRow:
    """The row after one A44 that moves accounts from another patient to this one."""
    control = f"M{recorded}"
    event = AdtEvent(
        trigger="A44",
        sender="general",
        control_id=control,
        occurred=None,
        patient=PATIENT,
        recorded=recorded,
        built=recorded,
        merges=tuple(Merge(PATIENT, "GENHOSP|1", ACCOUNT_MOVE, account) for account in accounts),
    )
    return fold_event(row, event, Source("general", control, "adt.raw.v1/0/1"), recorded, Hashes())


def test_each_move_of_a_message_has_the_rank_of_the_message() -> None:
    row = after_moves(new_row(PATIENT, 1), 10, "A1")
    row = after_moves(row, 20, "A1", "A2")
    assert {key: claim.recorded for key, claim in row.moves.items()} == {"account-move:A1": 20, "account-move:A2": 20}


def test_an_older_move_changes_nothing() -> None:
    row = after_moves(new_row(PATIENT, 1), 20, "A1", "A2")
    assert after_moves(row, 10, "A1", "A2") is row
