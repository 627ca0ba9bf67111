"""The member stage's row: the union of what all source patients say about one member, and what went out about it.

The row holds facts (visits, custody records, roster, dispositions) and a memory of what was emitted. The folds here
take one fact in; each returns the same object when it changes nothing, so repeats cost nothing, and the greater
revision wins, so order does not matter.
"""

from __future__ import annotations

from typing import Final

import msgspec

from domain.member.visits import MemberCustody, MemberPerson, MemberVisit, from_custody_snapshot, from_snapshot
from domain.snapshots import CustodySnapshot, PersonSnapshot, RosterFacts, VisitSnapshot

SCHEMA: Final = 3
PERSON: Final = "person"
"""How what is known of the person, not of a visit, is named in a row."""


class CareResponse(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What care management answered about a candidate: the latest answer, by its own time `at` (ms UTC)."""

    at: int
    status: str
    actor: str
    reason: str


class EmittedTransition(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What was last said about one transition. `alerted`: the revision that an alert told of (0: none)."""

    revision: int
    asserted: bool
    occurred: int
    digest: bytes
    alerted: int = 0


class EmittedTransitions(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What was said about one visit or custody record: its transitions by kind.

    `sight` sums up what they were derived from; while it is the same there is nothing to say.
    """

    fingerprint: int
    kinds: dict[str, EmittedTransition]


class EmittedDocument(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What was last said about one candidate or watch. `line` is its population and major rule version."""

    revision: int
    status: str
    digest: bytes
    line: str
    supersedes: str | None = None


class MemberRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """All that is known about a member. `schema` first, so that an upgrade can tell rows apart."""

    schema: int
    visits: tuple[MemberVisit, ...] = ()
    """In the order of (start, patient, visit)."""
    custody: tuple[MemberCustody, ...] = ()
    withdrawn: dict[str, int] = {}
    """Withdrawn visits and records: the revision that withdrew them, so that an earlier one cannot bring them back."""
    roster: RosterFacts | None = None
    roster_received: int = 0
    dispositions: dict[str, CareResponse] = {}
    transitions: dict[str, EmittedTransitions] = {}
    emitted: dict[str, EmittedDocument] = {}
    utilization: EmittedDocument | None = None
    impaired: bool = False
    next_due: int | None = None
    """The earliest instant (ms UTC) at which something would change though nobody said anything."""
    rules: int = 0
    """The rule set by which the row was last judged."""
    persons: tuple[MemberPerson, ...] = ()
    """Deaths that source patients' rows know of, in the order of patient."""


def new_row() -> MemberRow:
    """A row that knows nothing."""
    return MemberRow(SCHEMA)


def fold_visit(row: MemberRow, snapshot: VisitSnapshot) -> MemberRow:
    """The row once a visit snapshot is known; the same object for one that is known or older."""
    key = withdrawn_key(snapshot.patient, snapshot.key)
    place = _visit_index(row, snapshot.patient, snapshot.key)
    known = row.visits[place].revision if place is not None else row.withdrawn.get(key, -1)
    if snapshot.revision <= known:
        return row
    if snapshot.visit.status == "withdrawn":
        return _withdraw(row, snapshot.patient, snapshot.key, snapshot.revision)
    held = from_snapshot(snapshot)
    rest = [visit for index, visit in enumerate(row.visits) if index != place]
    rest.append(held)
    rest.sort(key=_order)
    return msgspec.structs.replace(row, visits=tuple(rest), withdrawn=_without(row.withdrawn, key))


def fold_person(row: MemberRow, snapshot: PersonSnapshot) -> MemberRow:
    """The row once a source patient's row states a death, or takes it back; the same object for one that is known."""
    key = withdrawn_key(snapshot.patient, PERSON)
    known = next((person for person in row.persons if person.patient == snapshot.patient), None)
    if snapshot.revision <= (row.withdrawn.get(key, -1) if known is None else known.revision):
        return row
    rest = [person for person in row.persons if person.patient != snapshot.patient]
    if snapshot.died is None:
        withdrawn = {**row.withdrawn, key: snapshot.revision}
        return msgspec.structs.replace(row, persons=tuple(rest), withdrawn=withdrawn)
    packed = msgspec.msgpack.encode(snapshot.messages)
    rest.append(MemberPerson(snapshot.patient, snapshot.revision, snapshot.died, snapshot.received, packed))
    rest.sort(key=lambda person: person.patient)
    return msgspec.structs.replace(row, persons=tuple(rest), withdrawn=_without(row.withdrawn, key))


def fold_custody(row: MemberRow, snapshot: CustodySnapshot) -> MemberRow:
    """The row once a custody snapshot is known; the same object for one that is known or older."""
    key = withdrawn_key(snapshot.patient, snapshot.record_id)
    place = _custody_index(row, snapshot.patient, snapshot.record_id)
    known = row.custody[place].revision if place is not None else row.withdrawn.get(key, -1)
    if snapshot.revision <= known:
        return row
    if snapshot.status == "withdrawn":
        return _withdraw(row, snapshot.patient, snapshot.record_id, snapshot.revision)
    rest = [record for index, record in enumerate(row.custody) if index != place]
    rest.append(from_custody_snapshot(snapshot))
    rest.sort(key=lambda record: (record.at, record.patient, record.record_id))
    return msgspec.structs.replace(row, custody=tuple(rest), withdrawn=_without(row.withdrawn, key))


def fold_roster(row: MemberRow, roster: RosterFacts | None, received: int) -> MemberRow:
    """The row once the roster says `roster` (None: the member left it); the same object when it said so before."""
    if roster == row.roster:
        return row
    return msgspec.structs.replace(row, roster=roster, roster_received=received)


def fold_response(row: MemberRow, candidate: str, answer: CareResponse) -> MemberRow:
    """The row once care management answered; the later answer holds, equal times are decided by the content."""
    known = row.dispositions.get(candidate)
    if known is not None and _rank(answer) <= _rank(known):
        return row
    return msgspec.structs.replace(row, dispositions={**row.dispositions, candidate: answer})


def is_empty(row: MemberRow) -> bool:
    """Whether the row knows nothing and has said nothing: it need not be kept."""
    return row.roster is None and not (
        row.visits
        or row.custody
        or row.withdrawn
        or row.dispositions
        or row.transitions
        or row.emitted
        or row.utilization
    )


def withdrawn_key(patient: str, key: str) -> str:
    """How a visit or record of one source patient is named in a row."""
    return f"{patient}\x1f{key}"


def _withdraw(row: MemberRow, patient: str, key: str, revision: int) -> MemberRow:
    """The row without a visit or record of that name: a withdrawal may not know which of the two it was."""
    return msgspec.structs.replace(
        row,
        visits=tuple(v for v in row.visits if v.visit != key or v.patient != patient),
        custody=tuple(r for r in row.custody if r.record_id != key or r.patient != patient),
        withdrawn={**row.withdrawn, withdrawn_key(patient, key): revision},
    )


def _visit_index(row: MemberRow, patient: str, key: str) -> int | None:
    for index, visit in enumerate(row.visits):
        if visit.visit == key and visit.patient == patient:
            return index
    return None


def _custody_index(row: MemberRow, patient: str, key: str) -> int | None:
    for index, record in enumerate(row.custody):
        if record.record_id == key and record.patient == patient:
            return index
    return None


def _without(gone: dict[str, int], key: str) -> dict[str, int]:
    return {name: revision for name, revision in gone.items() if name != key} if key in gone else gone


def _order(visit: MemberVisit) -> tuple[int, str, str]:
    return (visit.start, visit.patient, visit.visit)


def _rank(answer: CareResponse) -> tuple[int, str, str, str]:
    return (answer.at, answer.status, answer.actor, answer.reason)
