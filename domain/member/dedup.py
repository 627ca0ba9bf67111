"""Which visits of different source patients are one stay (semantics, section 3: stitching).

Two feeds may tell of the same stay under two patient numbers. Visits at the same facility, of the same class group,
whose arrivals lie within two hours (setting) are one; so are two that bear the same visit number, as happens while an
account moves between patients. One of them stands for all, chosen by content, never by the order of arrival.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from domain.member.visits import OTHER, WEAK, Held, digest
from domain.times import MINUTE


def stitch(visits: Sequence[Held], minutes: int) -> tuple[list[Held], dict[int, int]]:
    """(the visits, with what its duplicates know added to each that stands for several; duplicate -> that one).

    `visits` are in row order; positions are kept.
    """
    if len({visit.patient for visit in visits}) < 2:
        return list(visits), {}
    clusters: list[list[int]] = []
    nearby: dict[tuple[str, str], list[list[int]]] = {}
    named: dict[str, list[int]] = {}
    for index, visit in enumerate(visits):
        if not visit.asserted or visit.arrived is None or visit.group == OTHER:
            continue
        place = nearby.setdefault((visit.facility, visit.group), [])
        home = named.get(visit.visit)
        if home is None or not _strange(visits, home, visit):
            home = next((c for c in reversed(place) if _joins(visits, c, visit, minutes * MINUTE)), None)
        if home is not None:
            home.append(index)
            continue
        cluster = named[visit.visit] = [index]
        place.append(cluster)
        clusters.append(cluster)
    view, duplicates = list(visits), {}
    for cluster in clusters:
        if len(cluster) > 1:
            cluster.sort(key=lambda index: _standing(visits[index]))
            view[cluster[0]] = _merged([visits[index] for index in cluster])
            duplicates.update(dict.fromkeys(cluster[1:], cluster[0]))
    return view, duplicates


def _joins(visits: Sequence[Held], cluster: Sequence[int], visit: Held, limit: int) -> bool:
    """Whether a visit at the same facility and of the same group is one with the cluster."""
    arrived = visits[cluster[0]].arrived
    assert arrived is not None
    assert visit.arrived is not None
    return visit.facility != "" and abs(arrived - visit.arrived) <= limit and _strange(visits, cluster, visit)


def _strange(visits: Sequence[Held], cluster: Sequence[int], visit: Held) -> bool:
    """Whether the cluster has no visit of the same source patient: one patient's two visits are two."""
    patient = visit.patient
    return all(visits[index].patient != patient for index in cluster)


def _standing(visit: Held) -> tuple[int, int, str, str]:
    """The smallest of these stands for its cluster: a numbered visit before a weak one, then the earlier."""
    return (visit.marks & WEAK, visit.arrived or 0, visit.patient, visit.visit)


def _merged(cluster: Sequence[Held]) -> Held:
    """The visit that stands for a cluster, with the end, the diagnoses and the marks that only others know."""
    chosen = cluster[0]
    ended = next((visit for visit in cluster if visit.departed is not None), chosen)
    diagnoses = tuple(sorted({code for visit in cluster for code in visit.diagnoses}))
    marks = chosen.marks
    for visit in cluster[1:]:
        marks |= visit.marks & ~WEAK
    return msgspec.structs.replace(
        chosen,
        departed=ended.departed,
        to=ended.to,
        diagnoses=diagnoses,
        marks=marks,
        face=digest((chosen.face, ended.departed)),
    )
