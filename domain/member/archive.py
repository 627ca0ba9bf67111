"""Which visits of a member need no proof in the row any more, and what remains of them there.

A visit that is archived stays in the row as a fact: it is stitched, counted and judged as before, so nothing that is
said about the member changes. What leaves the row is its proof, the messages it rests on. That is why an archived visit
may lie in a chain of spans that reaches into the present: who opens a chain names the candidate for as long as it runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from domain.identity import public_id
from domain.member.candidates import LIVE, judge
from domain.member.counting import read_ledger
from domain.member.evidence import candidate_facts
from domain.member.row import MemberRow
from domain.member.visits import CUSTODY, SNF, STAY, MemberVisit
from domain.rules.rulebook import Rulebook
from domain.times import local_day, months_before

LONGEST_COUNT: Final = 12
"""Months over which utilization is counted."""
MARGIN: Final = 3
"""Months beyond the longest look-back for which visits stay whole: most late corrections come in that time."""
_STAYS: Final = frozenset({STAY, SNF, CUSTODY})


def months_kept(book: Rulebook) -> int:
    """How many months back a visit stays whole: the longest look-back of the rules or of utilization, and a margin."""
    asked = [version.criterion.months for line in book.lines for version in line.versions]
    return max(LONGEST_COUNT, *asked) + MARGIN if asked else LONGEST_COUNT + MARGIN


def is_over(visit: MemberVisit, now: int, months: int) -> bool:
    """Whether nothing of the visit lies within `months` months before `now` (ms UTC).

    A stay that nobody ended is not over. An attendance that nobody ended is: many feeds never send an A03 for one.
    """
    if visit.status == "open" and visit.category in _STAYS:
        return False
    times = [at for at in (visit.start, visit.arrived, visit.departed) if at]
    return local_day(max(times, default=visit.received)) < months_before(local_day(now), months)


def archivable(visits: Iterable[MemberVisit], now: int, months: int) -> list[MemberVisit]:
    """The whole visits that are over, oldest first (in row order)."""
    return [visit for visit in visits if not visit.archived and is_over(visit, now, months)]


def cited_visits(row: MemberRow, member: str, now: int, book: Rulebook) -> frozenset[str]:
    """Keys of the visits in the evidence of each candidate and watch that stands or was answered: these keep their
    proof. An answered candidate is written again when something about its member changes, however old it is.
    """
    ledger = read_ledger(row.visits, book)
    judgement = judge(row, member, ledger, now, book)
    return frozenset(
        proof.key
        for verdict in judgement.verdicts
        if verdict.status == LIVE or verdict.always
        for proof in candidate_facts(verdict, judgement, row, member, ledger, book).lines
    )


def without_messages(visit: MemberVisit) -> MemberVisit:
    """The visit as a row holds it once its proof is in the archive."""
    return msgspec.structs.replace(visit, messages=b"")


def archive_id(member: str, visit: MemberVisit) -> str:
    """The key of a member's archived visit: it names nobody, and each visit has its own, so that a compacted topic
    keeps the last record of each.
    """
    return public_id("v", member, visit.patient, visit.visit)
