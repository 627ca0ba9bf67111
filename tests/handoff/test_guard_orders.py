"""A number, the roster's birth date, and its correction: one answer in every order, without another message."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence

import pytest

from agents.reconcile.decide import TEST_KEY
from domain.patient.ownership import owner
from handoff.replay import Replay
from parsers.hl7.profiles import Profiles
from tests.support.replaying import RULES

MEMBER, OTHER = "91234567A", "91234567C"
START = 1_790_000_000_000
RIGHT, WRONG = "1980-01-01", "1945-12-31"


def row(member: str, birth_date: str, *numbers: str) -> bytes:
    identifiers = [{"authority": "GENHOSP", "number": number} for number in numbers]
    return json.dumps({"member_id": member, "birth_date": birth_date, "identifiers": identifiers}).encode()


def message(trigger: str, minute: int, pid: str) -> bytes:
    at = f"2026092110{minute:02d}00"
    return (
        f"MSH|^~\\&|ADT|GENHOSP|H|P|{at}||ADT^{trigger}|C{minute}|P|2.5.1\rEVN||{at}\r"
        f"PID|1||{pid}||RIVERA^ANA||19800101|F\rPV1|1|E|||||||||||||||||V1\r"
    ).encode()


BY_CIN = "100^^^GENHOSP^MR~91234567A^^^MEDI-CAL^MA"
BY_NUMBER = "100^^^GENHOSP^MR"
Step = tuple[str, str, bytes, int]


def played(steps: Sequence[Step]) -> tuple[str, str | None]:
    """(member of the patient or "", reason for being unattributed or None) after the steps in this order.

    The stamps of roster rows give their order; the last to be read need not be the last in time.
    """
    replay = Replay(Profiles([]), RULES, lambda topic, emit: None)
    for topic, key, value, received in steps:
        replay.put(topic, key, value, START + received)
        replay._flush()
    (patient,) = replay.rows("reconcile").values()
    return owner(
        patient, TEST_KEY
    ).member or "", None if patient.unattributed is None else patient.unattributed.partition(":")[0]


def steps_of(pid: str, first: str, corrected: str, messages: int) -> list[Step]:
    adt = [("adt.raw.v1", "GENHOSP|100", message("A04", 1 + n, pid), 5) for n in range(messages)]
    numbers = () if pid == BY_CIN else ("100",)
    rows = [
        ("members.roster.v1", MEMBER, row(MEMBER, birth, *numbers), at) for birth, at in ((first, 1), (corrected, 2))
    ]
    return [*adt, *rows]


@pytest.mark.parametrize("pid", [BY_CIN, BY_NUMBER])
@pytest.mark.parametrize("messages", [1, 2])
@pytest.mark.parametrize(("first", "corrected"), [(WRONG, RIGHT), (RIGHT, WRONG), (RIGHT, RIGHT), (WRONG, WRONG)])
def test_every_order_of_message_row_and_corrected_row_ends_alike(
    pid: str, messages: int, first: str, corrected: str
) -> None:
    steps = steps_of(pid, first, corrected, messages)
    found = {played(order) for order in itertools.permutations(steps)}
    assert found == {(MEMBER, None) if corrected == RIGHT else ("", "identity-conflict")}


def test_every_order_ends_alike_when_the_number_moves_to_another_member_whose_birth_date_is_corrected() -> None:
    steps = [
        *steps_of(BY_NUMBER, RIGHT, RIGHT, 1)[:2],
        ("members.roster.v1", OTHER, row(OTHER, WRONG, "100"), 3),
        ("members.roster.v1", OTHER, row(OTHER, RIGHT, "100"), 4),
    ]
    assert {played(order) for order in itertools.permutations(steps)} == {(OTHER, None)}
