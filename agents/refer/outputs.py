"""What has to be said: the difference between what a member's row should have emitted and what it remembers.

`settle` is the end of every decision of the member stage. Its emits depend on the facts, on now and on the memory; what
stands on the topics when it is done depends on the facts and on now alone (but for revisions and receipts).
"""

from __future__ import annotations

import msgspec

from agents.refer import render
from agents.refer.events import cloud_event
from agents.refer.transitions import TransitionEmitter
from agents.runtime.contract import Emit
from agents.topics import CANDIDATES, UTILIZATION, WATCHLIST
from domain.member.candidates import LIVE, Verdict, judge
from domain.member.counting import IN_OBSERVATION, Ledger, read_ledger
from domain.member.evidence import candidate_facts, complete_since
from domain.member.row import EmittedDocument, MemberRow
from domain.member.transitions import due_of_visit
from domain.member.utilization import count_visits
from domain.member.visits import SNF, digest
from domain.rules.rulebook import Rulebook
from domain.times import local_day


def derive_outputs(
    before: MemberRow, row: MemberRow, member: str, now: int, received: int, book: Rulebook, source: str
) -> tuple[MemberRow, list[Emit]]:
    """(the row that remembers, what to emit). `before` is the row ahead of this record; times are ms UTC."""
    outcome = _Outputs(row, member, now, received, book, source)
    ledger = read_ledger(row.visits, book)
    roster_moved = row.roster is not before.roster
    outcome.transitions(ledger, afresh=roster_moved)
    outcome.utilization(ledger)
    outcome.candidates(ledger)
    return outcome.row(ledger), outcome.emits


class _Outputs:
    """One settling: gathers emits and the memory that goes with them."""

    def __init__(self, row: MemberRow, member: str, now: int, received: int, book: Rulebook, source: str) -> None:
        self._row, self._member, self._now, self._received = row, member, now, received
        self._book, self._source = book, source
        self._since = complete_since(row)
        self._transitions, self._emitted, self._used = row.transitions, row.emitted, row.utilization
        self._dues: list[int] = []
        self.emits: list[Emit] = []

    def row(self, ledger: Ledger) -> MemberRow:
        """The row with its new memory and its next due time."""
        now = self._now
        for visit in ledger.visits:
            if visit.start > now or (visit.departed is not None and visit.departed > now) or visit.category == SNF:
                due = due_of_visit(visit, now, self._book)
                if due is not None:
                    self._dues.append(due)
        self._dues += [record.at for record in self._row.custody if record.at > now]
        return msgspec.structs.replace(
            self._row,
            transitions=self._transitions,
            emitted=self._emitted,
            utilization=self._used,
            next_due=min(self._dues, default=None),
            rules=self._book.stamp,
        )

    def transitions(self, ledger: Ledger, *, afresh: bool) -> None:
        """Say what happened, and alert; `afresh` when the roster may have changed who is in ECM."""
        teller = TransitionEmitter(self._row, self._member, self._now, self._received, self._book, self._emit)
        self._transitions = teller.emit_transitions(ledger, afresh=afresh)

    def utilization(self, ledger: Ledger) -> None:
        """Say the counts, if there is anything that ever counted; a tombstone when there no longer is."""
        now, known = self._now, self._used
        counts = count_visits(ledger, now, local_day(now))
        if counts.due is not None:
            self._dues.append(counts.due)
        subject = "u_" + digest(self._member).hex()
        if not _anything_to_count(ledger, now):
            if known is not None and known.status == LIVE:
                self._emit(UTILIZATION, self._member, None, "utilization.emptied", subject, known.revision + 1)
                self._used = EmittedDocument(known.revision + 1, "empty", b"", "")
            return
        keys = [ledger.visits[index].visit for index in counts.visits]
        fingerprint = digest((counts.counts, self._since, keys))
        if known is not None and known.digest == fingerprint:
            return
        revision = known.revision + 1 if known is not None else 1
        document = render.utilization(
            counts,
            keys,
            self._member,
            since=self._since,
            revision=revision,
            now=now,
            received=self._received,
        )
        self._emit(UTILIZATION, self._member, document, "utilization.counted", subject, revision)
        self._used = EmittedDocument(revision, LIVE, fingerprint, "")

    def candidates(self, ledger: Ledger) -> None:
        """Say what became of candidates and watches."""
        judgment = judge(self._row, self._member, ledger, self._now, self._book)
        if judgment.due is not None:
            self._dues.append(judgment.due)
        changed: dict[str, EmittedDocument] = {}
        for verdict in judgment.verdicts:
            known = self._emitted.get(verdict.id)
            was_live = known is not None and known.status == LIVE
            if verdict.status != LIVE and not verdict.always and not was_live:
                continue
            if verdict.watch and verdict.status != LIVE:
                assert known is not None
                changed[verdict.id] = self._end_watch(verdict, known)
                continue
            facts = candidate_facts(verdict, judgment, self._row, self._member, ledger, self._book)
            fingerprint = render.candidate_digest(
                facts, self._row, judgment.eligibility, self._since, verdict.superseded_by
            )
            if known is not None and known.status == verdict.status and known.digest == fingerprint:
                continue
            revision = known.revision + 1 if known is not None else 1
            supersedes = verdict.supersedes or (known.supersedes if known is not None else None)
            if verdict.watch:
                watch = render.watch(
                    facts,
                    self._row,
                    self._member,
                    self._book,
                    since=self._since,
                    revision=revision,
                    now=self._now,
                    received=self._received,
                )
                self._emit(WATCHLIST, verdict.id, watch, f"watch.{watch.status}", verdict.id, revision)
            else:
                status = verdict.status
                if status == LIVE:
                    status = "amended" if was_live else "raised"
                candidate = render.candidate(
                    facts,
                    self._row,
                    self._member,
                    judgment.eligibility,
                    self._book,
                    since=self._since,
                    revision=revision,
                    status=status,
                    supersedes=supersedes,
                    superseded_by=verdict.superseded_by,
                    now=self._now,
                    received=self._received,
                )
                self._emit(CANDIDATES, verdict.id, candidate, f"candidate.{status}", verdict.id, revision)
            changed[verdict.id] = EmittedDocument(revision, verdict.status, fingerprint, verdict.line.name, supersedes)
        if changed:
            self._emitted = {**self._emitted, **changed}

    def _end_watch(self, verdict: Verdict, known: EmittedDocument) -> EmittedDocument:
        self._emit(WATCHLIST, verdict.id, None, "watch.lapsed", verdict.id, known.revision + 1)
        return EmittedDocument(known.revision + 1, verdict.status, b"", known.line)

    def _emit(
        self, topic: str, key: str, document: msgspec.Struct | None, kind: str, subject: str, revision: int
    ) -> None:
        event_id = f"{subject}/{revision}"
        self.emits.append(cloud_event(topic, key, document, kind, subject, event_id, self._source, self._now))


def _anything_to_count(ledger: Ledger, now: int) -> bool:
    if any(entry.start <= now for entry in ledger.counted):
        return True
    return any(
        reason == IN_OBSERVATION and visit.start <= now
        for reason, visit in zip(ledger.reasons, ledger.visits, strict=True)
    )
