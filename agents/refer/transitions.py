"""Saying what happened to a member: transitions, and alerts for those who are in ECM.

What was said about each visit and custody record is remembered by kind of transition, so that only news is said, and
what no longer holds is taken back. An alert follows each revision of a transition that occurred while the member was in
ECM (ECM Policy Guide, January 2026, p117: within 24 hours), and its taking back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from agents.refer import render as writing
from domain.member.counting import Ledger
from domain.member.eligibility import enrolled_at
from domain.member.row import MemberRow, Said, Told
from domain.member.transitions import (
    Transition,
    custody_transition,
    said_key,
    sight_of,
    speakers,
    visit_transitions,
)
from domain.member.visits import OTHER, digest
from domain.rules.rulebook import Rulebook
from domain.times import HOUR, rfc3339
from parsers.records import documents as doc

EmitDocument = Callable[[str, str, msgspec.Struct | None, str, str, int], None]
"""(topic, key, document or None, kind of event, subject, revision)."""

_SILENT: Final = -2
"""The sight of a visit that is gone."""


class Teller:
    """Says the transitions of one row at one moment."""

    def __init__(
        self, row: MemberRow, member: str, now: int, received: int, book: Rulebook, emit: EmitDocument
    ) -> None:
        self._row, self._member, self._now, self._received = row, member, now, received
        self._book, self._emit = book, emit

    def tell(self, ledger: Ledger, *, afresh: bool) -> dict[str, Said]:
        """Say what happened; returns the memory of all that was said.

        Visits that look as they did are passed over, unless `afresh`.
        """
        row, now, said = self._row, self._now, self._row.said
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
        return {**said, **changed} if changed else said

    def _retract_gone(self, ledger: Ledger, changed: dict[str, Said]) -> None:
        here = {visit.visit for visit in ledger.visits}
        here.update(said_key(record) for record in self._row.custody)
        for key, known in self._row.said.items():
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
