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
from domain.identity import digest
from domain.member.candidates import LIVE, judge
from domain.member.counting import IN_OBSERVATION, Ledger, read_ledger
from domain.member.evidence import candidate_facts
from domain.member.row import EmittedDocument, MemberRow
from domain.member.transitions import due_of_visit
from domain.member.utilization import count_visits
from domain.member.visits import SNF
from domain.rules.rulebook import Rulebook
from domain.times import local_day
from parsers.records.documents import Candidate, Watch


def derive_outputs(
    before: MemberRow, row: MemberRow, emission: Emission, book: Rulebook
) -> tuple[MemberRow, list[Emit]]:
    """(the row with its memory and next due time, records to emit). `before` is the row before this record."""
    ledger = read_ledger(row.visits, book, row.custody)
    # A new roster row may change who was in ECM when a transition occurred, and so which transitions have an alert.
    transitions, emits = emit_transitions(row, ledger, emission, book, all_again=row.roster is not before.roster)
    utilization, counted, counts_due = _utilization(row, ledger, emission)
    emitted, judged, candidates_due = _candidates(row, ledger, emission, book)
    dues = [
        due for due in (counts_due, candidates_due, *_visit_dues(row, ledger, emission.now, book)) if due is not None
    ]
    after = msgspec.structs.replace(
        row,
        transitions=transitions,
        emitted=emitted,
        utilization=utilization,
        next_due=min(dues, default=None),
        rules=book.stamp,
    )
    return after, [*emits, *counted, *judged]


def _visit_dues(row: MemberRow, ledger: Ledger, now: int, book: Rulebook) -> list[int | None]:
    """When a visit, custody record or death changes something by the passing of time alone (ms UTC)."""
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
    """(memory, emits, next due) of the member's counts. A tombstone follows when nothing is left to count."""
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
    """(memory, emits, next due) of candidates and watches; a watch that ended has a tombstone for its document."""
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
        memory = EmittedDocument(revision, verdict.status, fingerprint, verdict.line.name, supersedes)
        changed[verdict.id] = memory
        document: Watch | Candidate
        if verdict.watch:
            topic, kind, document = WATCHLIST, "watch", render.watch(facts, row, emission, book, revision)
        else:
            status = verdict.status if verdict.status != LIVE else "amended" if live else "raised"
            topic, kind = CANDIDATES, "candidate"
            document = render.candidate(facts, row, judgment.eligibility, emission, book, memory, status)
        emits.append(emission.record(topic, verdict.id, document, f"{kind}.{document.status}", verdict.id, revision))
    return ({**row.emitted, **changed} if changed else row.emitted), emits, judgment.due


def _anything_to_count(ledger: Ledger, now: int) -> bool:
    if any(entry.start <= now for entry in ledger.counted):
        return True
    return any(
        reason == IN_OBSERVATION and visit.start <= now
        for reason, visit in zip(ledger.reasons, ledger.visits, strict=True)
    )
