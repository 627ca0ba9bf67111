"""A visit is a set of statements: this module keeps the set small without losing anything that could still matter.

Each message about a visit becomes one `Statement`. A statement matters while it is the greatest of some *register* (a
value that the latest statement decides: facility, disposition, diagnoses …) or of some *happening* (an arrival, a
departure, a transfer, a class mark or a cancel at one minute). One that is greatest in nothing is dropped. Since
"greatest" does not depend on the order of arrival, neither does the set that is left: adding is commutative,
associative and idempotent. `domain.visits` reads a visit out of the set.

A cancel also speaks in registers: A13 says "no disposition, no destination", A11 "no class", A23 "nothing".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from domain.discharge import disposition_group
from domain.patient.events import DELETED, AdtEvent, VisitStatement, When
from domain.patient.ranks import Rank, natural_order
from domain.snapshots import Source
from domain.times import DAY, MINUTE

ARRIVALS: Final = frozenset({"A01", "A04"})
PLANS: Final = frozenset({"A05", "A14", "A15", "A16"})
CLASS_MARKS: Final = frozenset({"A06", "A07"})
CANCELS: Final = {
    "A11": ARRIVALS,
    "A12": frozenset({"A02"}),
    "A13": frozenset({"A03"}),
    "A25": frozenset({"A16"}),
    "A26": frozenset({"A15"}),
    "A27": frozenset({"A14"}),
    "A38": frozenset({"A05"}),
    "A23": ARRIVALS | PLANS | CLASS_MARKS | {"A02", "A03"},
}
"""Trigger of a cancel -> the triggers it takes back (HL7 table 0003)."""
OUTSIDE_VISITS: Final = frozenset(
    {"A17", "A18", "A24", "A28", "A29", "A30", "A31", "A34", "A35", "A36", "A37", "A40"}
    | {"A39", "A41", "A42", "A43", "A44", "A45", "A46", "A47", "A48", "A49", "A50", "A51"}
)
"""Triggers about a person or an identifier: what their PV1 may hold says nothing about a visit."""

SLOT: Final = DAY
"""The recorded time within which only the greatest statement of a register is kept."""
_OCCURRENCES: Final = ARRIVALS | PLANS | CLASS_MARKS | frozenset(CANCELS) | {"A02", "A03"}


class Statement(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What one message says about one visit. Times in ms UTC; None: said nothing; DELETED: said "there is none"."""

    trigger: str
    recorded: int
    built: int
    sequence: int
    source: Source
    received: int
    occurred: When | None = None
    admitted: When | str | None = None
    departed: When | str | None = None
    patient_class: str | None = None
    facility: str | None = None
    facility_type: str | None = None
    admission_type: str | None = None
    admit_source: str | None = None
    disposition: str | None = None
    destination: str | None = None
    diagnoses: tuple[str, ...] | None = None
    homeless: bool | None = None
    died: bool | None = None
    creates: bool = False
    """An update that announces its visit by itself, as its sender's profile says."""
    account: str | None = None
    """The account key (PID-18, else PV1-50) of the message."""
    numbered: bool = True
    """The message had a visit number of its own (PV1-19)."""

    @property
    def rank(self) -> Rank:
        """What decides between statements: the greater rank wins."""
        return (self.recorded, self.built, self.sequence, natural_order(self.source.control_id))

    @property
    def when(self) -> When:
        """When the event of this message happened, by its trigger's ladder; `source` says which rung was used.

        Arrivals: EVN-6, PV1-44, EVN-2 (or MSH-7). Departures: PV1-45, EVN-6, EVN-2. Others: EVN-6, EVN-2.
        """
        if self.trigger == "A03":
            rungs: tuple[When | str | None, ...] = (self.departed, self.occurred)
        elif self.trigger in ARRIVALS or self.trigger == "A06":
            rungs = (self.occurred, self.admitted)
        else:
            rungs = (self.occurred,)
        for rung in rungs:
            if isinstance(rung, When):
                return rung
        return When(self.recorded, False, "EVN-2")


def statement_of(event: AdtEvent, visit: VisitStatement, source: Source, received: int) -> Statement:
    """The statement that `event` makes about its visit."""
    return Statement(
        trigger=event.trigger,
        recorded=event.recorded,
        built=event.built,
        sequence=-1 if event.sequence is None else event.sequence,
        source=source,
        received=received,
        occurred=event.occurred,
        admitted=visit.admitted,
        departed=visit.departed,
        patient_class=visit.patient_class,
        facility=visit.facility,
        facility_type=visit.facility_type,
        admission_type=visit.admission_type,
        admit_source=visit.admit_source,
        disposition=visit.disposition,
        destination=visit.destination,
        diagnoses=visit.diagnoses,
        homeless=visit.homeless,
        creates=visit.creates,
        account=visit.account,
        numbered=visit.numbered,
    )


_ALWAYS: Final = (
    "facility",
    "facility_type",
    "admission_type",
    "admit_source",
    "diagnoses",
    "homeless",
    "disposition",
    "destination",
)


def registers(statement: Statement) -> Iterable[tuple[str, Any]]:
    """The (register, value) pairs that a statement sets.

    PV1-44 goes to `arrival_claim` (used only when no arrival trigger is known) or, from an A08, to `arrival_revision`
    (may move an arrival a little); PV1-45 of anything but an A03 goes to `departure_revision`. The class of an arrival
    or class mark belongs to that happening, and of any other message to the `class` register.
    """
    trigger = statement.trigger
    if trigger == "A11":
        return (("class", DELETED), ("arrival_claim", DELETED), ("arrival_revision", DELETED))
    if trigger == "A13":
        return (("disposition", DELETED), ("destination", DELETED), ("departure_revision", DELETED))
    if trigger == "A23":
        return [(name, DELETED) for name in (*_ALWAYS, "class", *_REVISIONS)]
    if trigger in CANCELS:
        return ()
    stated = [(name, value) for name in _ALWAYS if (value := getattr(statement, name)) is not None]
    if is_interim(statement):
        # "Still a patient" closes a billing period, not a stay: where the patient went is not known yet.
        stated = [(name, value) for name, value in stated if name not in ("disposition", "destination")]
    if statement.patient_class is not None and trigger not in ARRIVALS and trigger not in CLASS_MARKS:
        stated.append(("class", statement.patient_class))
    if statement.admitted is not None and trigger not in ARRIVALS:
        stated.append(("arrival_revision" if trigger == "A08" else "arrival_claim", statement.admitted))
    if statement.departed is not None and trigger != "A03":
        stated.append(("departure_revision", statement.departed))
    return stated


def is_interim(statement: Statement) -> bool:
    """Whether an A03 reports the end of a billing period (discharge status 30, still a patient), not of the stay."""
    return statement.trigger == "A03" and disposition_group(statement.disposition or "") == "STILL_PATIENT"


_REVISIONS: Final = ("arrival_claim", "arrival_revision", "departure_revision")


def occurrence_key(statement: Statement) -> tuple[str, int, str] | None:
    """The happening a statement stands for: (trigger, minute, class); None for a mere update.

    Transfers are one happening whatever their time: only that one took place matters here.
    """
    trigger = statement.trigger
    if trigger not in _OCCURRENCES:
        return None
    if trigger == "A02":
        return (trigger, 0, "")
    if trigger in CANCELS:
        return (trigger, -1 if statement.occurred is None else statement.occurred.at // MINUTE, "")
    return (trigger, statement.when.at // MINUTE, statement.patient_class or "")


Winners = dict[str, tuple[Rank, Any, Statement]]
"""Register -> (rank, value, the statement that holds it)."""


def winners(statements: Sequence[Statement]) -> Winners:
    """Who holds each register; `statements` as `add` orders them.

    Rank decides; on equal ranks a deletion (which is what a cancel says) beats, then the value, then the whole content.
    """
    held: Winners = {}
    for statement in reversed(statements):
        rank = statement.rank
        for name, value in registers(statement):
            holder = held.get(name)
            if holder is None or (holder[0] == rank and _tie(value, statement) > _tie(holder[1], holder[2])):
                held[name] = (rank, value, statement)
    return held


def _tie(value: Any, statement: Statement) -> tuple[bool, bytes, bytes]:
    return (value == DELETED, msgspec.msgpack.encode(value), _content(statement))


def _content(statement: Statement) -> bytes:
    """Everything but where and when we got it: a repeat has the same content."""
    return msgspec.msgpack.encode(
        msgspec.structs.replace(statement, received=0, source=msgspec.structs.replace(statement.source, at=""))
    )


def add(statements: tuple[Statement, ...], new: Statement, width: int = SLOT) -> tuple[Statement, ...]:
    """The set with `new` in it, or the same object when `new` adds nothing. Ordered by rank, then content.

    A bucket may hold several visits, and a late message may cut one in two (`domain.patient.cut`). So the greatest of a
    register is kept for each slot of `width` (ms) of recorded time, not for the whole bucket.
    """
    content = _content(new)
    for known in statements:
        if known.recorded == new.recorded and known.trigger == new.trigger and _content(known) == content:
            return statements
    union = union_of(statements, (new,))
    slots: dict[int, list[Statement]] = {}
    for statement in union:
        slots.setdefault(statement.recorded // width, []).append(statement)
    keep = {id(holder) for slot in slots.values() for _, _, holder in winners(slot).values()}
    groups: set[tuple[str, int, str]] = set()
    for statement in reversed(union):  # the greatest of a happening comes first and stays
        group = occurrence_key(statement)
        if group is not None and group not in groups:
            groups.add(group)
            keep.add(id(statement))
    if id(new) not in keep:
        return statements
    return tuple(statement for statement in union if id(statement) in keep)


def union_of(*sets: tuple[Statement, ...]) -> tuple[Statement, ...]:
    """Several sets as one, in the order that `add` keeps (a visit whose number changed has several)."""
    ranked = sorted(((statement.rank, statement) for each in sets for statement in each), key=lambda pair: pair[0])
    if any(ranked[i][0] == ranked[i + 1][0] for i in range(len(ranked) - 1)):
        ranked.sort(key=lambda pair: (pair[0], _content(pair[1])))
    return tuple(statement for _, statement in ranked)
