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
from domain.member.counting import Ledger
from domain.member.eligibility import enrolled_at
from domain.member.row import PERSON, EmittedTransition, EmittedTransitions, MemberRow
from domain.member.transitions import (
    Transition,
    custody_source_key,
    custody_transition,
    fingerprint_of,
    representatives,
    visit_transitions,
)
from domain.member.visits import OTHER, digest
from domain.rules.rulebook import Rulebook
from domain.times import HOUR, rfc3339
from parsers.records.documents import Alert

_WITHDRAWN: Final = -2
"""The fingerprint of a visit that was withdrawn."""


def emit_transitions(
    row: MemberRow, ledger: Ledger, emission: Emission, book: Rulebook, *, all_again: bool
) -> tuple[dict[str, EmittedTransitions], list[Emit]]:
    """(memory of all that was emitted, emits). Visits whose fingerprint is unchanged are skipped unless `all_again`."""
    changed: dict[str, EmittedTransitions] = {}
    emits: list[Emit] = []
    _of_visits(row, ledger, emission, book, all_again, changed, emits)
    _of_custody(row, emission, book, all_again, changed, emits)
    _of_person(row, ledger, emission, book, all_again, changed, emits)
    if row.withdrawn:
        _retract_withdrawn(row, ledger, emission, book, changed, emits)
    return ({**row.transitions, **changed} if changed else row.transitions), emits


def _of_visits(
    row: MemberRow,
    ledger: Ledger,
    emission: Emission,
    book: Rulebook,
    all_again: bool,
    changed: dict[str, EmittedTransitions],
    emits: list[Emit],
) -> None:
    shared = len({visit.visit for visit in ledger.visits}) < len(ledger.visits)
    for index in representatives(ledger) if shared else range(len(ledger.visits)):
        visit = ledger.visits[index]
        known = row.transitions.get(visit.visit)
        if known is None and visit.category == OTHER:
            continue
        fingerprint = -1 if shared else fingerprint_of(index, ledger, emission.now, book)
        if known is not None and known.fingerprint == fingerprint >= 0 and not all_again:
            continue
        found = visit_transitions(index, ledger, emission.now, book)
        subject = Subject(visit.visit, visit.facility, visit.messages, visit.received)
        kinds = _emit_kinds(subject, known, found, row, emission, book, emits)
        if kinds:
            changed[visit.visit] = EmittedTransitions(fingerprint, kinds)


def _of_custody(
    row: MemberRow,
    emission: Emission,
    book: Rulebook,
    all_again: bool,
    changed: dict[str, EmittedTransitions],
    emits: list[Emit],
) -> None:
    seen: set[str] = set()
    for record in row.custody:
        key = custody_source_key(record)
        if key in seen:
            continue
        seen.add(key)
        known = row.transitions.get(key)
        fingerprint = record.revision << 8 | (record.at <= emission.now)
        if known is not None and known.fingerprint == fingerprint and not all_again:
            continue
        transition = custody_transition(record, emission.now)
        found = [] if transition is None else [transition]
        subject = Subject(key, record.facility, record.messages, record.received)
        kinds = _emit_kinds(subject, known, found, row, emission, book, emits)
        if kinds:
            changed[key] = EmittedTransitions(fingerprint, kinds)


def _of_person(
    row: MemberRow,
    ledger: Ledger,
    emission: Emission,
    book: Rulebook,
    all_again: bool,
    changed: dict[str, EmittedTransitions],
    emits: list[Emit],
) -> None:
    """The death that hospitals registered (PID-29, PID-30), unless a visit that ended with it says so already."""
    known = row.transitions.get(PERSON)
    if not row.persons and known is None:
        return
    first = min(row.persons, key=lambda person: (person.died, person.patient), default=None)
    holds = first is not None and ledger.death < 0 and first.died <= emission.now
    fingerprint = first.revision << 1 | 1 if first is not None and holds else 0
    if known is not None and known.fingerprint == fingerprint and not all_again:
        return
    found = [Transition("death", first.died)] if first is not None and holds else []
    received = emission.received if first is None else first.received
    subject = Subject(PERSON, "", b"" if first is None else first.messages, received)
    kinds = _emit_kinds(subject, known, found, row, emission, book, emits)
    if kinds:
        changed[PERSON] = EmittedTransitions(fingerprint, kinds)


def _retract_withdrawn(
    row: MemberRow,
    ledger: Ledger,
    emission: Emission,
    book: Rulebook,
    changed: dict[str, EmittedTransitions],
    emits: list[Emit],
) -> None:
    here = {visit.visit for visit in ledger.visits}
    here.update(custody_source_key(record) for record in row.custody)
    for key, known in row.transitions.items():
        if key not in here and key != PERSON and known.fingerprint != _WITHDRAWN:
            subject = Subject(key, "", b"", emission.received)
            kinds = _emit_kinds(subject, known, [], row, emission, book, emits)
            changed[key] = EmittedTransitions(_WITHDRAWN, kinds)


def _emit_kinds(
    subject: Subject,
    known: EmittedTransitions | None,
    found: list[Transition],
    row: MemberRow,
    emission: Emission,
    book: Rulebook,
    emits: list[Emit],
) -> dict[str, EmittedTransition]:
    """Assert what is new and retract what no longer holds; the memory of one visit or record, by kind."""
    kinds = dict(known.kinds) if known is not None else {}
    current = set()
    for transition in found:
        kind = transition.kind
        current.add(kind)
        fingerprint = digest(
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
        news = last is None or not last.asserted or last.digest != fingerprint
        if news:
            revision = last.revision + 1 if last is not None else 1
            alerted = last.alerted if last is not None else 0
            last = EmittedTransition(revision, True, transition.occurred, fingerprint, alerted)
        assert last is not None
        kinds[kind] = _emit(transition, last, subject, row, emission, book, emits, news=news)
    for kind, last in kinds.items():
        if last.asserted and kind not in current:
            retracted = EmittedTransition(last.revision + 1, False, last.occurred, last.digest, last.alerted)
            transition = Transition(kind, last.occurred)
            kinds[kind] = _emit(transition, retracted, subject, row, emission, book, emits, news=True)
    return kinds


def _emit(
    transition: Transition,
    memory: EmittedTransition,
    subject: Subject,
    row: MemberRow,
    emission: Emission,
    book: Rulebook,
    emits: list[Emit],
    *,
    news: bool,
) -> EmittedTransition:
    """Emit one transition if it is news, and its alert if the member was in ECM when it occurred."""
    provider = enrolled_at(row.roster, transition.occurred)
    due = memory.alerted > 0 if not memory.asserted else provider is not None
    alert = memory.alerted != memory.revision and due
    if not (news or alert):
        return memory
    document = render.transition(transition, subject, emission, memory)
    name, status = document.transition_id, document.status
    if news:
        kind = f"transition.{status}"
        emits.append(emission.record(TRANSITIONS, emission.member, document, kind, name, memory.revision))
    if not alert:
        return memory
    alert_id = "a" + name[1:]
    warning = Alert(
        alert_id=alert_id,
        member_id=emission.member,
        transition=document,
        ecm_provider=provider or "",
        due=rfc3339(transition.occurred + book.settings.alert_hours * HOUR),
    )
    emits.append(emission.record(ALERTS, emission.member, warning, f"alert.{status}", alert_id, memory.revision))
    return msgspec.structs.replace(memory, alerted=memory.revision)
