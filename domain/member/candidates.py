"""Which candidates and watches stand at a moment: a pure function of the row's facts and of now.

A candidate is a chain of spans (`domain.spans`); it is live while now lies in one of them. What was emitted before is
looked at only to say what became of it. Rules: docs/semantics.md#candidates.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

import msgspec

from domain.member.ages import Ages, ages_of
from domain.member.counting import Counted, Ledger
from domain.member.eligibility import (
    CLOSING,
    Eligibility,
    answer_to,
    assess,
    cooling_off,
    eligibility_dues,
    not_a_member,
)
from domain.member.releases import Release, entitled, release_spans, releases
from domain.member.row import CareResponse, MemberRow
from domain.member.spans import GROUPS_OF, Chain, Span, chains, clip, count_spans, join, leaving
from domain.rules.rulebook import FOREVER, Rulebook, RuleLine, Validity
from domain.rules.ruleset import ADULT, YOUTH, Criterion
from domain.snapshots import RosterFacts
from domain.times import day_start, local_day

LIVE: Final = "live"
LAPSED: Final = "lapsed"
WITHDRAWN: Final = "withdrawn"
CLOSED: Final = "closed"
CANDIDATE: Final = "c"
WATCH: Final = "w"


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """What is to be said of one candidate or watch. `at`: the instant (ms UTC) as of which its document speaks.

    `always`: to be said even if it was never raised (somebody answered it, so it existed).
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
    """The verdicts, the member's standing (None without a roster row), the releases, and the next due time or None."""

    verdicts: list[Verdict]
    eligibility: Eligibility | None
    releases: list[Release]
    due: int | None


def candidate_id(prefix: str, member: str, line: RuleLine, key: str) -> str:
    """The ID of a candidate (or watch): of member, population, rule major version, and what opened the first span."""
    name = "\x1f".join((prefix, member, line.population, str(line.major), key))
    return f"{prefix}_" + blake2b(name.encode(), digest_size=12).hexdigest()


def judge(row: MemberRow, member: str, ledger: Ledger, now: int, book: Rulebook) -> Judgment:
    """All verdicts at `now`. A chain that is not live and was never raised has none."""
    roster = row.roster
    if roster is None:
        gone = [_ended(row, name, book, now, "left_roster") for name in _live_names(row)]
        return Judgment([verdict for verdict in gone if verdict is not None], None, [], None)
    found = releases(row.custody, ledger)
    ages = None if roster.birth_date is None else ages_of(roster.birth_date)
    lines: list[tuple[RuleLine, list[Chain], list[Chain]]] = []
    edges: list[int] = []
    if ages is not None:
        for line in book.lines:
            if _possible(line, ledger, found, ages):
                met, near = _spans(line, ledger, found, roster, ages, book)
                if met or near:
                    for span in (*met, *near):
                        edges += (span.start, span.end)
                    # A document names the version in force, so it changes where one hands over to the next.
                    edges += line.handovers
                    gap = book.settings.chain_gap_days
                    reached = chains(met, gap)
                    # Who meets the criterion is not near it; a watch that stood is found gone below.
                    hidden = any(chain.live(now) for chain in reached)
                    lines.append((line, reached, [] if hidden else chains(near, gap)))
    edges = [edge for edge in edges if now < edge < FOREVER]
    if not (row.emitted or row.dispositions or edges):
        return Judgment([], None, found, None)
    eligibility = assess(row, roster, ledger, now, local_day(now), book)
    verdicts: list[Verdict] = []
    for line, reached, nearly in lines:
        verdicts += _candidates(row, member, line, reached, eligibility, now, book)
        if eligibility.blocked_by is None:
            verdicts += _watches(roster, member, line, nearly, now)
    named = {verdict.id for verdict in verdicts}
    for name in _live_names(row):
        if name not in named:
            verdict = _ended(row, name, book, now, "facts_changed")
            if verdict is not None:
                verdicts.append(verdict)
    if verdicts or edges:
        edges += [
            edge
            for edge in (*eligibility_dues(roster, row.dispositions, book), *_window_edges(ledger, book))
            if now < edge < FOREVER
        ]
    return Judgment(verdicts, eligibility, found, min(edges, default=None))


def _possible(line: RuleLine, ledger: Ledger, found: list[Release], ages: Ages) -> bool:
    """Whether the line can have a span at all: there is enough to count, and it lies at the right age."""
    if line.kind == "release":
        return bool(found)
    counted = ledger.counted
    if len(counted) < line.least:
        return False
    if line.age == YOUTH:
        return counted[0].start < ages.adult
    return counted[-1].start + line.reach > ages.adult


def _spans(
    line: RuleLine, ledger: Ledger, found: list[Release], roster: RosterFacts, ages: Ages, book: Rulebook
) -> tuple[list[Span], list[Span]]:
    """(where the line's criterion is met, where it is met or nearly so), over all its versions."""
    met: list[Span] = []
    near: list[Span] = []
    live_from = book.go_live(line.population, roster.county)
    swept = _Sweeps(ledger)
    for version in line.stretches:
        start, end = max(version.start, live_from), version.end
        if line.kind == "release":
            spans = _of_age(_release_spans(version, ledger, found, roster, ages, book), line, ages)
            met += clip(spans, start, end) if spans else ()
            continue
        nearly = _of_age(swept.of(version.criterion, near=True), line, ages)
        if not nearly:
            continue
        near += clip(nearly, start, end)
        reached = _of_age(swept.of(version.criterion, near=False), line, ages)
        if reached:
            met += clip(reached, start, end)
    return met, near


class _Sweeps:
    """The spans of limbs over one ledger; what counts and when it leaves is looked up once."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._entries: dict[str, list[Counted]] = {}
        self._ends: dict[tuple[str, int], list[int]] = {}

    def of(self, criterion: Criterion, *, near: bool) -> list[Span]:
        """Where one of the limbs is met. `near`: or nearly; a limb without a near tier is met there as it is."""
        spans: list[Span] = []
        for limb in criterion.thresholds:
            spans += self._threshold_spans(limb.of, (near and limb.near) or limb.at_least, criterion.months)
        return join(spans) if len(spans) > 1 else spans

    def _threshold_spans(self, of: str, number: int, months: int) -> list[Span]:
        entries = self._entries.get(of)
        if entries is None:
            groups = GROUPS_OF[of]
            entries = self._entries[of] = [entry for entry in self._ledger.counted if entry.category in groups]
        if len(entries) < number:
            return []
        ends = self._ends.get((of, months))
        if ends is None:
            ends = self._ends[of, months] = [day_start(leaving(entry, months)) for entry in entries]
        return count_spans(entries, ends, number, self._ledger.visits)


def _release_spans(
    version: Validity, ledger: Ledger, found: list[Release], roster: RosterFacts, ages: Ages, book: Rulebook
) -> list[Span]:
    criterion = version.criterion
    return release_spans(entitled(found, criterion, roster, ages), criterion, ledger, book)


def _of_age(spans: Iterable[Span], line: RuleLine, ages: Ages) -> list[Span]:
    """An adult's spans begin with the 21st birthday; a youth's must have opened before it and are kept whole."""
    if line.age == ADULT:
        return clip(spans, ages.adult, FOREVER)
    if line.kind == "release":
        return list(spans)
    return [span for span in spans if span.opened < ages.adult]


def _candidates(
    row: MemberRow, member: str, line: RuleLine, found: list[Chain], eligibility: Eligibility, now: int, book: Rulebook
) -> list[Verdict]:
    remembered = bool(row.dispositions) or any(known.line == line.name for known in row.emitted.values())
    if not remembered:
        found = [chain for chain in found if chain.live(now)]
    names = {candidate_id(CANDIDATE, member, line, chain.opener.key): chain for chain in found}
    known = {n for n, emitted in row.emitted.items() if emitted.line == line.name and n.startswith(CANDIDATE)}
    orphans = known - set(names)
    verdicts = []
    for name, chain in names.items():
        if now >= chain.opener.start:
            answer = answer_to(row, name, chain, orphans, now) if row.dispositions else None
            others = (known | set(names)) - {name} if row.dispositions else set()
            verdicts.append(_verdict(row, name, line, chain, eligibility, answer, others, now, book))
    heir = next((v for v in verdicts if v.status == LIVE or (v.always and v.chain and v.chain.live(now))), None)
    replaced = sorted(name for name in orphans if row.emitted[name].status == LIVE)
    if heir is not None and replaced:
        verdicts[verdicts.index(heir)] = msgspec.structs.replace(heir, supersedes=replaced[0])
        verdicts += [Verdict(name, line, WITHDRAWN, now, "superseded", superseded_by=heir.id) for name in replaced]
    return verdicts


def _verdict(
    row: MemberRow,
    name: str,
    line: RuleLine,
    chain: Chain,
    eligibility: Eligibility,
    answer: CareResponse | None,
    others: set[str],
    now: int,
    book: Rulebook,
) -> Verdict:
    assert row.roster is not None
    live = chain.live(now)
    ended = chain.last_end(now)
    at = now if live or ended is None else ended
    outside = not_a_member(row.roster, local_day(chain.opener.start))
    if outside is not None:
        return Verdict(name, line, WITHDRAWN, at, outside, chain)
    if answer is not None and answer.status in CLOSING:
        return Verdict(name, line, CLOSED, at, answer.status, chain, answer, always=True)
    if not live:
        return Verdict(name, line, LAPSED, at, "no_longer_met", chain, answer)
    blocked_by = eligibility.blocked_by or cooling_off(row, chain, others, now, book)
    if blocked_by is not None:
        return Verdict(name, line, CLOSED, at, blocked_by, chain, answer)
    return Verdict(name, line, LIVE, at, None, chain, answer)


def _watches(roster: RosterFacts, member: str, line: RuleLine, found: list[Chain], now: int) -> list[Verdict]:
    return [
        Verdict(candidate_id(WATCH, member, line, chain.opener.key), line, LIVE, now, None, chain)
        for chain in found
        if chain.live(now) and not_a_member(roster, local_day(chain.opener.start)) is None
    ]


def _ended(row: MemberRow, name: str, book: Rulebook, now: int, reason: str) -> Verdict | None:
    """The verdict on something live that the facts no longer show. None when its rule is gone too."""
    emitted = row.emitted[name]
    line = next((line for line in book.lines if line.name == emitted.line), None)
    if line is None:
        return None
    status = CLOSED if reason == "left_roster" else WITHDRAWN
    return Verdict(name, line, status, now, reason)


def _live_names(row: MemberRow) -> list[str]:
    return sorted(name for name, known in row.emitted.items() if known.status == LIVE)


def _window_edges(ledger: Ledger, book: Rulebook) -> list[int]:
    """Where windows lose a visit: documents show the window as of the last of these.

    Those of six and twelve months are due dates of the utilization counts as well, and not repeated here.
    """
    return [day_start(leaving(entry, months)) for months in book.odd_months for entry in ledger.counted]
