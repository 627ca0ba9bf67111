"""Cut the statements of one visit number, account or patient at a facility into visits (docs/semantics.md#which-visit).

A *bucket* holds all statements that arrived under one key. A visit number that its sender never uses again is one
visit. Any other bucket may hold several: a lasting account number, a number that was used again, a feed without
numbers. The cut is a function of the set of statements: it sorts them by occurrence, never by arrival.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from domain.patient.events import When
from domain.patient.ranks import Rank
from domain.patient.statements import ARRIVALS, CANCELS, PLANS, Statement
from domain.times import DAY, HOUR, MINUTE, iso_day, local_day

REUSE_AFTER: Final = 24 * HOUR
"""A visit number that arrives again this long after a departure is another visit."""
ED_SILENCE: Final = 48 * HOUR
"""An ED visit without a departure ends after this much silence. Other classes have no such limit."""
CORRECTION: Final = 48 * HOUR
"""A second departure within this time of the first corrects it; a later one belongs to a visit of its own."""

_OPENERS: Final = ARRIVALS | PLANS


class Part(msgspec.Struct, gc=False):
    """The statements of one visit of a bucket. Times in ms UTC."""

    start: int
    statements: list[Statement]
    end: int | None = None
    """The last departure that stands."""
    ended_by: Rank | None = None
    last: int = 0
    """The time of the last statement."""
    emergency: bool = False
    arrived: bool = False


def cut(
    key: str, statements: Sequence[Statement], *, numbered: bool, dated: bool = False
) -> list[tuple[str, tuple[Statement, ...]]]:
    """(visit key, statements in the order of their rank) of each visit, in order of occurrence.

    `statements` are those of the bucket `key`, in order of rank. `numbered`: the key is a visit number that its sender
    does not reuse on purpose. The first visit keeps the key of its bucket, later ones add the local day of their start
    (and a count where a day has several). `dated`: the first adds its day too, since the bucket is no number at all.
    """
    if numbered and not _may_be_reused(statements):
        return [(key, tuple(statements))] if statements else []
    parts = _parts(statements, numbered)
    order = {id(statement): index for index, statement in enumerate(statements)}
    found: list[tuple[str, tuple[Statement, ...]]] = []
    used: dict[str, int] = {}
    for index, part in enumerate(parts):
        name = key
        if index or dated:
            name = f"{key}~{iso_day(local_day(part.start))}"
            used[name] = used.get(name, 0) + 1
            if used[name] > 1:
                name = f"{name}~{used[name]}"
        found.append((name, tuple(sorted(part.statements, key=lambda each: order[id(each)]))))
    return found


def _may_be_reused(statements: Sequence[Statement]) -> bool:
    """Whether some arrival was recorded after, and lies 24 hours after, some departure: the cheap first look."""
    first = min((s.when.at for s in statements if s.trigger == "A03"), default=None)
    return first is not None and any(s.trigger in _OPENERS and s.when.at > first + REUSE_AFTER for s in statements)


def _parts(statements: Sequence[Statement], numbered: bool) -> list[Part]:
    void = _cancelled_departures(statements, numbered)
    parts: list[Part] = []
    later: list[Statement] = []
    for at, statement in _in_order([s for s in statements if s.trigger not in CANCELS]):
        trigger = statement.trigger
        if trigger not in _OPENERS and trigger != "A03" and isinstance(statement.admitted, When):
            later.append(statement)  # PV1-44 names its visit: placed when all arrivals are known
        elif not parts or _begins(parts[-1], statement, at, numbered):
            parts.append(_part(statement, at))
        else:
            _add(parts[-1], statement, at)
        if trigger == "A03" and id(statement) not in void:
            part = parts[-1]
            if part.end is None or part.end < at:
                part.end = at
            part.ended_by = statement.rank if part.ended_by is None else max(part.ended_by, statement.rank)
    for statement in later:
        _place(parts, statement, numbered)
    parts.sort(key=lambda part: part.start)
    for statement in statements:
        if statement.trigger in CANCELS:
            _cancel(parts, statement)
    return parts


def _in_order(statements: Iterable[Statement]) -> list[tuple[int, Statement]]:
    """(time, statement) in order of occurrence.

    A value that is a day stands for all of it: an arrival is not after, a departure not before, anything else on that
    day. At equal times a departure follows the arrival that was recorded before it.
    """
    return sorted(((_time(s), s) for s in statements), key=lambda pair: (pair[0], pair[1].rank))


def _time(statement: Statement) -> int:
    when = statement.when
    if statement.trigger == "A03" and when.whole_day:
        return when.at + DAY - 1
    return when.at


def _begins(part: Part, statement: Statement, at: int, numbered: bool) -> bool:
    """Whether `statement`, at or after the last statement of `part`, begins another visit."""
    trigger = statement.trigger
    if trigger in _OPENERS:
        if part.end is not None:
            if not numbered:
                return at >= part.end
            assert part.ended_by is not None
            # A mistyped time may put an arrival after its own departure; only an arrival that was also recorded after
            # the departure is of another visit.
            return at > part.end + REUSE_AFTER and statement.rank > part.ended_by
        return not numbered and part.emergency and part.arrived and at - part.last > ED_SILENCE
    if trigger == "A03" and not numbered and part.end is not None:
        if isinstance(statement.admitted, When):
            return statement.admitted.at > part.end
        return at - part.end > CORRECTION
    return False


def _part(statement: Statement, at: int) -> Part:
    part = Part(start=at, statements=[], last=at)
    _add(part, statement, at)
    return part


def _add(part: Part, statement: Statement, at: int) -> None:
    part.statements.append(statement)
    part.last = max(part.last, at)
    if statement.trigger in ARRIVALS:
        part.arrived = True
    if statement.patient_class is not None:
        part.emergency = statement.patient_class == "emergency"


def _place(parts: list[Part], statement: Statement, numbered: bool) -> None:
    """Put an update or transfer that has PV1-44 into the visit that arrived then, else into that of its time."""
    assert isinstance(statement.admitted, When)
    at = statement.admitted.at
    width = DAY if statement.admitted.whole_day else MINUTE
    for part in parts:
        if at // MINUTE <= part.start // MINUTE < (at + width) // MINUTE:
            _add(part, statement, at)
            return
    begun = [part for part in parts if part.start <= at]
    if begun and (numbered or begun[-1].end is None or at < begun[-1].end):
        _add(begun[-1], statement, at)
    elif numbered and parts:
        _add(parts[0], statement, at)
    else:
        following = next((part for part in parts if part.start > at and not part.arrived), None)
        if following is not None:
            following.start = min(following.start, at)
            _add(following, statement, at)
        else:
            parts.append(_part(statement, at))
            parts.sort(key=lambda part: part.start)


def _cancelled_departures(statements: Sequence[Statement], numbered: bool) -> set[int]:
    """The `id`s of departures that an A13 or A23 takes back.

    EVN-6 of a cancel names the departure to the minute. Where it is empty or names none, a cancel takes back the last
    departure up to its own rank; of a visit number, all of them (docs/semantics.md#cancels).
    """
    departures = [s for s in statements if s.trigger == "A03"]
    found: set[int] = set()
    for cancel in statements:
        if "A03" not in CANCELS.get(cancel.trigger, ()):
            continue
        before = [s for s in departures if s.rank <= cancel.rank]
        named = [s for s in before if _named(cancel, s)]
        if named:
            found.update(id(s) for s in named)
        elif numbered:
            found.update(id(s) for s in before)
        elif before:
            found.add(id(max(before, key=lambda s: (_time(s), s.rank))))
    return found


def _named(cancel: Statement, statement: Statement) -> bool:
    return (
        cancel.trigger != "A23"
        and cancel.occurred is not None
        and cancel.occurred.at // MINUTE == statement.when.at // MINUTE
    )


def _cancel(parts: list[Part], cancel: Statement) -> None:
    """Put a cancel into the visit that holds what it takes back, else into the visit of its time."""
    kinds = CANCELS[cancel.trigger]
    best: tuple[bool, int, int] | None = None
    for index, part in enumerate(parts):
        for statement in part.statements:
            if statement.trigger in kinds and statement.rank <= cancel.rank:
                candidate = (_named(cancel, statement), _time(statement), index)
                best = candidate if best is None or candidate > best else best
    if best is None:
        at = cancel.when.at
        index = max((i for i, part in enumerate(parts) if part.start <= at), default=0)
    else:
        index = best[2]
    if parts:
        parts[index].statements.append(cancel)
    else:
        parts.append(Part(start=cancel.when.at, statements=[cancel]))
