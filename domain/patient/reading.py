"""Sort the statements about one visit by role: in force, taken back by a cancel, superseded.

Rules: docs/semantics.md#cancels. A `Reading` is a function of the set of statements, as everything derived from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from domain.patient.events import DELETED
from domain.patient.statements import ARRIVALS, CANCELS, CLASS_MARKS, PLANS, Statement, Winners, is_interim, winners
from domain.times import MINUTE

CONFIRMING: Final = CLASS_MARKS | {"A02", "A03"}
"""Triggers that show that a visit took place although its arrival is not known."""
STAYS: Final = ("inpatient", "obstetrics")
"""Classes of an admission."""


class Reading(msgspec.Struct, frozen=True, gc=False):
    """The statements of one visit by role: in force (`standing`), or taken back by a cancel (`cancelled`)."""

    winners: Winners
    standing: list[Statement]
    cancelled: list[Statement]
    arrivals: list[Statement]
    confirming: list[Statement]
    """A02, A03, A06, A07 that are later than every cancel of an arrival."""
    departure: Statement | None
    """The departure recorded last, interim ones aside."""
    plans: list[Statement]
    revoked: bool
    """An arrival was taken back, or an A11 denies one that is not known."""


def sort_out(statements: Sequence[Statement]) -> Reading:
    """The statements of one visit by role."""
    last = _last_of_each_trigger(statements)
    standing, cancelled = split_by_cancels(statements, last)
    arrivals = [s for s in standing if s.trigger in ARRIVALS]
    # A cancel of an arrival, known or not, denies the visit up to its own rank.
    denials = [s.rank for s in statements if s.trigger == "A11"]
    denials += [s.rank for s in statements if s.trigger == "A23"]
    denied = max(denials, default=None)
    named = [s for s in standing if s.trigger in CONFIRMING]
    confirming = [s for s in named if denied is None or s.rank > denied]
    taken_back = any(s.trigger in ARRIVALS for s in cancelled) or (denied is not None and bool(named))
    left = [s for s in standing if s.trigger == "A03" and not is_interim(s)]
    return Reading(
        winners=winners(statements),
        standing=standing,
        cancelled=cancelled,
        arrivals=arrivals,
        confirming=confirming,
        departure=max(left, key=lambda s: (s.rank, s.when.at), default=None),
        plans=[s for s in standing if s.trigger in PLANS],
        revoked=taken_back and not arrivals and not confirming,
    )


def _last_of_each_trigger(statements: Iterable[Statement]) -> dict[str, Statement]:
    """Of arrivals, class marks and departures, the statement of each trigger recorded last: a time that was sent again
    is corrected, so a cancel of the last one brings no earlier one back. An interim A03 supersedes nothing.
    """
    last: dict[str, Statement] = {}
    for statement in statements:
        known = last.get(statement.trigger)
        if _gives_way(statement) and (
            known is None or (statement.rank, statement.when.at) >= (known.rank, known.when.at)
        ):
            last[statement.trigger] = statement
    return last


def _gives_way(statement: Statement) -> bool:
    """Whether a later statement of the same trigger corrects it."""
    trigger = statement.trigger
    return trigger in ARRIVALS or trigger in CLASS_MARKS or (trigger == "A03" and not is_interim(statement))


def split_by_cancels(
    statements: Sequence[Statement], last: dict[str, Statement]
) -> tuple[list[Statement], list[Statement]]:
    """(statements that stand, statements that a cancel took back). Superseded statements are in neither.

    A cancel takes back statements of its triggers up to its own rank. Its EVN-6 identifies one, to the minute; if it is
    empty or matches none, the cancel takes back all. An A11 that leaves the visit in class emergency takes back the
    admission alone.
    """
    candidates = [s for s in statements if s.trigger not in CANCELS and (not _gives_way(s) or last[s.trigger] is s)]
    taken: set[int] = set()
    for cancel in statements:
        if cancel.trigger in CANCELS:
            taken.update(id(s) for s in _taken_back(cancel, candidates))
    return [s for s in candidates if id(s) not in taken], [s for s in candidates if id(s) in taken]


def _taken_back(cancel: Statement, candidates: Sequence[Statement]) -> list[Statement]:
    kinds = CANCELS[cancel.trigger]
    of_kind = [s for s in candidates if s.trigger in kinds]
    before = [s for s in of_kind if s.rank <= cancel.rank]
    if cancel.trigger == "A23":
        return before
    if cancel.occurred is not None:
        minute = cancel.occurred.at // MINUTE
        named = [s for s in before if s.when.at // MINUTE == minute]
        if named or any(s.when.at // MINUTE == minute for s in of_kind):
            return named
    if cancel.trigger == "A11" and cancel.patient_class == "emergency":
        admissions = [s for s in before if s.patient_class in STAYS]
        if admissions and len(admissions) < len(before):
            return admissions
    return before


def value_of(register: Winners, name: str) -> Any:
    """The value of a register; None when nothing stated it or it was deleted (`""` in HL7)."""
    entry = register.get(name)
    return None if entry is None or entry[1] == DELETED else entry[1]


def text_of(register: Winners, name: str) -> str:
    """The text of a register; empty where `value_of` is None."""
    return value_of(register, name) or ""
