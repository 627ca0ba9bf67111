"""On which spans of time each line of rules is met for a member, or nearly met (docs/semantics.md#spans)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from domain.member.ages import Ages, ages_of
from domain.member.counting import Counted, Ledger
from domain.member.enrollment import counties
from domain.member.releases import Release, entitled, release_spans
from domain.member.spans import CATEGORIES_OF, Span, clip, count_spans, join, leaving
from domain.rules.rulebook import FOREVER, Rulebook, RuleLine, Validity
from domain.rules.ruleset import ADULT, YOUTH, Criterion
from domain.snapshots import RosterFacts
from domain.times import day_start


class LineSpans(msgspec.Struct, frozen=True, gc=False):
    """Where one line of rules is met (`met`), and where it is met or nearly so (`near`; empty for releases)."""

    line: RuleLine
    met: list[Span]
    near: list[Span]

    def edges(self) -> list[int]:
        """The instants (ms UTC) at which a candidate or watch of this line can change.

        A document names the version in force, so it changes where one version takes over from another, too.
        """
        edges = list(self.line.version_starts)
        for span in (*self.met, *self.near):
            edges += (span.start, span.end)
        return edges


def line_spans(ledger: Ledger, found: list[Release], roster: RosterFacts, book: Rulebook) -> list[LineSpans]:
    """Each line that is met or nearly met at some time. None without a birth date: no age can be judged."""
    if roster.birth_date is None:
        return []
    ages = ages_of(roster.birth_date)
    lines = []
    for line in book.lines:
        if _possible(line, ledger, found, ages):
            met, near = _spans(line, ledger, found, roster, ages, book)
            if met or near:
                lines.append(LineSpans(line, met, near))
    return lines


def _possible(line: RuleLine, ledger: Ledger, found: list[Release], ages: Ages) -> bool:
    """Whether the line can have a span at all: there is enough to count, and it lies at the right age.

    Most members are far from most lines, so this saves most of the work of a decision.
    """
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
    served = [(max(start, book.go_live(line.population, county)), end) for county, start, end in counties(roster)]
    counts = _Counts(ledger)
    for version in line.periods:
        periods = [(max(version.start, start), min(version.end, end)) for start, end in served]
        if line.kind == "release":
            spans = _of_age(_release_spans(version, ledger, found, roster, ages, book), line, ages)
            met += _within(spans, periods)
            continue
        nearly = _of_age(counts.spans(version.criterion, near=True), line, ages)
        if not nearly:
            continue
        near += _within(nearly, periods)
        met += _within(_of_age(counts.spans(version.criterion, near=False), line, ages), periods)
    return met, near


def _within(spans: list[Span], periods: list[tuple[int, int]]) -> list[Span]:
    """The parts of the spans that lie in one of the periods."""
    return [part for start, end in periods for part in clip(spans, start, end)] if spans else []


class _Counts:
    """The spans of count criteria over one ledger. Which visits a threshold counts, and when each leaves its window,
    is worked out once for all thresholds and versions of a line."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._entries: dict[str, list[Counted]] = {}
        self._ends: dict[tuple[str, int], list[int]] = {}

    def spans(self, criterion: Criterion, *, near: bool) -> list[Span]:
        """Where one of the thresholds is reached. `near`: its watch number, or the number itself if it has none."""
        spans: list[Span] = []
        for threshold in criterion.thresholds:
            number = (near and threshold.near) or threshold.at_least
            spans += self._threshold_spans(threshold.of, number, criterion.months)
        return join(spans) if len(spans) > 1 else spans

    def _threshold_spans(self, of: str, number: int, months: int) -> list[Span]:
        entries = self._entries.get(of)
        if entries is None:
            categories = CATEGORIES_OF[of]
            entries = self._entries[of] = [entry for entry in self._ledger.counted if entry.category in categories]
        if len(entries) < number:
            return []
        ends = self._ends.get((of, months))
        if ends is None:
            ends = self._ends[of, months] = [day_start(leaving(entry, months)) for entry in entries]
        return count_spans(entries, ends, number, self._ledger.visits)


def _release_spans(
    version: Validity, ledger: Ledger, found: Sequence[Release], roster: RosterFacts, ages: Ages, book: Rulebook
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
