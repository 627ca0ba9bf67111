"""Emit transitions and alerts; retract those that no longer hold (docs/semantics.md#transitions).

The row remembers, for each visit and custody record, which kinds of transition were emitted. An alert follows each
revision of a transition that occurred while the member was in ECM (ECM Policy Guide, January 2026, p117: within 24
hours), and its retraction.
"""

from __future__ import annotations

from typing import Final

import msgspec

from agents.refer import render
from agents.refer.events import Emission, Subject
from agents.runtime.contract import Emit
from agents.topics import ALERTS, TRANSITIONS
from domain.identity import digest
from domain.member.counting import Ledger
from domain.member.custody import DIED
from domain.member.eligibility import enrolled_at
from domain.member.row import PERSON, EmittedTransition, EmittedTransitions, MemberRow
from domain.member.transitions import (
    Transition,
    custody_fingerprint,
    custody_source_key,
    custody_transitions,
    fingerprint_of,
    representatives,
    visit_transitions,
)
from domain.member.visits import OTHER
from domain.rules.rulebook import Rulebook
from domain.times import HOUR, rfc3339
from parsers.records.documents import Alert

_WITHDRAWN: Final = -2
"""The fingerprint of a visit that was withdrawn."""
_UNKNOWN: Final = -1
"""The fingerprint where transitions depend on more than one visit: they are derived at each decision."""


def emit_transitions(
    row: MemberRow, ledger: Ledger, emission: Emission, book: Rulebook, *, all_again: bool
) -> tuple[dict[str, EmittedTransitions], list[Emit]]:
    """(memory of all that was emitted, emits). Visits whose fingerprint is unchanged are skipped unless `all_again`."""
    emitter = _Emitter(row, ledger, emission, book, all_again)
    emitter.visits()
    emitter.custody()
    emitter.person()
    if row.withdrawn:
        emitter.withdrawn()
    return ({**row.transitions, **emitter.changed} if emitter.changed else row.transitions), emitter.emits


class _Emitter:
    """One decision's transitions: `changed` is the new memory by visit or record, `emits` the records."""

    def __init__(self, row: MemberRow, ledger: Ledger, emission: Emission, book: Rulebook, all_again: bool) -> None:
        self._row, self._ledger, self._emission, self._book = row, ledger, emission, book
        self._all_again = all_again
        self.changed: dict[str, EmittedTransitions] = {}
        self.emits: list[Emit] = []

    def visits(self) -> None:
        """Transitions of visits. Where source patients share a visit number, one visit represents all that have it."""
        ledger, now = self._ledger, self._emission.now
        shared = len({visit.visit for visit in ledger.visits}) < len(ledger.visits)
        for index in representatives(ledger) if shared else range(len(ledger.visits)):
            visit = ledger.visits[index]
            known = self._row.transitions.get(visit.visit)
            if known is None and visit.category == OTHER:
                continue
            fingerprint = _UNKNOWN if shared else fingerprint_of(index, ledger, now, self._book)
            if not self._unchanged(known, fingerprint):
                found = visit_transitions(index, ledger, now, self._book)
                subject = Subject(visit.visit, visit.facility, visit.messages, visit.received)
                self._remember(subject, known, found, fingerprint)

    def custody(self) -> None:
        """Transitions of custody records; of several under one key, the first."""
        seen: set[str] = set()
        for index, record in enumerate(self._ledger.custody.records):
            key = custody_source_key(record)
            if key in seen:
                continue
            seen.add(key)
            known = self._row.transitions.get(key)
            fingerprint = custody_fingerprint(index, self._ledger, self._emission.now)
            if not self._unchanged(known, fingerprint):
                found = custody_transitions(index, self._ledger, self._emission.now)
                subject = Subject(key, record.facility, record.messages, record.received)
                self._remember(subject, known, found, fingerprint)

    def person(self) -> None:
        """The death that hospitals registered (PID-29, PID-30), unless a visit that ended so has the transition."""
        row = self._row
        known = row.transitions.get(PERSON)
        if not row.persons and known is None:
            return
        first = min(row.persons, key=lambda person: (person.died, person.patient), default=None)
        elsewhere = self._ledger.death >= 0 or any(self._ledger.custody.events(DIED))
        holds = first is not None and not elsewhere and first.died <= self._emission.now
        fingerprint = first.revision << 1 | 1 if first is not None and holds else 0
        if not self._unchanged(known, fingerprint):
            found = [Transition("death", first.died)] if first is not None and holds else []
            received = self._emission.received if first is None else first.received
            subject = Subject(PERSON, "", b"" if first is None else first.messages, received)
            self._remember(subject, known, found, fingerprint)

    def withdrawn(self) -> None:
        """Retract the transitions of visits and records that are in the row's memory and no longer among its facts."""
        here = {visit.visit for visit in self._ledger.visits}
        here.update(custody_source_key(record) for record in self._row.custody)
        for key, known in self._row.transitions.items():
            if key not in here and key != PERSON and known.fingerprint != _WITHDRAWN:
                kinds = self._kinds(Subject(key, "", b"", self._emission.received), known, [])
                self.changed[key] = EmittedTransitions(_WITHDRAWN, kinds)

    def _unchanged(self, known: EmittedTransitions | None, fingerprint: int) -> bool:
        """Whether the transitions must be the same as before: most visits of a member, at most decisions."""
        return known is not None and known.fingerprint == fingerprint >= 0 and not self._all_again

    def _remember(
        self, subject: Subject, known: EmittedTransitions | None, found: list[Transition], fingerprint: int
    ) -> None:
        kinds = self._kinds(subject, known, found)
        if kinds:
            self.changed[subject.key] = EmittedTransitions(fingerprint, kinds)

    def _kinds(
        self, subject: Subject, known: EmittedTransitions | None, found: list[Transition]
    ) -> dict[str, EmittedTransition]:
        """Assert what is new and retract what no longer holds; the memory of one visit or record, by kind."""
        kinds = dict(known.kinds) if known is not None else {}
        current = set()
        for transition in found:
            kind = transition.kind
            current.add(kind)
            content = digest(
                (
                    transition.occurred,
                    transition.origin,
                    transition.to,
                    subject.facility,
                    transition.confidence,
                    transition.scheduled,
                )
            )
            last = kinds.get(kind)
            news = last is None or not last.asserted or last.digest != content
            if news:
                revision = last.revision + 1 if last is not None else 1
                alerted = last.alerted if last is not None else 0
                last = EmittedTransition(revision, True, transition.occurred, content, alerted)
            assert last is not None
            kinds[kind] = self._emit(transition, last, subject, news=news)
        for kind, last in kinds.items():
            if last.asserted and kind not in current:
                retracted = EmittedTransition(last.revision + 1, False, last.occurred, last.digest, last.alerted)
                kinds[kind] = self._emit(Transition(kind, last.occurred), retracted, subject, news=True)
        return kinds

    def _emit(
        self, transition: Transition, memory: EmittedTransition, subject: Subject, *, news: bool
    ) -> EmittedTransition:
        """Emit one transition if it is news, and its alert if the member was in ECM when it occurred."""
        emission = self._emission
        provider = enrolled_at(self._row.roster, transition.occurred)
        due = memory.alerted > 0 if not memory.asserted else provider is not None
        alert = memory.alerted != memory.revision and due
        if not (news or alert):
            return memory
        document = render.transition(transition, subject, emission, memory)
        name, status = document.transition_id, document.status
        if news:
            kind = f"transition.{status}"
            self.emits.append(emission.record(TRANSITIONS, emission.member, document, kind, name, memory.revision))
        if not alert:
            return memory
        alert_id = "a" + name[1:]
        warning = Alert(
            alert_id=alert_id,
            member_id=emission.member,
            transition=document,
            ecm_provider=provider or "",
            due=rfc3339(transition.occurred + self._book.settings.alert_hours * HOUR),
        )
        kind = f"alert.{status}"
        self.emits.append(emission.record(ALERTS, emission.member, warning, kind, alert_id, memory.revision))
        return msgspec.structs.replace(memory, alerted=memory.revision)
