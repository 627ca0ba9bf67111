"""Which visits of different source patients are one stay (docs/semantics.md#episodes).

Two feeds may tell of the same stay under two patient numbers. Visits at the same facility, of the same class group,
whose arrivals lie within two hours (setting) are one; so are two that bear the same visit number, as happens while an
account moves between patients. One of them stands for all, chosen by content, never by the order of arrival.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from domain.identity import digest
from domain.member.visits import OTHER, WEAK, MemberVisit
from domain.times import MINUTE


def join_duplicates(visits: Sequence[MemberVisit], minutes: int) -> tuple[list[MemberVisit], dict[int, int]]:
    """(the visits, with what its duplicates know added to each that stands for several; duplicate -> that one).

    `visits` are in row order; positions are kept.
    """
    if len({visit.patient for visit in visits}) < 2:
        return list(visits), {}
    clusters: list[list[int]] = []
    nearby: dict[tuple[str, str], list[list[int]]] = {}
    named: dict[str, list[int]] = {}
    for index, visit in enumerate(visits):
        if not visit.asserted or visit.arrived is None or visit.category == OTHER:
            continue
        place = nearby.setdefault((visit.facility, visit.category), [])
        home = named.get(visit.visit)
        if home is None or not _no_visit_of_same_patient(visits, home, visit):
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
            cluster.sort(key=lambda index: _precedence(visits[index]))
            view[cluster[0]] = _merged([visits[index] for index in cluster])
            duplicates.update(dict.fromkeys(cluster[1:], cluster[0]))
    return view, duplicates


def _joins(visits: Sequence[MemberVisit], cluster: Sequence[int], visit: MemberVisit, limit: int) -> bool:
    """Whether a visit at the same facility and of the same group is one with the cluster."""
    arrived = visits[cluster[0]].arrived
    assert arrived is not None
    assert visit.arrived is not None
    return (
        visit.facility != ""
        and abs(arrived - visit.arrived) <= limit
        and _no_visit_of_same_patient(visits, cluster, visit)
    )


def _no_visit_of_same_patient(visits: Sequence[MemberVisit], cluster: Sequence[int], visit: MemberVisit) -> bool:
    """Whether the cluster has no visit of the same source patient: one patient's two visits are two."""
    patient = visit.patient
    return all(visits[index].patient != patient for index in cluster)


def _precedence(visit: MemberVisit) -> tuple[int, int, str, str]:
    """The smallest of these stands for its cluster: a numbered visit before a weak one, then the earlier."""
    return (visit.flags & WEAK, visit.arrived or 0, visit.patient, visit.visit)


def _merged(cluster: Sequence[MemberVisit]) -> MemberVisit:
    """The visit that stands for a cluster, with the end, the diagnoses and the marks that only others know."""
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
