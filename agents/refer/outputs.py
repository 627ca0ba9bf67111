"""Emit the difference between what should stand and what was emitted (docs/semantics.md#what-goes-out).

`derive_outputs` ends every decision of the member stage. Its emits depend on the facts, on now and on the memory of the
row; what stands on the topics afterward depends on the facts and on now alone, revisions and receipts aside.
"""

from __future__ import annotations

import msgspec

from agents.refer import render
from agents.refer.events import Emission
from agents.refer.transitions import emit_transitions
from agents.runtime.contract import Emit
from agents.topics import CANDIDATES, UTILIZATION, WATCHLIST
from domain.member.candidates import LIVE, Judgment, Verdict, judge
from domain.member.counting import IN_OBSERVATION, Ledger, read_ledger
from domain.member.evidence import CandidateFacts, candidate_facts, complete_since
from domain.member.row import EmittedDocument, MemberRow
from domain.member.transitions import due_of_visit
from domain.member.utilization import count_visits
from domain.member.visits import SNF, digest
from domain.rules.rulebook import Rulebook
from domain.times import local_day


def derive_outputs(
    before: MemberRow, row: MemberRow, member: str, now: int, received: int, book: Rulebook, source: str
) -> tuple[MemberRow, list[Emit]]:
    """(the row with its memory, what to emit). `before` is the row ahead of this record; times are ms UTC."""
    emission = Emission(member, now, received, complete_since(row), source)
    ledger = read_ledger(row.visits, book)
    # A new roster row may change who was in ECM when a transition occurred, and so which transitions have an alert.
    transitions, emits = emit_transitions(row, ledger, emission, book, all_again=row.roster is not before.roster)
    used, counted, counts_due = _utilization(row, ledger, emission)
    emitted, judged, candidates_due = _candidates(row, ledger, emission, book)
    dues = [due for due in (counts_due, candidates_due, *_visit_dues(row, ledger, now, book)) if due is not None]
    after = msgspec.structs.replace(
        row,
        transitions=transitions,
        emitted=emitted,
        utilization=used,
        next_due=min(dues, default=None),
        rules=book.stamp,
    )
    return after, [*emits, *counted, *judged]


def _visit_dues(row: MemberRow, ledger: Ledger, now: int, book: Rulebook) -> list[int | None]:
    """When a visit or custody record changes something by the passing of time alone."""
    dues = [
        due_of_visit(visit, now, book)
        for visit in ledger.visits
        if visit.start > now or (visit.departed is not None and visit.departed > now) or visit.category == SNF
    ]
    later = [record.at for record in row.custody if record.at > now]
    later += [person.died for person in row.persons if person.died > now]
    return [*dues, *later]


def _utilization(
    row: MemberRow, ledger: Ledger, emission: Emission
) -> tuple[EmittedDocument | None, list[Emit], int | None]:
    """(memory, emits, next due) of the member's counts: a tombstone when nothing is left that could be counted."""
    now, known = emission.now, row.utilization
    counts = count_visits(ledger, now, local_day(now))
    subject = "u_" + digest(emission.member).hex()
    if not _anything_to_count(ledger, now):
        if known is None or known.status != LIVE:
            return known, [], counts.due
        revision = known.revision + 1
        emit = emission.record(UTILIZATION, emission.member, None, "utilization.emptied", subject, revision)
        return EmittedDocument(revision, "empty", b"", ""), [emit], counts.due
    keys = [ledger.visits[index].visit for index in counts.visits]
    fingerprint = digest((counts.counts, emission.since, keys))
    if known is not None and known.digest == fingerprint:
        return known, [], counts.due
    revision = known.revision + 1 if known is not None else 1
    document = render.utilization(counts, keys, emission, revision)
    emit = emission.record(UTILIZATION, emission.member, document, "utilization.counted", subject, revision)
    return EmittedDocument(revision, LIVE, fingerprint, ""), [emit], counts.due


def _candidates(
    row: MemberRow, ledger: Ledger, emission: Emission, book: Rulebook
) -> tuple[dict[str, EmittedDocument], list[Emit], int | None]:
    """(memory, emits, next due) of candidates and watches."""
    judgment = judge(row, emission.member, ledger, emission.now, book)
    changed: dict[str, EmittedDocument] = {}
    emits: list[Emit] = []
    for verdict in judgment.verdicts:
        known = row.emitted.get(verdict.id)
        live = known is not None and known.status == LIVE
        if verdict.status != LIVE and not verdict.always and not live:
            continue
        if verdict.watch and verdict.status != LIVE:
            assert known is not None
            changed[verdict.id] = EmittedDocument(known.revision + 1, verdict.status, b"", known.line)
            emits.append(emission.record(WATCHLIST, verdict.id, None, "watch.lapsed", verdict.id, known.revision + 1))
            continue
        facts = candidate_facts(verdict, judgment, row, emission.member, ledger, book)
        fingerprint = render.candidate_digest(facts, row, judgment.eligibility, emission.since, verdict.superseded_by)
        if known is not None and known.status == verdict.status and known.digest == fingerprint:
            continue
        revision = known.revision + 1 if known is not None else 1
        supersedes = verdict.supersedes or (known.supersedes if known is not None else None)
        changed[verdict.id] = EmittedDocument(revision, verdict.status, fingerprint, verdict.line.name, supersedes)
        emits.append(_document(verdict, facts, judgment, row, emission, book, changed[verdict.id], amended=live))
    return ({**row.emitted, **changed} if changed else row.emitted), emits, judgment.due


def _document(
    verdict: Verdict,
    facts: CandidateFacts,
    judgment: Judgment,
    row: MemberRow,
    emission: Emission,
    book: Rulebook,
    memory: EmittedDocument,
    *,
    amended: bool,
) -> Emit:
    """The record of one candidate or watch that is new or has changed."""
    if verdict.watch:
        watch = render.watch(facts, row, emission, book, memory.revision)
        return emission.record(WATCHLIST, verdict.id, watch, f"watch.{watch.status}", verdict.id, memory.revision)
    status = verdict.status
    if status == LIVE:
        status = "amended" if amended else "raised"
    candidate = render.candidate(facts, row, judgment.eligibility, emission, book, memory, status)
    return emission.record(CANDIDATES, verdict.id, candidate, f"candidate.{status}", verdict.id, memory.revision)


def _anything_to_count(ledger: Ledger, now: int) -> bool:
    if any(entry.start <= now for entry in ledger.counted):
        return True
    return any(
        reason == IN_OBSERVATION and visit.start <= now
        for reason, visit in zip(ledger.reasons, ledger.visits, strict=True)
    )
