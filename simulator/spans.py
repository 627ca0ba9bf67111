"""The spans of days on which a criterion is met, computed day by day, and their chains."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from datetime import date
from typing import Final

import msgspec

from simulator.people import Person
from simulator.tallies import Tally, keys_of
from simulator.world import DAY, Custody, at, day_of, months_back

CHAIN: Final = 30 * DAY
ANY_FACILITY: Final = date(2026, 1, 1).toordinal()
"""From this day on a youth's release from an adult jail opens population 4 too (guide of January 2026, p. 32)."""


class Span(msgspec.Struct, frozen=True):
    """Days (ordinals, both included) on which a criterion is met, and the keys of what opened it (on day `opened`).

    `start` is the instant (ms UTC) from which it is met on the first day.
    """

    first: int
    last: int
    start: int
    opened: int
    openers: tuple[str, ...]


def spans(tallies: list[Tally], person: Person, months: int, emergencies: int, stays: int, end_day: int) -> list[Span]:
    """The spans of days up to `end_day` on which a look-back of `months` has enough visits, each with its openers."""
    seen = [each for each in tallies if each.reason == "counted"]
    if len(seen) < min(emergencies, stays):
        return []
    seen.sort(key=lambda each: each.day)
    days = [each.day for each in seen]
    found: list[Span] = []
    first: int | None = None

    def enough(inside: list[Tally]) -> bool:
        if len(inside) < stays:
            return False
        attended = sum(each.as_ == "emergency" for each in inside)
        return attended >= emergencies or len(inside) - attended >= stays

    turns = {each.until for each in seen} | {end_day + 1}
    held = (0, 0)
    for day in range(days[0], end_day + 2):
        place = (bisect_left(days, months_back(day, months)), bisect_right(days, day))
        if place == held and day not in turns:
            continue  # no visit entered or left the look-back
        held = place
        window = seen[place[0] : place[1]] if day <= end_day else []
        inside = [each for each in window if day < each.until]
        # A span continues with visits of earlier days alone; a visit of this day may open a new one.
        if first is not None and not enough([each for each in inside if each.day < day]) and first < day:
            opening = [each.visit for each in seen if each.day == first]
            openers = tuple(key for visit in opening for key in keys_of(visit, person))
            arrived = max(visit.admitted or visit.arrived for visit in opening)
            found.append(Span(first, day - 1, arrived, first, openers))
            first = None
        if first is None and enough(inside):
            first = day
    return found


def released_spans(events: Iterable[Custody], end_day: int, known_from: int | None = 0) -> list[Span]:
    """The twelve months after each release, joined where they touch.

    None begins before `known_from` (ms UTC), the first evidence of a condition; None: there is no evidence.
    """
    found: list[Span] = []
    if known_from is None:
        return found
    freed = [e for e in events if e.kind == "released" and e.occurred is not None]
    for moment, record in sorted((e.occurred or 0, e.record_id) for e in freed):
        day = last = day_of(moment)
        while last < end_day and months_back(last + 1, 12) <= day:
            last += 1
        start = max(moment, known_from)
        if day_of(start) > last:
            continue
        if found and day_of(start) <= found[-1].last + 1:
            found[-1] = msgspec.structs.replace(found[-1], last=max(last, found[-1].last))
        else:
            found.append(Span(day_of(start), last, start, day, (record, f"custody:{record}")))
    return found


def live_span(spans_found: list[Span], end_day: int) -> Span | None:
    """The candidate that is live on `end_day`: its chain's first span (gaps of up to thirty days), or None."""
    if not spans_found or spans_found[-1].last < end_day:
        return None
    opening = spans_found[-1]
    for span in reversed(spans_found[:-1]):
        if opening.start - at(span.last + 1, 0) > CHAIN:
            break
        opening = span
    return opening


def youth_spans(events: list[Custody], end_day: int, ends: list[int]) -> list[Span]:
    """Releases before the latest of the days `ends`. Until the guide of January 2026 only youth facilities' counted."""
    young = [event for event in events if event.occurred is not None and day_of(event.occurred) < max(ends)]
    camps = [event for event in young if event.facility_type == "youth-facility"]
    found: list[Span] = []
    for span in sorted(
        [*released_spans(camps, end_day), *part_from(released_spans(young, end_day), ANY_FACILITY)],
        key=lambda span: (span.start, span.opened),
    ):
        if found and span.first <= found[-1].last + 1:
            found[-1] = msgspec.structs.replace(found[-1], last=max(span.last, found[-1].last))
        else:
            found.append(span)
    return found


def part_from(found: list[Span], day: int) -> list[Span]:
    """The parts of the spans from `day` on."""
    return [
        span if span.first >= day else msgspec.structs.replace(span, first=day, start=at(day, 0))
        for span in found
        if span.last >= day
    ]
