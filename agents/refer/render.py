"""Render decisions as documents: candidates, watches, transitions, counts (docs/records.md)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import msgspec

from agents.refer.events import Emission, Subject
from domain.identity import digest
from domain.member.eligibility import Eligibility
from domain.member.enrollment import on_day
from domain.member.evidence import CandidateFacts, EvidenceLine
from domain.member.row import EmittedDocument, EmittedTransition, MemberRow
from domain.member.transitions import Transition, transition_id
from domain.member.utilization import CLASSES, WINDOWS, VisitCounts
from domain.rules.rulebook import Rulebook
from domain.snapshots import RosterFacts, Source
from domain.times import iso_day, local_day, rfc3339, rfc3339_or_none
from parsers.records import documents
from parsers.records.visits import MessageDocument

_read_sources: Final = msgspec.msgpack.Decoder(tuple[Source, ...]).decode
_NOBODY: Final = Eligibility(None, (), ())


@lru_cache(maxsize=16_384)
def messages_in(packed: bytes) -> tuple[MessageDocument, ...]:
    """The messages of a visit, which its row keeps as msgpack."""
    return tuple(MessageDocument(s.sender, s.control_id, s.at) for s in _read_sources(packed)) if packed else ()


def candidate_digest(
    facts: CandidateFacts, row: MemberRow, eligibility: Eligibility | None, since: int | None, successor: str | None
) -> bytes:
    """Eight bytes over the content of a document, without times of receipt, revisions and the rule set's hash.

    Rows keep these bytes: another content or order would amend every candidate once after an upgrade.
    """
    verdict = facts.verdict
    roster = _roster_at(row, verdict.at)
    eligibility = eligibility or _NOBODY
    return digest(
        (
            verdict.status,
            verdict.reason,
            successor,
            facts.state,
            (roster.plan, roster.county) if roster is not None else None,
            (facts.criterion.id, facts.criterion.version, facts.criterion.source, facts.criterion.months),
            facts.first,
            facts.last,
            since,
            facts.counts,
            [(line.fingerprint, line.reason) for line in facts.lines],
            eligibility.findings,
            facts.conditions,
            [support.id for support in facts.supports],
            (facts.route.channel, facts.route.source, facts.route.note),
            None if facts.opener is None else (facts.opener.key, facts.opener.opened, facts.opener_facility),
            facts.decision_by,
            facts.followup_by,
            verdict.answer,
            facts.impaired,
        )
    )


def candidate(
    facts: CandidateFacts,
    row: MemberRow,
    eligibility: Eligibility | None,
    emission: Emission,
    book: Rulebook,
    memory: EmittedDocument,
    status: str,
) -> documents.Candidate:
    """The document of a candidate; `memory` gives its revision and what it supersedes."""
    eligibility = eligibility or _NOBODY
    verdict, opener, answer = facts.verdict, facts.opener, facts.verdict.answer
    roster_time = rfc3339(row.roster_received)
    return documents.Candidate(
        candidate_id=verdict.id,
        revision=memory.revision,
        status=status,
        state=facts.state,
        trigger=None
        if opener is None
        else documents.Trigger(facts.opener_kind, facts.transition, rfc3339(opener.opened), facts.opener_facility),
        exclusions=tuple(documents.Finding(name, finding, roster_time) for name, finding in eligibility.findings),
        suspected=eligibility.suspected,
        community_supports=tuple(documents.SupportHint(support.id, support.why) for support in facts.supports),
        route=documents.RouteDocument(facts.route.plan, facts.route.channel, facts.route.note, facts.route.source),
        due=documents.Due(_day(facts.decision_by), _day(facts.followup_by)),
        disposition=None
        if answer is None
        else documents.Response(answer.status, answer.actor, rfc3339(answer.at), answer.reason),
        supersedes=memory.supersedes,
        superseded_by=verdict.superseded_by,
        reason=verdict.reason,
        **_common(facts, row, emission, book),
    )


def watch(facts: CandidateFacts, row: MemberRow, emission: Emission, book: Rulebook, revision: int) -> documents.Watch:
    """The document of a watch."""
    return documents.Watch(
        watch_id=facts.verdict.id,
        revision=revision,
        status="raised" if revision == 1 else "amended",
        state=facts.state,
        **_common(facts, row, emission, book),
    )


def transition(
    transition: Transition, subject: Subject, emission: Emission, memory: EmittedTransition
) -> documents.Transition:
    """The document of a transition of a visit or custody record."""
    return documents.Transition(
        transition_id=transition_id(emission.member, transition.kind, subject.key),
        revision=memory.revision,
        status="asserted" if memory.asserted else "retracted",
        kind=transition.kind,
        member_id=emission.member,
        occurred=rfc3339(transition.occurred),
        origin=transition.origin,
        to=transition.to,
        facility=subject.facility,
        visit=_public_key(subject.key),
        confidence=transition.confidence,
        scheduled=rfc3339_or_none(transition.scheduled),
        messages=messages_in(subject.messages),
        received=rfc3339(subject.received),
    )


def utilization(counts: VisitCounts, keys: list[str], emission: Emission, revision: int) -> documents.Utilization:
    """The document of a member's counts; `keys` are the visits that were counted."""
    return documents.Utilization(
        member_id=emission.member,
        revision=revision,
        as_of=rfc3339(emission.now),
        complete_since=_day(emission.since),
        windows={
            window: documents.UtilizationWindow(**dict(zip(CLASSES, row, strict=True)))
            for window, row in zip(WINDOWS, counts.counts, strict=True)
        },
        evidence=tuple(keys),
        received=rfc3339(emission.received),
    )


def _common(facts: CandidateFacts, row: MemberRow, emission: Emission, book: Rulebook) -> dict[str, Any]:
    """The fields that candidates and watches share."""
    roster, criterion = _roster_at(row, facts.verdict.at), facts.criterion
    ed, inpatient, snf, release = facts.counts
    since = _day(emission.since)
    return {
        "member_id": emission.member,
        "plan": roster.plan if roster is not None else "",
        "county": roster.county if roster is not None else "",
        "population": criterion.population,
        "population_name": criterion.name,
        "rule": documents.Rule(criterion.id, criterion.version, book.rules.hash, criterion.source),
        "window": documents.Window(iso_day(facts.first), iso_day(facts.last), criterion.months, since),
        "counts": documents.Counts(ed, inpatient, snf, release, criterion.required),
        "evidence": tuple(_evidence(line) for line in facts.lines),
        "conditions": facts.conditions,
        "impaired": facts.impaired,
        "opened_by": None if facts.opener is None else _public_key(facts.opener.key),
        "as_of": rfc3339(emission.now),
        "received": rfc3339(emission.received),
    }


def _roster_at(row: MemberRow, at: int) -> RosterFacts | None:
    return None if row.roster is None else on_day(row.roster, local_day(at))


def _evidence(line: EvidenceLine) -> documents.Evidence:
    return documents.Evidence(
        visit=_public_key(line.key),
        patient_class=line.kind,
        facility=line.facility,
        arrived=rfc3339_or_none(line.arrived),
        departed=rfc3339_or_none(line.departed),
        counted=line.counted,
        reason=line.reason,
        messages=messages_in(line.messages),
    )


def _public_key(key: str) -> str:
    """The key of a visit or custody record without the prefix that sets custody keys apart within a row."""
    return key.removeprefix("custody:")


def _day(day: int | None) -> str | None:
    return None if day is None else iso_day(day)
