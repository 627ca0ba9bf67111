"""On which spans of time a criterion is true, and which spans belong together (docs/semantics.md#spans).

Instants are milliseconds UTC; a span is half open. A count criterion is true from the arrival of the visit that reaches
the number until the start of the day on which the count falls below it. Spans that lie no more than 30 days apart
(setting) are one chain, identified by what opened its first span.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

import msgspec

from domain.member.counting import Counted
from domain.member.visits import ED, SNF, STAY, MemberVisit
from domain.times import DAY, leaves_window

CATEGORIES_OF: Final = {
    "ed": (ED,),
    "inpatient": (STAY,),
    "snf": (SNF,),
    "inpatient_or_snf": (STAY, SNF),
}
"""What a threshold counts (`Threshold.of`), as categories of visits."""


class Span(msgspec.Struct, frozen=True, gc=False):
    """A criterion is met on [start, end) (ms UTC). `key` is that of the visit or custody record that opened it, at
    `opened`; `kind` its category."""

    start: int
    end: int
    key: str
    opened: int
    kind: str


class Chain(msgspec.Struct, frozen=True, gc=False):
    """Spans that belong together, in order; none overlap."""

    spans: tuple[Span, ...]

    @property
    def opener(self) -> Span:
        """The first span, which gives the chain its ID."""
        return self.spans[0]

    def live(self, at: int) -> bool:
        """Whether `at` lies in one of the spans."""
        return any(span.start <= at < span.end for span in self.spans)

    def last_end(self, at: int) -> int | None:
        """The latest end of a span that is not after `at`; None when none has ended."""
        return max((span.end for span in self.spans if span.end <= at), default=None)


def leaving(entry: Counted, months: int) -> int:
    """The first day (ordinal) on which a look-back of `months` months no longer counts the visit."""
    return min(leaves_window(entry.day, months), entry.until)


def count_spans(
    entries: Sequence[Counted], ends: Sequence[int], at_least: int, visits: Sequence[MemberVisit]
) -> list[Span]:
    """Where at least `at_least` of `entries` (in row order) are in the window; `ends` are the instants each leaves it.

    The opener is the visit that reaches the number; of several at one instant, the last in row order.
    """
    short = at_least - 1
    if len(entries) <= short:
        return []
    if any(earlier > later for earlier, later in pairwise(ends)):
        return _uneven_spans(entries, ends, at_least, visits)
    # The earliest leaves first: the number is reached from each visit until the one `short` before it leaves.
    spans: list[Span] = []
    for place in range(short, len(entries)):
        entry, end = entries[place], ends[place - short]
        if end <= entry.start:
            continue
        if spans and entry.start <= spans[-1].end:
            if end > spans[-1].end:
                spans[-1] = msgspec.structs.replace(spans[-1], end=end)
        else:
            spans.append(Span(entry.start, end, visits[entry.index].visit, entry.start, entry.category))
    return spans


def _uneven_spans(
    entries: Sequence[Counted], ends: Sequence[int], at_least: int, visits: Sequence[MemberVisit]
) -> list[Span]:
    """The same where a long stay in a nursing facility leaves the count before visits that came earlier."""
    steps = [(entry.start, 1, place) for place, entry in enumerate(entries) if ends[place] > entry.start]
    steps += [(ends[place], -1, place) for place, entry in enumerate(entries) if ends[place] > entry.start]
    steps.sort()
    spans: list[Span] = []
    count, opener = 0, entries[0]
    for at, step, place in steps:
        count += step
        if step > 0 and count == at_least:
            opener = entries[place]
        elif step < 0 and count == at_least - 1:
            spans.append(Span(opener.start, at, visits[opener.index].visit, opener.start, opener.category))
    return join(spans)


def clip(spans: Iterable[Span], start: int, end: int) -> list[Span]:
    """The parts of the spans that lie in [start, end); an opener stays what it was."""
    return [
        msgspec.structs.replace(span, start=max(span.start, start), end=min(span.end, end))
        for span in spans
        if max(span.start, start) < min(span.end, end)
    ]


def join(spans: Iterable[Span]) -> list[Span]:
    """The spans in order, those that overlap or touch made one; the earlier opener holds, then the smaller key."""
    spans = list(spans)
    if len(spans) < 2:
        return spans
    joined: list[Span] = []
    for span in sorted(spans, key=lambda s: (s.start, s.opened, s.key)):
        if joined and span.start <= joined[-1].end:
            if span.end > joined[-1].end:
                joined[-1] = msgspec.structs.replace(joined[-1], end=span.end)
        else:
            joined.append(span)
    return joined


def chains(spans: Iterable[Span], gap_days: int) -> list[Chain]:
    """The spans in chains: a new chain begins where more than `gap_days` days passed since the last span ended."""
    grouped: list[list[Span]] = []
    for span in join(spans):
        if grouped and span.start - grouped[-1][-1].end <= gap_days * DAY:
            grouped[-1].append(span)
        else:
            grouped.append([span])
    return [Chain(tuple(group)) for group in grouped]
