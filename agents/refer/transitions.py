"""Saying what happened to a member: transitions, and alerts for those who are in ECM.

What was said about each visit and custody record is remembered by kind of transition, so that only news is said, and
what no longer holds is taken back. An alert follows each revision of a transition that occurred while the member was in
ECM (ECM Policy Guide, January 2026, p117: within 24 hours), and its taking back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from agents.refer import render
from agents.topics import ALERTS, TRANSITIONS
from domain.member.counting import Ledger
from domain.member.eligibility import enrolled_at
from domain.member.row import EmittedTransition, EmittedTransitions, MemberRow
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
from parsers.records import documents

EmitDocument = Callable[[str, str, msgspec.Struct | None, str, str, int], None]
"""(topic, key, document or None, kind of event, subject, revision)."""

_WITHDRAWN: Final = -2
"""The sight of a visit that is gone."""


class TransitionEmitter:
    """Says the transitions of one row at one moment."""

    def __init__(
        self, row: MemberRow, member: str, now: int, received: int, book: Rulebook, emit: EmitDocument
    ) -> None:
        self._row, self._member, self._now, self._received = row, member, now, received
        self._book, self._emit = book, emit

    def emit_transitions(self, ledger: Ledger, *, afresh: bool) -> dict[str, EmittedTransitions]:
        """Say what happened; returns the memory of all that was said.

        Visits that look as they did are passed over, unless `afresh`.
        """
        row, now, emitted = self._row, self._now, self._row.transitions
        changed: dict[str, EmittedTransitions] = {}
        shared = len({visit.visit for visit in ledger.visits}) < len(ledger.visits)
        for index in representatives(ledger) if shared else range(len(ledger.visits)):
            visit = ledger.visits[index]
            key = visit.visit
            known = emitted.get(key)
            if known is None and visit.category == OTHER:
                continue
            fingerprint = -1 if shared else fingerprint_of(index, ledger, now, self._book)
            if known is not None and known.fingerprint == fingerprint >= 0 and not afresh:
                continue
            found = visit_transitions(index, ledger, now, self._book)
            kinds = self._emit_kinds(key, known, found, visit.facility, visit.messages, visit.received)
            if kinds:
                changed[key] = EmittedTransitions(fingerprint, kinds)
        seen: set[str] = set()
        for record in row.custody:
            key = custody_source_key(record)
            if key in seen:
                continue
            seen.add(key)
            known = emitted.get(key)
            fingerprint = record.revision << 8 | (record.at <= now)
            if known is not None and known.fingerprint == fingerprint and not afresh:
                continue
            transition = custody_transition(record, now)
            found = [] if transition is None else [transition]
            kinds = self._emit_kinds(key, known, found, record.facility, record.messages, record.received)
            if kinds:
                changed[key] = EmittedTransitions(fingerprint, kinds)
        if row.withdrawn:
            self._retract_withdrawn(ledger, changed)
        return {**emitted, **changed} if changed else emitted

    def _retract_withdrawn(self, ledger: Ledger, changed: dict[str, EmittedTransitions]) -> None:
        here = {visit.visit for visit in ledger.visits}
        here.update(custody_source_key(record) for record in self._row.custody)
        for key, known in self._row.transitions.items():
            if key not in here and known.fingerprint != _WITHDRAWN:
                changed[key] = EmittedTransitions(_WITHDRAWN, self._emit_kinds(key, known, [], "", b"", self._received))

    def _emit_kinds(
        self,
        key: str,
        known: EmittedTransitions | None,
        found: list[Transition],
        facility: str,
        messages: bytes,
        received: int,
    ) -> dict[str, EmittedTransition]:
        """Assert what is new, retract what no longer holds; returns what was said about this key, all told."""
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
                    facility,
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
            kinds[kind] = self._emit_one(transition, last, key, facility, messages, received, news=news)
        for kind, last in kinds.items():
            if last.asserted and kind not in current:
                back = EmittedTransition(last.revision + 1, False, last.occurred, last.digest, last.alerted)
                was = Transition(kind, last.occurred)
                kinds[kind] = self._emit_one(was, back, key, facility, messages, received, news=True)
        return kinds

    def _emit_one(
        self,
        transition: Transition,
        last: EmittedTransition,
        key: str,
        facility: str,
        messages: bytes,
        received: int,
        *,
        news: bool,
    ) -> EmittedTransition:
        """Write one transition if it is news, and the alert that follows from it if the member was in ECM."""
        provider = enrolled_at(self._row.roster, transition.occurred)
        alert = last.alerted != last.revision and (last.alerted > 0 if not last.asserted else provider is not None)
        if not (news or alert):
            return last
        document = render.transition(
            transition,
            self._member,
            key,
            revision=last.revision,
            asserted=last.asserted,
            facility=facility,
            messages=messages,
            received=received,
        )
        name = document.transition_id
        if news:
            self._emit(TRANSITIONS, self._member, document, f"transition.{document.status}", name, last.revision)
        if not alert:
            return last
        alert_id = "a" + name[1:]
        due = rfc3339(transition.occurred + self._book.settings.alert_hours * HOUR)
        self._emit(
            ALERTS,
            self._member,
            documents.Alert(
                alert_id=alert_id,
                member_id=self._member,
                transition=document,
                ecm_provider=provider or "",
                due=due,
            ),
            f"alert.{document.status}",
            alert_id,
            last.revision,
        )
        return msgspec.structs.replace(last, alerted=last.revision)
