"""The content of a candidate or watch: its window, its counts, and the evidence, visit by visit.

The window of a count criterion ends on the last day on which its count could have changed (a counted visit came, or one
left it), so the content does not depend on when it is derived in between. Recounting the evidence gives the counts
(docs/semantics.md#laws).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import msgspec

from domain.member.ages import ages_of
from domain.member.candidates import LIVE, Judgment, Verdict
from domain.member.counting import COUNTED, EVER, OUTSIDE, Ledger, reason_in
from domain.member.custody import BOOKED, RELEASED
from domain.member.enrollment import on_day
from domain.member.releases import RELEASE, SURE, Release, custody_key, entitled
from domain.member.row import MemberRow
from domain.member.spans import Span, leaving
from domain.member.transitions import opening_kind, transition_id
from domain.member.visits import COUNTABLE, HOMELESS, IMPAIRED, SNF, MemberVisit
from domain.rules.rulebook import Rulebook
from domain.rules.ruleset import Criterion, Route, Support
from domain.times import leaves_window, local_day, months_before

BACK: Final = "back_in_custody"
CONDITION: Final = "condition"
"""The reason of a visit that is not counted but has a diagnosis that the rule requires."""
_SHOWN_CLASS: Final = {SNF: "snf"}
_NO_ROUTE: Final = Route("", "plan-of-record", "No route is declared for this plan.", "")


class EvidenceLine(msgspec.Struct, frozen=True, gc=False):
    """One line of evidence: a visit or a release, and the one reason for which it counts or does not."""

    key: str
    kind: str
    facility: str
    arrived: int | None
    departed: int | None
    reason: str
    messages: bytes
    fingerprint: bytes

    @property
    def counted(self) -> bool:
        """Whether the rule counts it."""
        return self.reason == COUNTED


class CandidateFacts(msgspec.Struct, frozen=True, gc=False):
    """The content of a document about one verdict, without times of receipt.

    `first` and `last` are the days of the window, both included. All days are ordinals.
    """

    verdict: Verdict
    state: str
    criterion: Criterion
    first: int
    last: int
    counts: tuple[int, int, int, int]
    """ED, inpatient, SNF, releases."""
    lines: tuple[EvidenceLine, ...]
    conditions: tuple[str, ...]
    opener: Span | None
    opener_kind: str
    opener_facility: str
    transition: str
    decision_by: int | None
    followup_by: int | None
    supports: tuple[Support, ...]
    route: Route
    impaired: bool


def candidate_facts(
    verdict: Verdict, judgment: Judgment, row: MemberRow, member: str, ledger: Ledger, book: Rulebook
) -> CandidateFacts:
    """The facts of a verdict. Its document depends on these and on the roster row alone."""
    line, chain, at = verdict.line, verdict.chain, verdict.at
    criterion = line.version_at(at if verdict.status == LIVE else at - 1)
    if line.kind == "release":
        chosen = judgment.releases
        if row.roster is not None:
            ages = None if row.roster.birth_date is None else ages_of(row.roster.birth_date)
            chosen = entitled(chosen, criterion, row.roster, ages)
        first, last, lines, sure = _release_lines(verdict, chosen, criterion, ledger, book)
    else:
        first, last, lines = _visit_lines(verdict, criterion, ledger, book)
        sure = True
    bits = _conditions(ledger, at, book)
    opener = chain.opener if chain is not None else None
    visit = None if opener is None else _visit_of(opener.key, ledger)
    kind = "" if opener is None else opening_kind(opener.kind)
    stays = [p for p in lines if p.counted and _COLUMN[p.kind] in _STAYS]
    discharged = max((p.departed for p in stays if p.departed is not None and p.departed <= at), default=None)
    conditions = book.names_of(bits)
    again = _back_in_custody(verdict, ledger) if line.kind == "release" else None
    if again is not None:
        lines = (*lines, again)
    event = "release" if line.kind == "release" else "" if discharged is None else "discharge"
    return CandidateFacts(
        verdict=verdict,
        state="near_threshold" if verdict.watch else "meets_criteria" if sure and again is None else "needs_review",
        criterion=criterion,
        first=first,
        last=last,
        counts=recount(lines),
        lines=lines,
        conditions=conditions,
        opener=opener,
        opener_kind=kind,
        opener_facility=_facility(opener, visit, judgment.releases),
        transition="" if opener is None else transition_id(member, kind, opener.key),
        decision_by=None
        if opener is None
        else _working_days_after(local_day(opener.start), book.settings.decision_working_days),
        followup_by=None if discharged is None else local_day(discharged) + book.settings.followup_days,
        supports=book.supports(line.population, conditions, event),
        route=_route(row, line.kind, at, book),
        impaired=row.impaired or _impaired(ledger),
    )


def recount(lines: tuple[EvidenceLine, ...]) -> tuple[int, int, int, int]:
    """(ED, inpatient, SNF, releases): how many lines of the evidence are counted."""
    counts = [0, 0, 0, 0]
    for each in lines:
        if each.counted:
            counts[_COLUMN[each.kind]] += 1
    return (counts[0], counts[1], counts[2], counts[3])


_COLUMN: Final = {
    "emergency": 0,
    "observation": 0,
    "inpatient": 1,
    "obstetrics": 1,
    "newborn": 1,
    "snf": 2,
    RELEASE: 3,
}
"""Class of a visit as evidence shows it -> its place in the counts: every class of a category that counts."""
_STAYS: Final = (1, 2)


def complete_since(row: MemberRow) -> int | None:
    """The first day (ordinal) of which the row has anything: a count over a longer look-back is a lower bound."""
    days = [record_day for record_day in (visit.day for visit in row.visits if visit.asserted) if record_day][:1]
    days += [local_day(record.at) for record in row.custody[:1]]
    return min(days, default=None)


def _visit_lines(
    verdict: Verdict, criterion: Criterion, ledger: Ledger, book: Rulebook
) -> tuple[int, int, tuple[EvidenceLine, ...]]:
    at, months = verdict.at, criterion.months
    today = local_day(at)
    last = 0
    for entry in ledger.counted:
        if entry.start <= at:
            left = leaving(entry, months)
            last = max(last, left if left <= today else entry.day)
    last = last or today
    first = months_before(last, months)
    until = {entry.index: entry.until for entry in ledger.counted}
    lines = []
    for index, visit in enumerate(ledger.visits):
        if visit.category not in COUNTABLE or not visit.day or visit.start > at:
            continue
        reason = reason_in(ledger.reasons[index], visit.day, until.get(index, EVER), first, last)
        if visit.day >= first or (reason == OUTSIDE and visit.day >= first - book.settings.outside_days):
            lines.append(_line_of_visit(visit, reason))
    return first, last, tuple(lines)


def _release_lines(
    verdict: Verdict, found: list[Release], criterion: Criterion, ledger: Ledger, book: Rulebook
) -> tuple[int, int, tuple[EvidenceLine, ...], bool]:
    """(window, releases of the chain and visits with a required condition, whether a counted release is certain)."""
    at = (
        verdict.at
        if verdict.status == LIVE or verdict.chain is None or verdict.chain.live(verdict.at)
        else verdict.at - 1
    )
    today = local_day(at)
    since = verdict.chain.opener.opened if verdict.chain is not None else at
    lines, days, sure = [], [], False
    for release in found:
        if not since <= release.at <= at:
            continue
        day = local_day(release.at)
        holds = today < leaves_window(day, criterion.months)
        if holds:
            days.append(day)
            sure = sure or release.confidence in SURE
        lines.append(
            EvidenceLine(
                release.key,
                RELEASE,
                release.facility,
                None,
                release.at,
                COUNTED if holds else OUTSIDE,
                release.messages,
                release.fingerprint,
            )
        )
    wanted = book.bits_of(criterion.conditions)
    for visit in ledger.visits:
        shows = visit.asserted and visit.start <= at and book.conditions(visit.diagnoses, visit.day) & wanted
        if shows:
            lines.append(_line_of_visit(visit, CONDITION))
    first = min(days, default=today)
    last = leaves_window(max(days), criterion.months) - 1 if days else today
    return first, last, tuple(lines), sure


def _back_in_custody(verdict: Verdict, ledger: Ledger) -> EvidenceLine | None:
    """The booking after the last release, if there is one: the person may be in custody again."""
    at = verdict.at
    left = [release.at for release in ledger.custody.events(RELEASED) if release.at <= at]
    booked = [booking for booking in ledger.custody.events(BOOKED) if booking.at <= at]
    if not left or not booked or booked[-1].at < left[-1]:
        return None
    last = booked[-1]
    key = custody_key(last.record_id)
    return EvidenceLine(key, RELEASE, last.facility, last.at, None, BACK, last.messages, last.fingerprint)


def _line_of_visit(visit: MemberVisit, reason: str) -> EvidenceLine:
    return EvidenceLine(
        visit.visit,
        _SHOWN_CLASS.get(visit.category, visit.patient_class),
        visit.facility,
        visit.arrived,
        visit.departed,
        reason,
        visit.messages,
        visit.fingerprint,
    )


def _impaired(ledger: Ledger) -> bool:
    """Whether a source patient's row behind one of the visits misses a record."""
    flags = 0
    for visit in ledger.visits:
        flags |= visit.flags
    return bool(flags & IMPAIRED)


def _conditions(ledger: Ledger, at: int, book: Rulebook) -> int:
    bits = 0
    for visit in ledger.visits:
        if visit.asserted and visit.start <= at:
            if visit.diagnoses:
                bits |= book.conditions(visit.diagnoses, visit.day)
            if visit.flags & HOMELESS:
                bits |= book.homeless
    return bits


def _visit_of(key: str, ledger: Ledger) -> MemberVisit | None:
    return next((visit for visit in ledger.visits if visit.visit == key), None)


def _facility(opener: Span | None, visit: MemberVisit | None, found: list[Release]) -> str:
    if opener is None:
        return ""
    if visit is not None:
        return visit.facility
    return next((release.facility for release in found if release.key == opener.key), "")


def _route(row: MemberRow, kind: str, at: int, book: Rulebook) -> Route:
    """How the member's plan at `at` takes a referral after a hospital visit or a release: the first route that fits."""
    if row.roster is None:
        return _NO_ROUTE
    roster = on_day(row.roster, local_day(at))
    trigger = "custody" if kind == "release" else "hospital"
    for route in book.rules.routes:
        fits = route.plan == roster.plan and route.trigger in ("any", trigger)
        if fits and route.delegate in ("", roster.delegate):
            return route
    return msgspec.structs.replace(_NO_ROUTE, plan=roster.plan)


@lru_cache(maxsize=4096)
def _working_days_after(day: int, days: int) -> int:
    """The day (ordinal) that many working days (Monday to Friday) after `day`."""
    while days:
        day += 1
        # Ordinal 1 was a Monday.
        if (day - 1) % 7 < 5:
            days -= 1
    return day
