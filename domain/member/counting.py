"""Which visits count, and why the others do not: one reason each (docs/semantics.md#counting).

The reasons here do not depend on a window: `outside_window` and the day on which an open nursing-facility stay stops
being short-term are answered for a window by `reason_in`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from domain.member.dedup import join_duplicates
from domain.member.visits import (
    ED,
    ELECTIVE,
    LABOR,
    LONG_TERM,
    NEWBORN,
    OBSERVATION,
    PLANNED_READMISSION,
    SNF,
    STAY,
    MemberVisit,
)
from domain.rules.rulebook import Rulebook
from domain.times import local_day

COUNTED: Final = "counted"
CANCELLED: Final = "cancelled"
PLANNED: Final = "planned"
BECAME_INPATIENT: Final = "became_inpatient"
SAME_DAY: Final = "same_day"
TRANSFER: Final = "transfer_continuation"
IN_OBSERVATION: Final = "observation"
NEWBORN_STAY: Final = "newborn"
DELIVERY: Final = "delivery"
DUPLICATE: Final = "duplicate_feed"
HEARSAY: Final = "hearsay"
OUTSIDE: Final = "outside_window"
NOT_SHORT_TERM: Final = "not_short_term"
REASONS: Final = (
    COUNTED, CANCELLED, PLANNED, BECAME_INPATIENT, SAME_DAY, TRANSFER, IN_OBSERVATION, NEWBORN_STAY, DELIVERY,
    DUPLICATE, HEARSAY, OUTSIDE, NOT_SHORT_TERM,
)  # fmt: skip

TRANSFERRED: Final = 1
READMITTED: Final = 2
EVER: Final = 4_000_000
"""A day (ordinal) after all others."""
_REASON_OF_STATUS: Final = {"cancelled": CANCELLED, "expected": PLANNED}
_ONWARD: Final = ("ACUTE_TRANSFER", "ADMITTED_HERE")


class Counted(msgspec.Struct, frozen=True, gc=False):
    """One visit that counts: from instant `start` on day `day`, until day `until` begins (long NF stays; else EVER)."""

    start: int
    day: int
    category: str
    index: int
    until: int


class Ledger(msgspec.Struct, frozen=True, gc=False):
    """A member's visits, read. `visits` and `reasons` run in parallel; `reasons` is "" where counting has no say."""

    visits: list[MemberVisit]
    reasons: list[str]
    counted: list[Counted]
    duplicates: dict[int, int]
    links: dict[int, int]
    """Stays that continue (TRANSFERRED) or follow within 30 days (READMITTED) an earlier acute stay."""
    death: int
    """The position of the visit that ended with the member's death, or -1."""


def read_ledger(held: Sequence[MemberVisit], book: Rulebook) -> Ledger:
    """Give each visit its reason. `held` is in row order (start, patient, visit)."""
    practice = book.settings
    visits, duplicates = join_duplicates(held, practice.stitch_minutes)
    reasons: list[str] = []
    counted: list[Counted] = []
    links: dict[int, int] = {}
    ed_days: set[int] = set()
    last_out, planned_until, death = -EVER, -EVER, -1
    for index, visit in enumerate(visits):
        status, group, day = visit.status, visit.category, visit.day
        until = EVER
        if status not in ("open", "closed") or not day:
            reasons.append(_REASON_OF_STATUS.get(status, HEARSAY))
            continue
        if index in duplicates:
            reasons.append(DUPLICATE)
            continue
        if death < 0 and visit.disposition_group == "EXPIRED":
            death = index
        if group == ED:
            if visit.disposition_group in _ONWARD and _was_admitted(visit, visits, duplicates, practice.ed_link_days):
                reason = BECAME_INPATIENT
            elif day in ed_days:
                reason = SAME_DAY
            else:
                ed_days.add(day)
                reason = COUNTED
        elif group == STAY:
            gap = day - last_out
            reason = _stay_reason(visit, book, planned_until, gap)
            if gap < practice.transfer_gap_days:
                links[index] = TRANSFERRED
            elif reason is COUNTED and gap <= practice.readmission_days:
                links[index] = READMITTED
            if visit.departed is not None:
                out = local_day(visit.departed)
                last_out = max(last_out, out)
                if visit.flags & PLANNED_READMISSION:
                    planned_until = max(planned_until, out + practice.readmission_days)
        elif group == SNF:
            reason = NOT_SHORT_TERM if visit.flags & LONG_TERM else COUNTED
            long = visit.departed is None or local_day(visit.departed) - day > practice.snf_short_days
            if long:
                until = day + practice.snf_short_days + 1
        else:
            reason = IN_OBSERVATION if group == OBSERVATION else ""
        reasons.append(reason)
        if reason is COUNTED:
            counted.append(Counted(visit.start, day, group, index, until))
    return Ledger(visits, reasons, counted, duplicates, links, death)


def reason_in(reason: str, day: int, until: int, first: int, last: int) -> str:
    """A visit's reason as seen from the window of days [first, last], from its reason without one."""
    if reason != COUNTED:
        return reason
    if day < first:
        return OUTSIDE
    return NOT_SHORT_TERM if last >= until else COUNTED


def _stay_reason(visit: MemberVisit, book: Rulebook, planned_until: int, gap: int) -> str:
    marks = visit.flags
    conditions = book.conditions(visit.diagnoses, visit.day) if visit.diagnoses else 0
    if marks & NEWBORN or conditions & book.newborn:
        return NEWBORN_STAY
    if not book.settings.count_deliveries and (marks & LABOR or conditions & book.delivery):
        return DELIVERY
    if marks & ELECTIVE or visit.day <= planned_until:
        return PLANNED
    return TRANSFER if gap < book.settings.transfer_gap_days else COUNTED


def _was_admitted(visit: MemberVisit, visits: Sequence[MemberVisit], duplicates: dict[int, int], days: int) -> bool:
    """Whether an ED attendance that was sent on became a stay, here or elsewhere, within `days` calendar days."""
    if visit.departed is None:
        return False
    last = local_day(visit.departed) + days
    return any(
        stay.category == STAY
        and stay.asserted
        and stay.start >= visit.start
        and stay.day <= last
        and index not in duplicates
        for index, stay in enumerate(visits)
    )
