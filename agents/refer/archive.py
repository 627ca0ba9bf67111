"""Keeping a member's row under its limit: proofs of old visits go to `member.archive.v1`.

Decided record by record from the row and from now alone, so how records are cut into chunks does not show. The topic
holds exactly the visits that the row holds as archived, each in the same revision.
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
"""Bytes a row may take, as plain msgpack, before proofs leave it."""
_A_VISIT: Final = 250
"""Bytes that a visit and what was said of it take beside its messages, more or less."""

Key = tuple[str, str]


class VisitArchive:
    """Archives for one stage. `archive_at`: bytes at which it begins; `encode`: the row as plain msgpack."""

    def __init__(self, book: Rulebook, source: str, archive_at: int, encode: Callable[[MemberRow], bytes]) -> None:
        self._book, self._source, self._archive_at, self._encode = book, source, archive_at, encode
        self._low = archive_at * 2 // 3
        self._months = months_kept(book)

    def keep(self, before: MemberRow, row: MemberRow, member: str, now: int) -> tuple[MemberRow, list[Emit]]:
        """(the row with old proofs gone, records of the archive) once a record has turned `before` into `row`."""
        if row.visits is before.visits:
            return row, []
        back = _came_back(before, row)
        wanted = {_key(visit) for visit in self._outgrown(row, now)}
        if back:
            wanted |= {_key(v) for v in row.visits if _key(v) in back and is_over(v, now, self._months)}
        if wanted:
            kept = cited_visits(row, member, now, self._book)
            wanted = {key for key in wanted if key[1] not in kept}
        emits = [self._restored(member, old, now) for key, old in back.items() if key not in wanted]
        if not wanted:
            return row, emits
        emits += [self._archived(member, visit, now) for visit in row.visits if _key(visit) in wanted]
        visits = tuple(without_messages(visit) if _key(visit) in wanted else visit for visit in row.visits)
        return msgspec.structs.replace(row, visits=visits), emits

    def _outgrown(self, row: MemberRow, now: int) -> list[MemberVisit]:
        """The oldest visits whose proofs bring the row back to the low mark, or all that are over."""
        # A guess first: encoding a row to measure it costs as much as folding a record.
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

    def _archived(self, member: str, visit: MemberVisit, now: int) -> Emit:
        name = archive_id(member, visit)
        document = Archived(
            archive_id=name,
            revision=visit.revision,
            member_id=member,
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
            archived=rfc3339(now),
            received=rfc3339(visit.received),
        )
        return self._emission(member, now).record(ARCHIVE, name, document, "visit.archived", name, visit.revision)

    def _restored(self, member: str, old: MemberVisit, now: int) -> Emit:
        """The tombstone of a visit that is whole in the row again, or withdrawn."""
        name = archive_id(member, old)
        return self._emission(member, now).record(ARCHIVE, name, None, "visit.restored", name, f"{old.revision}/out")

    def _emission(self, member: str, now: int) -> Emission:
        return Emission(member, now, now, None, self._source)


def _came_back(before: MemberRow, row: MemberRow) -> dict[Key, MemberVisit]:
    """Visits that were archived and are no longer: a later snapshot replaced or withdrew them."""
    gone = {_key(visit): visit for visit in before.visits if visit.archived}
    if gone:
        for visit in row.visits:
            if visit.archived:
                gone.pop(_key(visit), None)
    return gone


def _key(visit: MemberVisit) -> Key:
    return (visit.patient, visit.visit)
