"""What happened to a member that somebody should act on: arrivals, admissions, discharges, moves, releases.

A transition is derived from one visit or custody record (and, for a few, from its neighbours in the ledger). It is
asserted once it has happened; when its visit is cancelled, withdrawn or found to be another's duplicate, it is
retracted. Kinds: docs/semantics.md#transitions.
"""

from __future__ import annotations

from typing import Final

import msgspec

from domain.discharge import NOT_RELEASED
from domain.identity import public_id
from domain.member.counting import JOINED, READMITTED, TRANSFERRED, Ledger
from domain.member.custody import BOOKED, DIED, RELEASED
from domain.member.releases import custody_key
from domain.member.visits import (
    BECAME_INPATIENT,
    CUSTODY,
    ED,
    FROM_COURT,
    FROM_ED,
    FROM_NF,
    OBSERVATION,
    SNF,
    STAY,
    MemberCustody,
    MemberVisit,
)
from domain.rules.rulebook import Rulebook
from domain.times import DAY, day_start

CLASS_OF: Final = {ED: "emergency", STAY: "inpatient", SNF: "snf", OBSERVATION: "observation", CUSTODY: "custody"}
KINDS: Final = (
    "ed_arrival", "observation", "admission", "delivery", "discharge", "transfer", "readmission_30d",
    "nf_admission", "nf_discharge",
    "hospital_to_nf", "nf_to_hospital", "nf_long_stay", "custody_booking", "custody_release_scheduled",
    "custody_release", "back_in_custody", "into_custody", "death", "left_against_advice",
)  # fmt: skip


class Transition(msgspec.Struct, frozen=True, gc=False):
    """One transition. `origin` and `to` say from where to where: a class of care, or a group of dispositions."""

    kind: str
    occurred: int
    origin: str = ""
    to: str = ""
    confidence: str = "high"
    scheduled: int | None = None


def transition_id(member: str, kind: str, key: str) -> str:
    """The ID of a transition: of the member, the kind, and the key of its visit or custody record."""
    return public_id("t", member, kind, key)


def opening_kind(group: str) -> str:
    """The kind of transition with which a visit of this group begins."""
    return {ED: "ed_arrival", STAY: "admission", SNF: "nf_admission"}.get(group, "custody_release")


def fingerprint_of(index: int, ledger: Ledger, now: int, book: Rulebook) -> int:
    """All that the transitions of a visit depend on, as one number: while it is the same, so are they.

    Never negative; -1 for a visit that stands for several, whose transitions must be looked at each time.
    """
    visit = ledger.visits[index]
    if not visit.asserted or index in ledger.duplicates:
        return visit.revision << 10
    if index in ledger.wholes or (ledger.duplicates and index in ledger.duplicates.values()):
        return -1
    bits = ledger.links.get(index, 0) | (256 if index == ledger.death else 0)
    if visit.start <= now:
        bits |= 8
    if visit.arrived is not None and visit.arrived <= now:
        bits |= 16
    if visit.departed is not None and visit.departed <= now:
        bits |= 32
    if visit.category == SNF and _long_stay(visit, now, book) is not None:
        bits |= 64
    if visit.flags & FROM_NF and _left_nf(index, ledger):
        bits |= 128
    if index in ledger.deliveries:
        bits |= 512
    return visit.revision << 10 | bits


def representatives(ledger: Ledger) -> list[int]:
    """One visit for each visit key, where source patients share keys: the first that stands, else the first at all."""
    chosen: dict[str, int] = {}
    for index, visit in enumerate(ledger.visits):
        if visit.visit not in chosen or (_holds_now(index, ledger) and not _holds_now(chosen[visit.visit], ledger)):
            chosen[visit.visit] = index
    return sorted(chosen.values())


def _holds_now(index: int, ledger: Ledger) -> bool:
    return ledger.visits[index].asserted and index not in ledger.duplicates


def visit_transitions(index: int, ledger: Ledger, now: int, book: Rulebook) -> list[Transition]:
    """The transitions of one visit that have happened by `now`; none for one that is not asserted or a duplicate."""
    visit = ledger.visits[index]
    if not visit.asserted or not visit.day or index in ledger.duplicates:
        return []
    joined = ledger.links.get(index) == JOINED
    if joined and visit.category == SNF:
        return []  # the first stay of the episode has them
    found = list(_arrivals(index, visit, ledger))
    if not joined:
        found += _departures(visit)  # an ED visit that became a stay ends with that stay
    if visit.category == SNF:
        long = _long_stay(visit, now, book)
        if long is not None:
            found.append(Transition("nf_long_stay", long, "snf", "snf"))
    if index == ledger.death:
        found.append(Transition("death", visit.departed if visit.departed is not None else visit.start))
    return [transition for transition in found if transition.occurred <= now]


def custody_transitions(index: int, ledger: Ledger, now: int) -> list[Transition]:
    """The transitions of a custody record: none while it lies ahead, or where another record represents its event."""
    record = ledger.custody.records[index]
    if record.at > now or not ledger.custody.stands(index):
        return []
    at, confidence = record.at, record.confidence
    if record.kind == BOOKED:
        found = [Transition("custody_booking", at, "", "custody", confidence)]
        if ledger.custody.follows_release(record):
            found.append(Transition("back_in_custody", at, "", "custody", confidence))
        return found
    if record.kind == "scheduled":
        return [Transition("custody_release_scheduled", at, "custody", "", confidence, record.scheduled)]
    if record.kind == RELEASED:
        return [Transition("custody_release", at, "custody", "", confidence)]
    if record.kind == DIED:
        return [Transition("death", at, "custody", "EXPIRED", confidence)] if ledger.death < 0 else []
    return [Transition("into_custody", at, "custody", "custody", confidence)]


def custody_fingerprint(index: int, ledger: Ledger, now: int) -> int:
    """All that the transitions of a custody record depend on, as one number (see `fingerprint_of`)."""
    record, custody = ledger.custody.records[index], ledger.custody
    bits = (record.at <= now) | custody.stands(index) << 1
    bits |= (record.kind == BOOKED and custody.follows_release(record)) << 2 | (ledger.death < 0) << 3
    return record.revision << 8 | bits


def custody_source_key(record: MemberCustody) -> str:
    """Under which name a row remembers the transitions of a custody record."""
    return custody_key(record.record_id)


def due_of_visit(visit: MemberVisit, now: int, book: Rulebook) -> int | None:
    """The next instant after `now` at which this visit has more to say by itself."""
    times = [at for at in (visit.start, visit.arrived, visit.departed) if at is not None and at > now]
    if visit.category == SNF and visit.asserted:
        long = day_start(visit.day + book.settings.nf_long_stay_days)
        if long > now and (visit.departed is None or visit.departed >= long):
            times.append(long)
    return min(times, default=None)


def _arrivals(index: int, visit: MemberVisit, ledger: Ledger) -> list[Transition]:
    group, found = visit.category, []
    arrived = visit.arrived if visit.arrived is not None else visit.start
    if group == ED or visit.flags & (BECAME_INPATIENT | FROM_ED):
        found.append(Transition("ed_arrival", arrived, "", "emergency"))
    elif group == OBSERVATION:
        found.append(Transition("observation", arrived, "", "observation"))
    if group == STAY:
        origin = "emergency" if visit.flags & BECAME_INPATIENT else ""
        found.append(Transition("admission", visit.start, origin, "inpatient"))
        if index in ledger.deliveries:
            found.append(Transition("delivery", visit.start, "", "inpatient"))
        link = ledger.links.get(index, 0)
        if link == TRANSFERRED:
            found.append(Transition("transfer", visit.start, "inpatient", "inpatient"))
        elif link == READMITTED:
            found.append(Transition("readmission_30d", visit.start, "", "inpatient"))
    elif group == SNF:
        found.append(Transition("nf_admission", visit.start, "", "snf"))
    elif group == CUSTODY:
        found.append(Transition("custody_booking", arrived, "", "custody"))
    if visit.flags & FROM_NF and group in (ED, STAY, OBSERVATION) and not _left_nf(index, ledger):
        found.append(Transition("nf_to_hospital", arrived, "snf", CLASS_OF[group], "medium"))
    return found


def _departures(visit: MemberVisit) -> list[Transition]:
    if visit.departed is None or visit.category not in CLASS_OF:
        return []
    at, to, group, origin = visit.departed, visit.disposition_group, visit.category, CLASS_OF[visit.category]
    if group == CUSTODY:
        released = to not in NOT_RELEASED
        return [Transition("custody_release", at, origin, to)] if released else []
    found = [Transition("nf_discharge" if group == SNF else "discharge", at, origin, to)]
    if group == SNF and to == "ACUTE_TRANSFER":
        found.append(Transition("nf_to_hospital", at, origin, to))
    elif group != SNF and to == "TO_NF":
        found.append(Transition("hospital_to_nf", at, origin, to))
    if to == "AMA":
        found.append(Transition("left_against_advice", at, origin, to))
    elif to == "INTO_CUSTODY":
        found.append(Transition("into_custody", at, origin, to))
    elif to == "HOME" and visit.flags & FROM_COURT:
        found.append(Transition("custody_release", at, origin, to, "medium"))
    return found


def _long_stay(visit: MemberVisit, now: int, book: Rulebook) -> int | None:
    """When the stay had lasted 60 days (setting), if it did by `now`."""
    long = day_start(visit.day + book.settings.nf_long_stay_days)
    return long if long <= now and (visit.departed is None or visit.departed >= long) else None


def _left_nf(index: int, ledger: Ledger) -> bool:
    """Whether a nursing facility itself told that the patient left it for a hospital within a day of this arrival."""
    arrived = ledger.visits[index].start
    return any(
        other.category == SNF
        and other.asserted
        and other.disposition_group == "ACUTE_TRANSFER"
        and other.departed is not None
        and abs(other.departed - arrived) <= DAY
        for other in ledger.visits
    )
