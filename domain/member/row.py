"""The member stage's row: the facts of all source patients that are one member, and the memory of what was emitted.

Facts are visits, custody records, deaths, the roster row and answers of care management. Each fold adds one of them and
returns the same object when nothing changes, so repeats cost nothing; the greater revision wins, so order does not
matter (docs/semantics.md#laws).
"""

from __future__ import annotations

from typing import Final

import msgspec

from domain.member.visits import MemberCustody, MemberPerson, MemberVisit, from_custody_snapshot, from_snapshot
from domain.snapshots import CustodySnapshot, PersonSnapshot, RosterFacts, VisitSnapshot

SCHEMA: Final = 4
PERSON: Final = "person"
"""The key of transitions that belong to the person, not to a visit."""


class CareResponse(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The answer of care management to a candidate, the latest by its own time `at` (ms UTC)."""

    at: int
    status: str
    actor: str
    reason: str


class EmittedTransition(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The last emitted revision of one transition. `alerted`: the revision of its last alert (0: none)."""

    revision: int
    asserted: bool
    occurred: int
    digest: bytes
    alerted: int = 0


class EmittedTransitions(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The transitions emitted for one visit or custody record, by kind.

    `fingerprint` stands for all they were derived from; while it is the same they are too.
    """

    fingerprint: int
    kinds: dict[str, EmittedTransition]


class EmittedDocument(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The last emitted revision of one candidate or watch. `line` is its population and major rule version."""

    revision: int
    status: str
    digest: bytes
    line: str
    supersedes: str | None = None


class MemberRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """All facts about a member and the memory of what was emitted. `schema` is first, as in every row."""

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
    """The earliest instant (ms UTC) at which an output changes by the passing of time."""
    rules: int = 0
    """The rule set that the row was last judged by (`Rulebook.stamp`)."""
    persons: tuple[MemberPerson, ...] = ()
    """Deaths that source patients' rows state, in the order of patient."""


def new_row() -> MemberRow:
    """An empty row."""
    return MemberRow(SCHEMA)


def fold_visit(row: MemberRow, snapshot: VisitSnapshot) -> MemberRow:
    """The row with a visit snapshot; the same object for one that is known or older."""
    key = withdrawn_key(snapshot.patient, snapshot.key)
    place = _visit_index(row, snapshot.patient, snapshot.key)
    known = row.visits[place].revision if place is not None else row.withdrawn.get(key, -1)
    if snapshot.revision <= known:
        return row
    if snapshot.visit.status == "withdrawn":
        return _withdraw(row, snapshot.patient, snapshot.key, snapshot.revision)
    rest = [visit for index, visit in enumerate(row.visits) if index != place]
    rest.append(from_snapshot(snapshot))
    rest.sort(key=_order)
    return msgspec.structs.replace(row, visits=tuple(rest), withdrawn=_without(row.withdrawn, key))


def fold_person(row: MemberRow, snapshot: PersonSnapshot) -> MemberRow:
    """The row with the death that a source patient's row states or takes back; the same object if known or older."""
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
    """The row with a custody snapshot; the same object for one that is known or older."""
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
    """The row with the roster row `roster` (None: the member left the roster); the same object if it is unchanged."""
    if roster == row.roster:
        return row
    return msgspec.structs.replace(row, roster=roster, roster_received=received)


def fold_response(row: MemberRow, candidate: str, answer: CareResponse) -> MemberRow:
    """The row with an answer of care management: the later one applies; of equal times, the greater content."""
    known = row.dispositions.get(candidate)
    if known is not None and _rank(answer) <= _rank(known):
        return row
    return msgspec.structs.replace(row, dispositions={**row.dispositions, candidate: answer})


def is_empty(row: MemberRow) -> bool:
    """Whether the row has no facts and no memory, so that it need not be kept."""
    return row.roster is None and not (
        row.visits
        or row.custody
        or row.persons
        or row.withdrawn
        or row.dispositions
        or row.transitions
        or row.emitted
        or row.utilization
    )


def withdrawn_key(patient: str, key: str) -> str:
    """The key of a withdrawn visit or record of one source patient."""
    return f"{patient}\x1f{key}"


def _withdraw(row: MemberRow, patient: str, key: str, revision: int) -> MemberRow:
    """The row without a visit or record of that key: a withdrawal does not state which of the two it was."""
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


def _without(withdrawn: dict[str, int], key: str) -> dict[str, int]:
    return {name: revision for name, revision in withdrawn.items() if name != key} if key in withdrawn else withdrawn


def _order(visit: MemberVisit) -> tuple[int, str, str]:
    return (visit.start, visit.patient, visit.visit)


def _rank(answer: CareResponse) -> tuple[int, str, str, str]:
    return (answer.at, answer.status, answer.actor, answer.reason)
