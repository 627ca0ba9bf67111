"""From what was decided to what is written: cases, transitions and counts as documents."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import msgspec

from domain.member.eligibility import Standing
from domain.member.evidence import Case, Proof
from domain.member.row import MemberRow
from domain.member.transitions import Transition, transition_id
from domain.member.utilization import CLASSES, WINDOWS, Use
from domain.member.visits import digest
from domain.rules.rulebook import Rulebook
from domain.snapshots import Source
from domain.times import iso_day, rfc3339, rfc3339_or_none
from parsers.records import documents as doc
from parsers.records.visits import Message

_read_sources: Final = msgspec.msgpack.Decoder(tuple[Source, ...]).decode
_NOBODY: Final = Standing(None, (), ())


@lru_cache(maxsize=16_384)
def messages_of(packed: bytes) -> tuple[Message, ...]:
    """The sources of a visit, which its row keeps packed."""
    return tuple(Message(s.sender, s.control_id, s.at) for s in _read_sources(packed)) if packed else ()


def case_digest(
    case: Case, row: MemberRow, standing: Standing | None, since: int | None, successor: str | None
) -> bytes:
    """Eight bytes over all that a case's document shows, but for receipts, revisions and the rule set's hash."""
    roster, verdict = row.roster, case.verdict
    standing = standing or _NOBODY
    return digest(
        (
            verdict.status,
            verdict.reason,
            successor,
            case.state,
            (roster.plan, roster.county) if roster is not None else None,
            (case.criterion.id, case.criterion.version, case.criterion.source, case.criterion.months),
            case.first,
            case.last,
            since,
            case.counts,
            [(proof.face, proof.reason) for proof in case.proofs],
            standing.findings,
            case.conditions,
            [support.id for support in case.supports],
            (case.route.channel, case.route.source, case.route.note),
            None if case.opener is None else (case.opener.key, case.opener.opened, case.opener_facility),
            case.decision_by,
            case.followup_by,
            verdict.answer,
            case.impaired,
        )
    )


def candidate(
    case: Case,
    row: MemberRow,
    member: str,
    standing: Standing | None,
    book: Rulebook,
    *,
    since: int | None,
    revision: int,
    status: str,
    supersedes: str | None,
    superseded_by: str | None,
    now: int,
    received: int,
) -> doc.Candidate:
    """The document of a candidate's case."""
    standing = standing or _NOBODY
    verdict, opener, answer = case.verdict, case.opener, case.verdict.answer
    roster_time = rfc3339(row.roster_received)
    return doc.Candidate(
        candidate_id=verdict.id,
        revision=revision,
        status=status,
        state=case.state,
        trigger=None
        if opener is None
        else doc.Trigger(case.opener_kind, case.transition, rfc3339(opener.opened), case.opener_facility),
        exclusions=tuple(doc.Finding(name, finding, roster_time) for name, finding in standing.findings),
        suspected=standing.suspected,
        community_supports=tuple(doc.Hint(support.id, support.why) for support in case.supports),
        route=doc.Way(case.route.plan, case.route.channel, case.route.note, case.route.source),
        due=doc.Due(_day(case.decision_by), _day(case.followup_by)),
        disposition=None
        if answer is None
        else doc.Answer(answer.status, answer.actor, rfc3339(answer.at), answer.reason),
        supersedes=supersedes,
        superseded_by=superseded_by,
        reason=verdict.reason,
        received=rfc3339(received),
        **_common(case, row, member, book, since, now),
    )


def watch(
    case: Case,
    row: MemberRow,
    member: str,
    book: Rulebook,
    *,
    since: int | None,
    revision: int,
    now: int,
    received: int,
) -> doc.Watch:
    """The document of a watch's case."""
    return doc.Watch(
        watch_id=case.verdict.id,
        revision=revision,
        status="raised" if revision == 1 else "amended",
        state=case.state,
        received=rfc3339(received),
        **_common(case, row, member, book, since, now),
    )


def transition(
    said: Transition,
    member: str,
    key: str,
    *,
    revision: int,
    asserted: bool,
    facility: str,
    messages: bytes,
    received: int,
) -> doc.Transition:
    """The document of a transition; `key` names its visit or custody record."""
    return doc.Transition(
        transition_id=transition_id(member, said.kind, key),
        revision=revision,
        status="asserted" if asserted else "retracted",
        kind=said.kind,
        member_id=member,
        occurred=rfc3339(said.occurred),
        origin=said.origin,
        to=said.to,
        facility=facility,
        visit=_shown(key),
        confidence=said.confidence,
        scheduled=rfc3339_or_none(said.scheduled),
        messages=messages_of(messages),
        received=rfc3339(received),
    )


def utilization(
    counts: Use, keys: list[str], member: str, *, since: int | None, revision: int, now: int, received: int
) -> doc.Utilization:
    """The document of a member's counts."""
    return doc.Utilization(
        member_id=member,
        revision=revision,
        as_of=rfc3339(now),
        complete_since=_day(since),
        windows={
            window: doc.Use(**dict(zip(CLASSES, row, strict=True)))
            for window, row in zip(WINDOWS, counts.counts, strict=True)
        },
        evidence=tuple(keys),
        received=rfc3339(received),
    )


def _common(case: Case, row: MemberRow, member: str, book: Rulebook, since: int | None, now: int) -> dict[str, Any]:
    roster, criterion = row.roster, case.criterion
    ed, inpatient, snf, release = case.counts
    return {
        "member_id": member,
        "plan": roster.plan if roster is not None else "",
        "county": roster.county if roster is not None else "",
        "population": criterion.population,
        "population_name": criterion.name,
        "rule": doc.Rule(criterion.id, criterion.version, book.rules.hash, criterion.source),
        "window": doc.Window(iso_day(case.first), iso_day(case.last), criterion.months, _day(since)),
        "counts": doc.Counts(ed, inpatient, snf, release, criterion.required),
        "evidence": tuple(_evidence(proof) for proof in case.proofs),
        "conditions": case.conditions,
        "impaired": case.impaired,
        "opened_by": None if case.opener is None else _shown(case.opener.key),
        "as_of": rfc3339(now),
    }


def _evidence(proof: Proof) -> doc.Evidence:
    return doc.Evidence(
        visit=_shown(proof.key),
        patient_class=proof.kind,
        facility=proof.facility,
        arrived=rfc3339_or_none(proof.arrived),
        departed=rfc3339_or_none(proof.departed),
        counted=proof.counted,
        reason=proof.reason,
        messages=messages_of(proof.messages),
    )


def _shown(key: str) -> str:
    return key.removeprefix("custody:")


def _day(day: int | None) -> str | None:
    return None if day is None else iso_day(day)
