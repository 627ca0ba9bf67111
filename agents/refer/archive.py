"""Keep a member's row under its size limit: the messages of old visits go to `member.archive.v1`.

Decided record by record from the row and from now alone, so the result does not depend on how records are cut into
chunks. The topic holds exactly the visits that are archived in the row, each in the same revision
(docs/decisions/0010-archive.md).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from agents.refer.events import Emission
from agents.refer.render import messages_in
from agents.runtime.contract import Emit
from agents.runtime.overlay import ROW_LIMIT
from agents.topics import ARCHIVE
from domain.member.archive import archivable, archive_id, cited_visits, is_over, months_kept, without_messages
from domain.member.row import MemberRow
from domain.member.visits import MemberVisit
from domain.rules.rulebook import Rulebook
from domain.times import rfc3339, rfc3339_or_none
from parsers.records.documents import Archived

ARCHIVE_AT: Final = ROW_LIMIT * 3 // 4
"""Bytes a row may take, as uncompressed msgpack, before messages leave it."""
_A_VISIT: Final = 250
"""Bytes, roughly, that a visit and the memory of its transitions take beside its messages."""

Key = tuple[str, str]


class VisitArchive:
    """Archives for one stage. `archive_at`: bytes at which it begins; `encode`: a row as uncompressed msgpack."""

    def __init__(self, book: Rulebook, archive_at: int, encode: Callable[[MemberRow], bytes]) -> None:
        self._book, self._archive_at, self._encode = book, archive_at, encode
        self._low = archive_at * 2 // 3
        self._months = months_kept(book)

    def keep(self, before: MemberRow, row: MemberRow, emission: Emission) -> tuple[MemberRow, list[Emit]]:
        """(the row without the messages of old visits, archive records), after a record turned `before` into `row`."""
        if row.visits is before.visits:
            return row, []
        now = emission.now
        back = _came_back(before, row)
        wanted = {_key(visit) for visit in self._outgrown(row, now)}
        if back:
            wanted |= {_key(v) for v in row.visits if _key(v) in back and is_over(v, now, self._months)}
        if wanted:
            kept = cited_visits(row, emission.member, now, self._book)
            wanted = {key for key in wanted if key[1] not in kept}
        emits = [_restored(old, emission) for key, old in back.items() if key not in wanted]
        if not wanted:
            return row, emits
        emits += [_archived(visit, emission) for visit in row.visits if _key(visit) in wanted]
        visits = tuple(without_messages(visit) if _key(visit) in wanted else visit for visit in row.visits)
        return msgspec.structs.replace(row, visits=visits), emits

    def _outgrown(self, row: MemberRow, now: int) -> list[MemberVisit]:
        """The oldest visits without whose messages the row is two thirds of `archive_at`, or all that are over."""
        # An estimate first: encoding a row to measure it costs as much as folding a record.
        if sum([len(visit.messages) + _A_VISIT for visit in row.visits]) * 2 <= self._archive_at:
            return []
        old = archivable(row.visits, now, self._months)
        if not old:
            return []
        size = len(self._encode(row))
        if size <= self._archive_at:
            return []
        chosen = []
        for visit in old:
            if size <= self._low:
                break
            size -= len(visit.messages)
            chosen.append(visit)
        return chosen


def _archived(visit: MemberVisit, emission: Emission) -> Emit:
    name = archive_id(emission.member, visit)
    document = Archived(
        archive_id=name,
        revision=visit.revision,
        member_id=emission.member,
        patient=visit.patient,
        visit=visit.visit,
        status=visit.status,
        patient_class=visit.patient_class,
        facility=visit.facility,
        arrived=rfc3339_or_none(visit.arrived),
        departed=rfc3339_or_none(visit.departed),
        disposition_group=visit.disposition_group,
        diagnoses=visit.diagnoses,
        messages=messages_in(visit.messages),
        archived=rfc3339(emission.now),
        received=rfc3339(visit.received),
    )
    return emission.record(ARCHIVE, name, document, "visit.archived", name, visit.revision)


def _restored(old: MemberVisit, emission: Emission) -> Emit:
    """The tombstone of a visit that is whole in the row again, or withdrawn."""
    name = archive_id(emission.member, old)
    return emission.record(ARCHIVE, name, None, "visit.restored", name, f"{old.revision}/out")


def _came_back(before: MemberRow, row: MemberRow) -> dict[Key, MemberVisit]:
    """Visits that were archived and are no longer: a later snapshot replaced or withdrew them."""
    back = {_key(visit): visit for visit in before.visits if visit.archived}
    if back:
        for visit in row.visits:
            if visit.archived:
                back.pop(_key(visit), None)
    return back


def _key(visit: MemberVisit) -> Key:
    return (visit.patient, visit.visit)
