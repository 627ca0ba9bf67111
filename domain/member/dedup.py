"""Which visits are one because two feeds reported one stay (docs/semantics.md#episodes).

Visits at the same facility and of one category are one if their arrivals lie within two hours (setting), or if they
overlap and their departures lie within two hours; under the same or different record numbers. So are two that bear the
same visit number, as happens while an account moves between patients. One represents all: it is chosen by content,
never by the order of arrival.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from domain.identity import digest
from domain.member.visits import OTHER, WEAK, MemberVisit
from domain.times import MINUTE


def join_duplicates(visits: Sequence[MemberVisit], minutes: int) -> tuple[list[MemberVisit], dict[int, int]]:
    """(the visits, what its duplicates know added to each that represents several; duplicate -> that one).

    `visits` are in row order; positions are kept.
    """
    limit = minutes * MINUTE
    if not _any_near(visits, limit):
        return list(visits), {}
    clusters: list[list[int]] = []
    nearby: dict[tuple[str, str], list[list[int]]] = {}
    named: dict[str, list[int]] = {}
    for index, visit in enumerate(visits):
        if not visit.asserted or visit.arrived is None or visit.category == OTHER:
            continue
        place = nearby.setdefault((visit.facility, visit.category), [])
        home = named.get(visit.visit)
        if home is None:
            # Only the last few can be near: row order is by start, and a visit that overlaps began not long ago.
            home = next((c for c in reversed(place[-_LOOK_BACK:]) if _joins(visits, c, visit, limit)), None)
        if home is not None:
            home.append(index)
            continue
        cluster = named[visit.visit] = [index]
        place.append(cluster)
        clusters.append(cluster)
    view, duplicates = list(visits), {}
    for cluster in clusters:
        if len(cluster) > 1:
            cluster.sort(key=lambda index: _precedence(visits[index]))
            view[cluster[0]] = _merged([visits[index] for index in cluster])
            duplicates.update(dict.fromkeys(cluster[1:], cluster[0]))
    return view, duplicates


_LOOK_BACK: Final = 8


def _any_near(visits: Sequence[MemberVisit], limit: int) -> bool:
    """Whether any two visits overlap, begin within `limit` of each other or bear one number: of most members none do.

    Facility and category are left to the search itself.
    """
    reach = -limit
    for visit in visits:
        arrived = visit.arrived
        if arrived is not None:
            if arrived <= reach:
                return True
            departed = visit.departed
            latest = (departed if departed is not None and departed > arrived else arrived) + limit
            if latest > reach:
                reach = latest
    return len({visit.visit for visit in visits}) < len(visits)


def _joins(visits: Sequence[MemberVisit], cluster: Sequence[int], visit: MemberVisit, limit: int) -> bool:
    """Whether a visit at the same facility and of the same category is one with the cluster."""
    if visit.facility == "":
        return False
    first = visits[cluster[0]]
    assert first.arrived is not None
    assert visit.arrived is not None
    if abs(first.arrived - visit.arrived) <= limit:
        return True
    if first.departed is None or visit.departed is None:
        return False
    overlaps = visit.arrived < first.departed and first.arrived < visit.departed
    return overlaps and abs(first.departed - visit.departed) <= limit


def _precedence(visit: MemberVisit) -> tuple[int, int, str, str]:
    """The smallest of these represents its cluster: a numbered visit before a weak one, then the earlier."""
    return (visit.flags & WEAK, visit.arrived or 0, visit.patient, visit.visit)


def _merged(cluster: Sequence[MemberVisit]) -> MemberVisit:
    """The visit that represents a cluster, with the end, the diagnoses and the flags that only others know."""
    chosen = cluster[0]
    ended = next((visit for visit in cluster if visit.departed is not None), chosen)
    diagnoses = tuple(sorted({code for visit in cluster for code in visit.diagnoses}))
    flags = chosen.flags
    for visit in cluster[1:]:
        flags |= visit.flags & ~WEAK
    return msgspec.structs.replace(
        chosen,
        departed=ended.departed,
        disposition_group=ended.disposition_group,
        diagnoses=diagnoses,
        flags=flags,
        fingerprint=digest((chosen.fingerprint, ended.departed)),
    )
