"""Join the custody records of all sources into events, and read the state of custody (docs/semantics.md#custody).

A jail's feed and a plan's files tell the same booking or release under different record numbers. Records of one kind at
the same or an unknown facility, at most 72 hours apart (`custody_join_hours`), are one event, unless the opposite event
lies between them. One record represents all; it is chosen by content, never by the order of arrival.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from domain.facilities import RELEASING
from domain.member.visits import MemberCustody
from domain.times import HOUR

BOOKED: Final = "booked"
RELEASED: Final = "released"
DIED: Final = "died"
_OPPOSITE: Final = {BOOKED: RELEASED, RELEASED: BOOKED}
_CONFIDENCES: Final = {"confirmed": 0, "high": 1}
_NOTHING: Final[dict[int, int]] = {}


class CustodyLedger(msgspec.Struct, frozen=True, gc=False):
    """Custody records, read. `joined` has the position of each record that another represents -> the other's."""

    records: Sequence[MemberCustody]
    joined: dict[int, int]
    first_release: int | None = None
    """When the first release occurred (ms UTC)."""

    def stands(self, index: int) -> bool:
        """Whether the record is an event: it represents itself, and it is about custody."""
        record = self.records[index]
        return index not in self.joined and (record.kind != RELEASED or record.facility_type in RELEASING)

    def events(self, kind: str) -> list[MemberCustody]:
        """The events of one kind, in order of time."""
        return [record for index, record in enumerate(self.records) if record.kind == kind and self.stands(index)]

    def follows_release(self, booking: MemberCustody) -> bool:
        """Whether a booking is of a person who had been released."""
        return self.first_release is not None and self.first_release <= booking.at


class _Cluster(msgspec.Struct, gc=False):
    """Positions of records of one event; `place` is the facility that one of them names."""

    first: MemberCustody
    place: str
    members: list[int]


def read_custody(records: Sequence[MemberCustody], hours: int) -> CustodyLedger:
    """The events that `records` amount to. They are in row order: by time, patient and record number."""
    if not records:
        return CustodyLedger(records, _NOTHING)
    clusters: list[_Cluster] = []
    latest: dict[str, _Cluster] = {}
    """Kind -> its latest event, unless the opposite came after it."""
    for index, record in enumerate(records):
        place, cluster = _plain(record.facility), latest.get(record.kind)
        if cluster is not None and _is_of(cluster, record, place, hours * HOUR):
            cluster.members.append(index)
            cluster.place = cluster.place or place
        else:
            cluster = latest[record.kind] = _Cluster(record, place, [index])
            clusters.append(cluster)
        if record.kind in _OPPOSITE:
            latest.pop(_OPPOSITE[record.kind], None)
    joined = {}
    for cluster in clusters:
        if len(cluster.members) > 1:
            chosen = min(cluster.members, key=lambda index: _precedence(records[index]))
            joined.update({index: chosen for index in cluster.members if index != chosen})
    ledger = CustodyLedger(records, joined)
    return CustodyLedger(records, joined, next((release.at for release in ledger.events(RELEASED)), None))


def _is_of(cluster: _Cluster, record: MemberCustody, place: str, limit: int) -> bool:
    near = record.at - cluster.first.at <= limit and record.scheduled == cluster.first.scheduled
    return near and (not place or not cluster.place or place == cluster.place)


def _plain(facility: str) -> str:
    """A facility's name for comparison: files and feeds write it in different ways."""
    return "".join(char for char in facility.casefold() if char.isalnum())


def _precedence(record: MemberCustody) -> tuple[int, int, str, str]:
    """The smallest of these represents its event: the most certain, then the earliest."""
    return (_CONFIDENCES.get(record.confidence, 2), record.at, record.patient, record.record_id)
