"""Join visits into episodes: one stay is one stay, however many accounts it had (docs/semantics.md#episodes).

Each joining rule is one function, and its numbers are settings. Positions are those of the ledger's visits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from domain.member.visits import MemberVisit
from domain.rules.ruleset import CountingSettings
from domain.times import HOUR, local_day

_GONE_HOME: Final = frozenset({"HOME", "AMA", "INTO_CUSTODY"})
_SENT_ON: Final = frozenset({"ACUTE_TRANSFER", "POST_ACUTE"})
"""Dispositions that send a patient to another hospital: acute transfers, rehabilitation, long-term acute care."""


def admitted_from(ed: MemberVisit, stay: MemberVisit, settings: CountingSettings) -> bool:
    """Whether an ED visit became a stay.

    At the same facility a stay that begins between the ED arrival and 24 hours after the ED departure (48 hours after
    arrival without one) is that visit's, whatever its disposition; after home, against advice or custody, only within
    two hours. Elsewhere only if the patient was sent on, and within a day.
    """
    return _same_house(ed, stay, settings) or _sent_elsewhere(ed, stay, settings)


def _same_house(ed: MemberVisit, stay: MemberVisit, settings: CountingSettings) -> bool:
    if stay.start < ed.start:
        return False
    if ed.facility != stay.facility and not (ed.disposition_group == "ADMITTED_HERE" and not stay.facility):
        return False
    if not ed.facility and ed.disposition_group != "ADMITTED_HERE":
        return False
    if ed.departed is None:
        return stay.start <= ed.start + settings.ed_open_hours * HOUR
    limit = settings.ed_home_hours if ed.disposition_group in _GONE_HOME else settings.ed_stay_hours
    return stay.start <= ed.departed + limit * HOUR


def _sent_elsewhere(ed: MemberVisit, stay: MemberVisit, settings: CountingSettings) -> bool:
    if ed.departed is None or stay.start < ed.start:
        return False
    sent_on = ed.disposition_group in _SENT_ON or ed.disposition_group == "ADMITTED_HERE"
    return sent_on and stay.day <= local_day(ed.departed) + settings.ed_link_days


def continues_stay(before: MemberVisit, stay: MemberVisit, settings: CountingSettings) -> bool:
    """Whether a stay continues the one before it: it was sent there and began within a day, or began within six hours
    of its departure whatever was said. After home for longer it is a new stay.
    """
    if before.departed is None:
        return False
    if stay.start <= before.departed + settings.transfer_hours * HOUR:
        return True
    sent = before.disposition_group in _SENT_ON
    return sent and stay.day <= local_day(before.departed) + settings.transfer_days


def nursing_episodes(visits: Sequence[MemberVisit], stays: Iterable[int], settings: CountingSettings) -> dict[int, int]:
    """Nursing-facility stay -> the stay that it continues (the first of its episode).

    `stays` are the positions of the nursing-facility stays that took place, in row order.

    The same facility again after at most a day is one stay, whatever the account; another facility on that or the next
    day is one episode, with a move; a return to the same facility within the bed hold continues too.
    """
    first_of: dict[int, int] = {}
    last: int | None = None
    for index in stays:
        visit = visits[index]
        if not visit.day:
            continue
        if last is not None and _continues_nursing(visits[last], visit, settings):
            first_of[index] = first_of.get(last, last)
        if last is None or _ends_later(visit, visits[last]):
            last = index
    return first_of


def _continues_nursing(before: MemberVisit, visit: MemberVisit, settings: CountingSettings) -> bool:
    if before.departed is None:
        # Left open: an account of the same facility that begins while another is open is the same stay.
        return before.facility == visit.facility != ""
    gap = visit.day - local_day(before.departed)
    if before.facility == visit.facility:
        return gap <= settings.nf_bed_hold_days
    return gap <= settings.nf_gap_days


def _ends_later(visit: MemberVisit, other: MemberVisit) -> bool:
    if other.departed is None:
        return visit.departed is None
    return visit.departed is None or visit.departed >= other.departed
