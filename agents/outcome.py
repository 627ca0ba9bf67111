"""What has to be said: the difference between what a member's row should have emitted and what it remembers.

`settle` is the end of every decision of the member stage. Its emits depend on the facts, on now and on the memory; what
stands on the topics when it is done depends on the facts and on now alone (but for revisions and receipts).
"""

from __future__ import annotations

from typing import Final

import msgspec

from agents import documents as doc
from agents import writing
from agents.documents import cloud_event
from agents.stage import Emit
from domain.candidates import LIVE, Verdict, judge
from domain.cases import build_case, complete_since
from domain.counting import IN_OBSERVATION, Ledger, read_ledger
from domain.members import OTHER, SNF, Emitted, MemberRow, Said, Told, digest
from domain.rulebook import Rulebook
from domain.standing import enrolled_at
from domain.times import HOUR, local_day, rfc3339
from domain.transitions import (
    Transition,
    custody_transition,
    due_of_visit,
    said_key,
    sight_of,
    speakers,
    visit_transitions,
)
from domain.utilization import use

_SILENT: Final = -2
"""The sight of a visit that is gone."""


def settle(
    before: MemberRow, row: MemberRow, member: str, now: int, received: int, book: Rulebook, source: str
) -> tuple[MemberRow, list[Emit]]:
    """(the row that remembers, what to emit). `before` is the row ahead of this record; times are ms UTC."""
    outcome = _Outcome(row, member, now, received, book, source)
    ledger = read_ledger(row.visits, book)
    roster_moved = row.roster is not before.roster
    outcome.transitions(ledger, afresh=roster_moved)
    outcome.utilization(ledger)
    outcome.candidates(ledger)
    return outcome.row(ledger), outcome.emits


class _Outcome:
    """One settling: gathers emits and the memory that goes with them."""

    def __init__(self, row: MemberRow, member: str, now: int, received: int, book: Rulebook, source: str) -> None:
        self._row, self._member, self._now, self._received = row, member, now, received
        self._book, self._source = book, source
        self._since = complete_since(row)
        self._said, self._emitted, self._used = row.said, row.emitted, row.utilization
        self._dues: list[int] = []
        self.emits: list[Emit] = []

    def row(self, ledger: Ledger) -> MemberRow:
        """The row with its new memory and its next due time."""
        now = self._now
        for visit in ledger.visits:
            if visit.start > now or (visit.departed is not None and visit.departed > now) or visit.group == SNF:
                due = due_of_visit(visit, now, self._book)
                if due is not None:
                    self._dues.append(due)
        self._dues += [record.at for record in self._row.custody if record.at > now]
        return msgspec.structs.replace(
            self._row,
            said=self._said,
            emitted=self._emitted,
            utilization=self._used,
            next_due=min(self._dues, default=None),
            rules=self._book.stamp,
        )

    # Transitions and alerts

    def transitions(self, ledger: Ledger, *, afresh: bool) -> None:
        """Say what happened. Visits that look as they did are passed over, unless `afresh`."""
        row, now, said = self._row, self._now, self._said
        changed: dict[str, Said] = {}
        shared = len({visit.visit for visit in ledger.visits}) < len(ledger.visits)
        for index in speakers(ledger) if shared else range(len(ledger.visits)):
            visit = ledger.visits[index]
            key = visit.visit
            known = said.get(key)
            if known is None and visit.group == OTHER:
                continue
            sight = -1 if shared else sight_of(index, ledger, now, self._book)
            if known is not None and known.sight == sight >= 0 and not afresh:
                continue
            found = visit_transitions(index, ledger, now, self._book)
            kinds = self._say(key, known, found, visit.facility, visit.messages, visit.received)
            if kinds:
                changed[key] = Said(sight, kinds)
        heard: set[str] = set()
        for record in row.custody:
            key = said_key(record)
            if key in heard:
                continue
            heard.add(key)
            known = said.get(key)
            sight = record.revision << 8 | (record.at <= now)
            if known is not None and known.sight == sight and not afresh:
                continue
            transition = custody_transition(record, now)
            found = [] if transition is None else [transition]
            kinds = self._say(key, known, found, record.facility, record.messages, record.received)
            if kinds:
                changed[key] = Said(sight, kinds)
        if row.gone:
            self._retract_gone(ledger, changed)
        if changed:
            self._said = {**said, **changed}

    def _retract_gone(self, ledger: Ledger, changed: dict[str, Said]) -> None:
        here = {visit.visit for visit in ledger.visits}
        here.update(said_key(record) for record in self._row.custody)
        for key, known in self._said.items():
            if key not in here and known.sight != _SILENT:
                changed[key] = Said(_SILENT, self._say(key, known, [], "", b"", self._received))

    def _say(
        self, key: str, known: Said | None, found: list[Transition], facility: str, messages: bytes, received: int
    ) -> dict[str, Told]:
        """Assert what is new, retract what no longer holds; returns what was said about this key, all told."""
        kinds = dict(known.kinds) if known is not None else {}
        standing = set()
        for transition in found:
            kind = transition.kind
            standing.add(kind)
            face = digest(
                (
                    transition.occurred,
                    transition.origin,
                    transition.to,
                    facility,
                    transition.confidence,
                    transition.scheduled,
                )
            )
            told = kinds.get(kind)
            news = told is None or not told.asserted or told.digest != face
            if news:
                revision = told.revision + 1 if told is not None else 1
                alerted = told.alerted if told is not None else 0
                told = Told(revision, True, transition.occurred, face, alerted)
            assert told is not None
            kinds[kind] = self._tell(transition, told, key, facility, messages, received, news=news)
        for kind, told in kinds.items():
            if told.asserted and kind not in standing:
                back = Told(told.revision + 1, False, told.occurred, told.digest, told.alerted)
                was = Transition(kind, told.occurred)
                kinds[kind] = self._tell(was, back, key, facility, messages, received, news=True)
        return kinds

    def _tell(
        self,
        transition: Transition,
        told: Told,
        key: str,
        facility: str,
        messages: bytes,
        received: int,
        *,
        news: bool,
    ) -> Told:
        """Write one transition if it is news, and the alert that follows from it if the member was in ECM."""
        provider = enrolled_at(self._row.roster, transition.occurred)
        alert = told.alerted != told.revision and (told.alerted > 0 if not told.asserted else provider is not None)
        if not (news or alert):
            return told
        document = writing.transition(
            transition,
            self._member,
            key,
            revision=told.revision,
            asserted=told.asserted,
            facility=facility,
            messages=messages,
            received=received,
        )
        name = document.transition_id
        if news:
            self._emit(doc.TRANSITIONS, self._member, document, f"transition.{document.status}", name, told.revision)
        if not alert:
            return told
        alert_id = "a" + name[1:]
        due = rfc3339(transition.occurred + self._book.practice.alert_hours * HOUR)
        self._emit(
            doc.ALERTS,
            self._member,
            doc.Alert(
                alert_id=alert_id,
                member_id=self._member,
                transition=document,
                ecm_provider=provider or "",
                due=due,
            ),
            f"alert.{document.status}",
            alert_id,
            told.revision,
        )
        return msgspec.structs.replace(told, alerted=told.revision)

    # Utilization

    def utilization(self, ledger: Ledger) -> None:
        """Say the counts, if there is anything that ever counted; a tombstone when there no longer is."""
        now, known = self._now, self._used
        counts = use(ledger, now, local_day(now))
        if counts.due is not None:
            self._dues.append(counts.due)
        subject = "u_" + digest(self._member).hex()
        if not _anything_to_count(ledger, now):
            if known is not None and known.status == LIVE:
                self._emit(doc.UTILIZATION, self._member, None, "utilization.emptied", subject, known.revision + 1)
                self._used = Emitted(known.revision + 1, "empty", b"", "")
            return
        keys = [ledger.visits[index].visit for index in counts.visits]
        face = digest((counts.counts, self._since, keys))
        if known is not None and known.digest == face:
            return
        revision = known.revision + 1 if known is not None else 1
        document = writing.utilization(
            counts,
            keys,
            self._member,
            since=self._since,
            revision=revision,
            now=now,
            received=self._received,
        )
        self._emit(doc.UTILIZATION, self._member, document, "utilization.counted", subject, revision)
        self._used = Emitted(revision, LIVE, face, "")

    # Candidates and watches

    def candidates(self, ledger: Ledger) -> None:
        """Say what became of candidates and watches."""
        judgement = judge(self._row, self._member, ledger, self._now, self._book)
        if judgement.due is not None:
            self._dues.append(judgement.due)
        changed: dict[str, Emitted] = {}
        for verdict in judgement.verdicts:
            known = self._emitted.get(verdict.id)
            was_live = known is not None and known.status == LIVE
            if verdict.status != LIVE and not verdict.always and not was_live:
                continue
            if verdict.watch and verdict.status != LIVE:
                assert known is not None
                changed[verdict.id] = self._end_watch(verdict, known)
                continue
            case = build_case(verdict, judgement, self._row, self._member, ledger, self._book)
            face = writing.case_digest(case, self._row, judgement.standing, self._since, verdict.superseded_by)
            if known is not None and known.status == verdict.status and known.digest == face:
                continue
            revision = known.revision + 1 if known is not None else 1
            supersedes = verdict.supersedes or (known.supersedes if known is not None else None)
            if verdict.watch:
                watch = writing.watch(
                    case,
                    self._row,
                    self._member,
                    self._book,
                    since=self._since,
                    revision=revision,
                    now=self._now,
                    received=self._received,
                )
                self._emit(doc.WATCHLIST, verdict.id, watch, f"watch.{watch.status}", verdict.id, revision)
            else:
                status = verdict.status
                if status == LIVE:
                    status = "amended" if was_live else "raised"
                candidate = writing.candidate(
                    case,
                    self._row,
                    self._member,
                    judgement.standing,
                    self._book,
                    since=self._since,
                    revision=revision,
                    status=status,
                    supersedes=supersedes,
                    superseded_by=verdict.superseded_by,
                    now=self._now,
                    received=self._received,
                )
                self._emit(doc.CANDIDATES, verdict.id, candidate, f"candidate.{status}", verdict.id, revision)
            changed[verdict.id] = Emitted(revision, verdict.status, face, verdict.line.name, supersedes)
        if changed:
            self._emitted = {**self._emitted, **changed}

    def _end_watch(self, verdict: Verdict, known: Emitted) -> Emitted:
        self._emit(doc.WATCHLIST, verdict.id, None, "watch.lapsed", verdict.id, known.revision + 1)
        return Emitted(known.revision + 1, verdict.status, b"", known.line)

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
