"""Whether a member may be a candidate at all: plan, programmes, ECM, death, and what care management answered.

Verified enrollment in a program that excludes ECM keeps a candidate from going out; a suspicion is only noted
(docs/semantics.md#eligibility). Everything is judged on a California day.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from domain.member.counting import Ledger
from domain.member.row import CareResponse, MemberRow
from domain.member.spans import Chain
from domain.rules.rulebook import Rulebook
from domain.snapshots import EcmStatus, RosterFacts
from domain.times import DAY, day_of, day_start, local_day

CLOSING: Final = frozenset({"enrolled", "declined", "unreachable", "not_eligible", "closed"})
"""Answers after which there is nothing more to propose."""
COOLING_OFF: Final = frozenset({"declined", "unreachable"})
ANSWERS: Final = CLOSING | {"received", "accepted", "outreach"}
_ENDED: Final = frozenset({"ended", "disenrolled", "discontinued"})
_WAS_IN: Final = _ENDED | {"enrolled"}


class Eligibility(msgspec.Struct, frozen=True, gc=False):
    """How the member stands today. `bar`: what keeps every candidate from going out, or None. `findings`: each
    programme that excludes ECM, and clear, suspected or verified."""

    blocked_by: str | None
    findings: tuple[tuple[str, str], ...]
    suspected: tuple[str, ...]


def assess(row: MemberRow, roster: RosterFacts, ledger: Ledger, now: int, today: int, book: Rulebook) -> Eligibility:
    """The member's standing at `now` (ms UTC), which falls on `today`."""
    findings = book.clear(today)
    verified = ""
    if roster.programmes or not book.hinting.isdisjoint([visit.disposition_group for visit in ledger.visits]):
        findings, verified = _findings(roster, ledger, now, today, book)
    blocked_by = None
    if died_by(row, ledger, now):
        blocked_by = "died"
    elif verified:
        blocked_by = f"excluded:{verified}"
    elif roster.ecm is not None and enrolled_on(roster.ecm, today):
        blocked_by = "enrolled"
    return Eligibility(blocked_by, findings, tuple(name for name, finding in findings if finding == "suspected"))


def _findings(
    roster: RosterFacts, ledger: Ledger, now: int, today: int, book: Rulebook
) -> tuple[tuple[tuple[str, str], ...], str]:
    """(each programme that excludes ECM and what is known of it, the first that is verified or "")."""
    findings: list[tuple[str, str]] = []
    verified = ""
    for name, _ in book.clear(today):
        exclusion = book.exclusions[name]
        finding = "clear"
        for programme in roster.programmes:
            if programme.id == exclusion.id and _holds(_day(programme.start), _day(programme.end), today):
                finding = "verified" if programme.verified or finding == "verified" else "suspected"
        if finding == "clear" and exclusion.disposition_group and _left_to(exclusion.disposition_group, ledger, now):
            finding = "suspected"
        if finding == "verified" and not verified:
            verified = exclusion.id
        findings.append((name, finding))
    return tuple(findings), verified


def not_a_member(roster: RosterFacts, day: int) -> str | None:
    """Why the member was in no managed care plan on `day`, or None when it was."""
    if not roster.plan:
        return "no_plan"
    return None if _holds(_day(roster.enrolled_from), _day(roster.enrolled_to), day) else "not_enrolled"


def enrolled_on(ecm: EcmStatus, day: int) -> bool:
    """Whether the member was in ECM on `day`. An end without a beginning covers nothing."""
    if ecm.status in _ENDED and (ecm.start is None or ecm.end is None):
        return False
    return ecm.status in _WAS_IN and _holds(_day(ecm.start), _day(ecm.end), day)


def cooling_off(row: MemberRow, chain: Chain, others: set[str], now: int, book: Rulebook) -> str | None:
    """Why a population rests: ECM ended, or another of its candidates was declined, less than 90 days (setting) ago.

    What opened after ECM ended is new and does not rest; what opened before a candidate was declined is not held by it.
    """
    rest, opened = book.settings.rest_days, chain.opener.start
    ecm = row.roster.ecm if row.roster is not None else None
    if ecm is not None and ecm.end is not None and ecm.status in _WAS_IN:
        first = day_of(ecm.end) + 1
        if opened < day_start(first) <= now < day_start(first + rest):
            return "ecm_ended"
    for other in others:
        answer = row.dispositions.get(other)
        if answer is not None and answer.status in COOLING_OFF and answer.at <= opened and now < answer.at + rest * DAY:
            return "rests"
    return None


def answer_to(row: MemberRow, candidate: str, chain: Chain, orphans: set[str], now: int) -> CareResponse | None:
    """The answer that holds for a chain: its own, else the latest to a name that the facts no longer bear.

    `orphans` are names that candidates of this line had before late facts moved their opening; an answer to one of
    them, given while this chain ran, was an answer to this chain.
    """
    own = row.dispositions.get(candidate)
    if own is not None:
        return own if own.at <= now else None
    inherited = [
        answer
        for answer in (row.dispositions.get(name) for name in orphans)
        if answer is not None and chain.opener.start <= answer.at < chain.spans[-1].end and answer.at <= now
    ]
    return max(inherited, key=lambda a: (a.at, a.status, a.actor, a.reason), default=None)


def eligibility_dues(roster: RosterFacts, answers: Mapping[str, CareResponse], book: Rulebook) -> list[int]:
    """All instants (ms UTC), past and to come, at which the standing changes by itself."""
    rest = book.settings.rest_days
    dues = [answer.at for answer in answers.values()]
    dues += [answer.at + rest * DAY for answer in answers.values()]
    for programme in roster.programmes:
        dues += _edges(programme.start, programme.end)
    if roster.ecm is not None:
        dues += _edges(roster.ecm.start, roster.ecm.end)
        if roster.ecm.end is not None:
            dues.append(day_start(day_of(roster.ecm.end) + 1 + rest))
    dues += book.exclusion_edges
    return dues


def died_by(row: MemberRow, ledger: Ledger, now: int) -> bool:
    """Whether the member had died by `now`: a visit ended so, or a hospital registered it (PID-29, PID-30)."""
    if any(person.died <= now for person in row.persons):
        return True
    if ledger.death < 0:
        return False
    visit = ledger.visits[ledger.death]
    return (visit.departed if visit.departed is not None else visit.start) <= now


def enrolled_at(roster: RosterFacts | None, at: int) -> str | None:
    """The ECM provider ("" when none is named) of a member who was in ECM at the instant `at`; None for no ECM."""
    if roster is None or roster.ecm is None or not enrolled_on(roster.ecm, local_day(at)):
        return None
    return roster.ecm.provider


def _left_to(group: str, ledger: Ledger, now: int) -> bool:
    return any(
        visit.disposition_group == group and visit.asserted and visit.departed is not None and visit.departed <= now
        for visit in ledger.visits
    )


def _edges(start: str | None, end: str | None) -> list[int]:
    edges = [] if start is None else [day_start(day_of(start))]
    return edges if end is None else [*edges, day_start(day_of(end) + 1)]


def _day(text: str | None) -> int | None:
    return None if text is None else day_of(text)


def _holds(start: int | None, end: int | None, day: int) -> bool:
    return (start is None or start <= day) and (end is None or day <= end)
