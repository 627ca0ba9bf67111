"""Which candidates and watches are live, and how the others ended: a pure function of the row's facts and of now.

A candidate is a chain of spans (`domain.member.spans`); it is live while now lies in one of them. The memory of what
was emitted decides only what became of it (docs/semantics.md#candidates).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from domain.identity import public_id
from domain.member.counting import Ledger
from domain.member.criteria import line_spans
from domain.member.eligibility import (
    CLOSING,
    Eligibility,
    answer_to,
    assess,
    cooling_off,
    eligibility_dues,
    not_a_member,
)
from domain.member.releases import Release, releases
from domain.member.row import CareResponse, MemberRow
from domain.member.spans import Chain, chains, leaving
from domain.rules.rulebook import FOREVER, Rulebook, RuleLine
from domain.snapshots import RosterFacts
from domain.times import day_start, local_day

LIVE: Final = "live"
LAPSED: Final = "lapsed"
WITHDRAWN: Final = "withdrawn"
CLOSED: Final = "closed"
CANDIDATE: Final = "c"
WATCH: Final = "w"


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """The state of one candidate or watch. `at`: the instant (ms UTC) as of which its document is written.

    `always`: emitted even if it was never raised (care management answered it, so it existed).
    """

    id: str
    line: RuleLine
    status: str
    at: int
    reason: str | None = None
    chain: Chain | None = None
    answer: CareResponse | None = None
    always: bool = False
    supersedes: str | None = None
    superseded_by: str | None = None

    @property
    def watch(self) -> bool:
        """Whether it belongs on the watch list."""
        return self.id.startswith(WATCH)


class Judgment(msgspec.Struct, frozen=True, gc=False):
    """The verdicts, the member's eligibility (None where it did not matter), the releases from custody, and the next
    instant (ms UTC) at which something changes by itself, or None."""

    verdicts: list[Verdict]
    eligibility: Eligibility | None
    releases: list[Release]
    due: int | None


class _Member(msgspec.Struct, frozen=True, gc=False):
    """What every verdict on one member depends on."""

    row: MemberRow
    id: str
    roster: RosterFacts
    eligibility: Eligibility
    now: int
    book: Rulebook


def candidate_id(prefix: str, member: str, line: RuleLine, key: str) -> str:
    """The ID of a candidate (CANDIDATE) or watch (WATCH): of member, population, rule major version, and the key of
    the visit or custody record that opened the chain."""
    return public_id(prefix, prefix, member, line.population, str(line.major), key)


def judge(row: MemberRow, member: str, ledger: Ledger, now: int, book: Rulebook) -> Judgment:
    """All verdicts at `now` (ms UTC). A chain that is not live and was never raised has none."""
    roster = row.roster
    if roster is None:
        return Judgment(_ended(row, frozenset(), "left_roster", now, book), None, [], None)
    found = releases(ledger)
    lines = line_spans(ledger, found, roster, book)
    edges = [edge for each in lines for edge in each.edges() if now < edge < FOREVER]
    if not (row.emitted or row.dispositions or edges):
        return Judgment([], None, found, None)
    eligibility = assess(row, roster, ledger, now, local_day(now), book)
    subject = _Member(row, member, roster, eligibility, now, book)
    verdicts: list[Verdict] = []
    for each in lines:
        reached = chains(each.met, book.settings.chain_gap_days)
        verdicts += _candidates(subject, each.line, reached)
        # A member who meets the criterion is not near it: a watch that was live then ends below.
        if eligibility.blocked_by is None and not any(chain.live(now) for chain in reached):
            verdicts += _watches(subject, each.line, chains(each.near, book.settings.chain_gap_days))
    verdicts += _ended(row, {verdict.id for verdict in verdicts}, "facts_changed", now, book)
    if verdicts or edges:
        dues = (*eligibility_dues(roster, row.dispositions, book), *_window_edges(ledger, book))
        edges += [due for due in dues if now < due < FOREVER]
    return Judgment(verdicts, eligibility, found, min(edges, default=None))


def _candidates(member: _Member, line: RuleLine, found: list[Chain]) -> list[Verdict]:
    """The verdicts on the chains of one line, and on live candidates that late facts replaced by one of them."""
    row, now = member.row, member.now
    remembered = bool(row.dispositions) or any(known.line == line.name for known in row.emitted.values())
    if not remembered:
        found = [chain for chain in found if chain.live(now)]
    by_id = {candidate_id(CANDIDATE, member.id, line, chain.opener.key): chain for chain in found}
    emitted = {name for name, known in row.emitted.items() if known.line == line.name and name.startswith(CANDIDATE)}
    former = emitted - set(by_id)
    verdicts = []
    for name, chain in by_id.items():
        if now >= chain.opener.start:
            answer = answer_to(row, name, chain, former, now) if row.dispositions else None
            others = (emitted | set(by_id)) - {name} if row.dispositions else set()
            verdicts.append(_verdict(member, name, line, chain, answer, others))
    successor = next((v for v in verdicts if v.status == LIVE or (v.always and v.chain and v.chain.live(now))), None)
    replaced = sorted(name for name in former if row.emitted[name].status == LIVE)
    if successor is not None and replaced:
        verdicts[verdicts.index(successor)] = msgspec.structs.replace(successor, supersedes=replaced[0])
        verdicts += [Verdict(name, line, WITHDRAWN, now, "superseded", superseded_by=successor.id) for name in replaced]
    return verdicts


def _verdict(
    member: _Member, name: str, line: RuleLine, chain: Chain, answer: CareResponse | None, others: set[str]
) -> Verdict:
    """The verdict on one chain: the first that applies. `others` are the line's other candidates."""
    now = member.now
    live = chain.live(now)
    ended = chain.last_end(now)
    at = now if live or ended is None else ended
    outside = not_a_member(member.roster, local_day(chain.opener.start))
    if outside is not None:
        return Verdict(name, line, WITHDRAWN, at, outside, chain)
    if answer is not None and answer.status in CLOSING:
        return Verdict(name, line, CLOSED, at, answer.status, chain, answer, always=True)
    if not live:
        return Verdict(name, line, LAPSED, at, "no_longer_met", chain, answer)
    blocked_by = member.eligibility.blocked_by or cooling_off(member.row, chain, others, now, member.book)
    if blocked_by is not None:
        return Verdict(name, line, CLOSED, at, blocked_by, chain, answer)
    return Verdict(name, line, LIVE, at, None, chain, answer)


def _watches(member: _Member, line: RuleLine, found: list[Chain]) -> list[Verdict]:
    return [
        Verdict(candidate_id(WATCH, member.id, line, chain.opener.key), line, LIVE, member.now, None, chain)
        for chain in found
        if chain.live(member.now) and not_a_member(member.roster, local_day(chain.opener.start)) is None
    ]


def _ended(row: MemberRow, judged: Iterable[str], reason: str, now: int, book: Rulebook) -> list[Verdict]:
    """The end of what was live when last emitted and is not among the IDs in `judged`. What belongs to a line that is
    no longer in the rules has no verdict: no version is left by which to write its document."""
    status = CLOSED if reason == "left_roster" else WITHDRAWN
    verdicts = []
    for name in sorted(name for name, known in row.emitted.items() if known.status == LIVE and name not in judged):
        line = book.line_named(row.emitted[name].line)
        if line is not None:
            verdicts.append(Verdict(name, line, status, now, reason))
    return verdicts


def _window_edges(ledger: Ledger, book: Rulebook) -> list[int]:
    """Where windows lose a visit: documents show the window as of the last of these.

    Those of six and twelve months are due dates of the utilization counts as well, and not repeated here.
    """
    return [day_start(leaving(entry, months)) for months in book.odd_months for entry in ledger.counted]
