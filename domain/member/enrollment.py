"""A member's enrollment as a line in time: the plan, county and delegate of a day (docs/semantics.md#membership)."""

from __future__ import annotations

from itertools import pairwise

import msgspec

from domain.rules.rulebook import FOREVER
from domain.snapshots import RosterFacts
from domain.times import day_of, day_start


def on_day(roster: RosterFacts, day: int) -> RosterFacts:
    """The roster facts with the span of enrollment that holds on `day` (ordinal) as the only one; where none does, with
    the last that ended before, else with the first."""
    if not roster.enrolment:
        return roster
    chosen = roster.enrolment[0]
    for span in roster.enrolment:
        if span.start is None or day_of(span.start) <= day:
            chosen = span
    return msgspec.structs.replace(
        roster,
        plan=chosen.plan,
        county=chosen.county,
        enrolled_from=chosen.start,
        enrolled_to=chosen.end,
        delegate=chosen.delegate,
        enrolment=(),
    )


def counties(roster: RosterFacts) -> list[tuple[str, int, int]]:
    """(county, start, end) over all time, half open (ms UTC): a county holds until the next span begins."""
    if not roster.enrolment:
        return [(roster.county, -FOREVER, FOREVER)]
    periods: list[tuple[str, int, int]] = [(roster.enrolment[0].county, -FOREVER, FOREVER)]
    for _, span in pairwise(roster.enrolment):
        if span.county != periods[-1][0]:
            at = day_start(day_of(span.start or ""))
            periods[-1] = (*periods[-1][:2], at)
            periods.append((span.county, at, FOREVER))
    return periods


def enrollment_edges(roster: RosterFacts) -> list[int]:
    """The instants (ms UTC) at which another span begins to hold."""
    return [day_start(day_of(span.start)) for span in roster.enrolment if span.start is not None]
