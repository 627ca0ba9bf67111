"""Whether a member may be a candidate at all: plan, programs, ECM, death, and the answers of care management.

Verified enrollment in a program that excludes ECM closes every candidate; a suspicion is only shown
(docs/semantics.md#eligibility). Days are California days (ordinals).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from domain.member.counting import Ledger
from domain.member.custody import DIED
from domain.member.enrollment import enrollment_edges, on_day
from domain.member.row import CareResponse, MemberRow
from domain.member.spans import Chain
from domain.rules.rulebook import Rulebook
from domain.snapshots import EcmStatus, RosterFacts
from domain.times import DAY, day_of, day_start, local_day

CLOSING: Final = frozenset({"enrolled", "declined", "unreachable", "not_eligible", "closed"})
"""Answers that close a candidate."""
COOLING_OFF: Final = frozenset({"declined", "unreachable"})
"""Answers after which other candidates of the population rest."""
ANSWERS: Final = CLOSING | {"received", "accepted", "outreach"}
_ENDED: Final = frozenset({"ended", "disenrolled", "discontinued"})
_WAS_IN: Final = _ENDED | {"enrolled"}


class Eligibility(msgspec.Struct, frozen=True, gc=False):
    """A member's eligibility at one instant.

    `blocked_by` is the reason that closes every candidate, or None. `findings` has each program that excludes ECM with
    clear, suspected or verified; `suspected` the programs that are suspected.
    """

    blocked_by: str | None
    findings: tuple[tuple[str, str], ...]
    suspected: tuple[str, ...]


def assess(row: MemberRow, roster: RosterFacts, ledger: Ledger, now: int, today: int, book: Rulebook) -> Eligibility:
    """The eligibility at `now` (ms UTC), which falls on day `today`: death first, then exclusions, then ECM."""
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
    """(each program that excludes ECM and its finding, the first program that is verified or "")."""
    findings: list[tuple[str, str]] = []
    verified = ""
    for name, _ in book.clear(today):
        exclusion = book.exclusions[name]
        finding = "clear"
        for program in roster.programmes:
            if program.id == exclusion.id and _holds(_day(program.start), _day(program.end), today):
                finding = "verified" if program.verified or finding == "verified" else "suspected"
        if finding == "clear" and exclusion.disposition_group and _left_to(exclusion.disposition_group, ledger, now):
            finding = "suspected"
        if finding == "verified" and not verified:
            verified = exclusion.id
        findings.append((name, finding))
    return tuple(findings), verified


def not_a_member(roster: RosterFacts, day: int) -> str | None:
    """The reason if the member was in no managed care plan on `day`, else None."""
    roster = on_day(roster, day)
    if not roster.plan:
        return "no_plan"
    return None if _holds(_day(roster.enrolled_from), _day(roster.enrolled_to), day) else "not_enrolled"


def enrolled_on(ecm: EcmStatus, day: int) -> bool:
    """Whether the member was in ECM on `day`. An ended enrollment without both of its days covers no day."""
    if ecm.status in _ENDED and (ecm.start is None or ecm.end is None):
        return False
    return ecm.status in _WAS_IN and _holds(_day(ecm.start), _day(ecm.end), day)


def cooling_off(row: MemberRow, chain: Chain, others: set[str], now: int, book: Rulebook) -> str | None:
    """The reason if a live chain rests at `now` (ms UTC), else None.

    `ecm_ended`: ECM ended less than 90 days (`rest_days`) ago, and the chain opened before. `rests`: less than 90 days
    ago another candidate of the population (`others`, IDs) was declined or unreachable, and the chain opened after.
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


def answer_to(row: MemberRow, candidate: str, chain: Chain, former: set[str], now: int) -> CareResponse | None:
    """The answer that applies to a chain at `now` (ms UTC): its own, else the latest to one of its `former` IDs.

    Candidates of this line had those IDs before late facts changed what opened the chain. An answer to one of them,
    given while this chain ran, is an answer to this chain.
    """
    own = row.dispositions.get(candidate)
    if own is not None:
        return own if own.at <= now else None
    inherited = [
        answer
        for answer in (row.dispositions.get(name) for name in former)
        if answer is not None and chain.opener.start <= answer.at < chain.spans[-1].end and answer.at <= now
    ]
    return max(inherited, key=lambda a: (a.at, a.status, a.actor, a.reason), default=None)


def eligibility_dues(roster: RosterFacts, answers: Mapping[str, CareResponse], book: Rulebook) -> list[int]:
    """All instants (ms UTC), past and future, at which eligibility changes by the passing of time."""
    rest = book.settings.rest_days
    dues = [answer.at for answer in answers.values()]
    dues += [answer.at + rest * DAY for answer in answers.values()]
    for program in roster.programmes:
        dues += _edges(program.start, program.end)
    if roster.ecm is not None:
        dues += _edges(roster.ecm.start, roster.ecm.end)
        if roster.ecm.end is not None:
            dues.append(day_start(day_of(roster.ecm.end) + 1 + rest))
    dues += enrollment_edges(roster)
    dues += book.exclusion_edges
    return dues


def died_by(row: MemberRow, ledger: Ledger, now: int) -> bool:
    """Whether the member had died by `now` (ms UTC): a visit ended so, or a hospital registered it (PID-29, PID-30)."""
    if any(person.died <= now for person in row.persons):
        return True
    if any(record.at <= now for record in ledger.custody.events(DIED)):
        return True
    if ledger.death < 0:
        return False
    visit = ledger.visits[ledger.death]
    return (visit.departed if visit.departed is not None else visit.start) <= now


def enrolled_at(roster: RosterFacts | None, at: int) -> str | None:
    """The ECM provider ("" when none is named) of a member in ECM at `at` (ms UTC); None when not in ECM."""
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
