"""Which visits can leave their messages to the archive, and what stays in the row (docs/decisions/0010-archive.md).

An archived visit stays in the row as a fact: it is joined, counted and judged as before, so no document changes. Only
its messages leave the row. An archived visit may therefore open a chain of spans that reaches into the present, whose
candidate has its ID from that visit.
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
"""Months beyond the longest look-back for which visits keep their messages: most late corrections come in that time."""
_STAYS: Final = frozenset({STAY, SNF, CUSTODY})


def months_kept(book: Rulebook) -> int:
    """For how many months a visit keeps its messages: the longest look-back of rules or utilization, and a margin."""
    months = [version.criterion.months for line in book.lines for version in line.versions]
    return max((LONGEST_COUNT, *months)) + MARGIN


def is_over(visit: MemberVisit, now: int, months: int) -> bool:
    """Whether nothing of the visit lies within `months` months before `now` (ms UTC).

    A stay without an end is not over. An ED or outpatient visit without an end is: many feeds never send an A03 for it.
    """
    if visit.status == "open" and visit.category in _STAYS:
        return False
    times = [at for at in (visit.start, visit.arrived, visit.departed) if at]
    return local_day(max(times, default=visit.received)) < months_before(local_day(now), months)


def archivable(visits: Iterable[MemberVisit], now: int, months: int) -> list[MemberVisit]:
    """The visits that are over and still have their messages, in row order (oldest first)."""
    return [visit for visit in visits if not visit.archived and is_over(visit, now, months)]


def cited_visits(row: MemberRow, member: str, now: int, book: Rulebook) -> frozenset[str]:
    """Keys of the visits in the evidence of all candidates and watches that are live or answered at `now` (ms UTC).

    These keep their messages: an answered candidate is emitted again when a fact changes, however old it is.
    """
    ledger = read_ledger(row.visits, book)
    judgment = judge(row, member, ledger, now, book)
    return frozenset(
        line.key
        for verdict in judgment.verdicts
        if verdict.status == LIVE or verdict.always
        for line in candidate_facts(verdict, judgment, row, member, ledger, book).lines
    )


def without_messages(visit: MemberVisit) -> MemberVisit:
    """The visit as an archived one: `MemberVisit.archived` is true of it."""
    return msgspec.structs.replace(visit, messages=b"")


def archive_id(member: str, visit: MemberVisit) -> str:
    """The key of an archived visit on `member.archive.v1`. It discloses no number, and each visit has its own, so a
    compacted topic keeps the last record of each.
    """
    return public_id("v", member, visit.patient, visit.visit)
