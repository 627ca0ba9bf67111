"""One visit, read out of what was said about it.

`read` turns a set of statements (domain.statements) into a `Visit`, or None when they do not amount to one. It is a
function of the set alone, so the order in which messages came does not show. Rules: docs/semantics.md#visit-status.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from domain.discharge import disposition_group
from domain.patient.events import DELETED, When
from domain.patient.ranks import Rank
from domain.patient.statements import ARRIVALS, CANCELS, CLASS_MARKS, PLANS, Statement, winners
from domain.snapshots import Source, Visit
from domain.times import HOUR, MINUTE

REVISION_LIMIT: Final = 48 * HOUR
"""How far the PV1-44 or PV1-45 of a mere update may move a time that an arrival or departure message gave."""

_ANNOUNCED: Final = frozenset({"emergency", "inpatient", "observation", "snf", "custody"})
"""Classes that an update may announce a visit with."""
_CONFIRMING: Final = CLASS_MARKS | {"A02", "A03"}


def read_visit(statements: tuple[Statement, ...], numbered: bool = True) -> Visit | None:
    """The visit that `statements` amount to, or None.

    `numbered` says that the visit has a number of its own; only such a one can be hearsay of an A08.
    """
    held = winners(statements)
    stands, cancelled = _split_by_cancels(statements)
    arrivals = [s for s in stands if s.trigger in ARRIVALS]
    confirming = [s for s in stands if s.trigger in _CONFIRMING]
    departures = [s for s in stands if s.trigger == "A03"]
    revoked = any(s.trigger in ARRIVALS for s in cancelled) or _arrival_denied(statements, confirming)
    inferred = not arrivals and bool(confirming) and not revoked
    announced = not arrivals and not inferred and not revoked and _is_announced(held, numbered)
    if arrivals or inferred or announced:
        departed, how_departed, refused_departure = _departure(departures, held)
        status = "open" if departed is None else "closed"
    else:
        departed, how_departed, refused_departure = None, "", False
        plans = [s for s in stands if s.trigger in PLANS]
        if plans and not revoked:
            status = "expected"
        elif revoked or any(s.trigger in PLANS for s in cancelled):
            status = "cancelled"
        elif _is_hearsay(held, stands, numbered):
            status = "hearsay"
        else:
            return None
    arrived, admitted, how, refused_arrival = _arrival(status, arrivals, confirming, departed, statements, held)
    patient_class, marks = _class(stands, held)
    if patient_class == "inpatient":
        inpatient = [s for s in marks if s.patient_class == "inpatient"]
        earliest = min(inpatient, key=lambda s: s.when.at) if inpatient else None
        if earliest is not None and (admitted is None or earliest.when.at != arrived):
            admitted = max(earliest.when.at, arrived) if arrived is not None else earliest.when.at
        elif admitted is None:
            admitted = arrived
        how = {**how, "admitted": f"{earliest.trigger} {earliest.when.source}" if earliest else how.get("arrived", "")}
    else:
        admitted = None
    if departed is not None:
        how = {**how, "departed": how_departed}
    disposition = _text(held, "disposition") if departed is not None else ""
    return Visit(
        status=status,
        patient_class=patient_class,
        arrived=arrived,
        admitted=admitted,
        departed=departed,
        facility=_text(held, "facility"),
        facility_type=_text(held, "facility_type"),
        admission_type=_text(held, "admission_type"),
        source=_text(held, "admit_source"),
        disposition=disposition,
        disposition_group=disposition_group(disposition),
        destination=_text(held, "destination") if departed is not None else "",
        diagnoses=_diagnoses(held),
        flags=_flags(status, patient_class, inferred, marks, held, arrivals),
        how=how,
        messages=_messages(stands, cancelled, statements),
        overruled=tuple(
            field for field, refused in (("PV1-44", refused_arrival), ("PV1-45", refused_departure)) if refused
        ),
    )


def _split_by_cancels(statements: Sequence[Statement]) -> tuple[list[Statement], list[Statement]]:
    """The happenings that stand, and those that a cancel took back.

    A cancel's EVN-6 names the happening it means, compared to the minute; if it is empty or matches none, the cancel
    holds for all whose rank is not greater than its own. A23 takes back everything up to its own rank.
    """
    cancels: list[tuple[frozenset[str], int | None, Rank]] = [
        (
            CANCELS[s.trigger],
            None if s.occurred is None or s.trigger == "A23" else s.occurred.at // MINUTE,
            s.rank,
        )
        for s in statements
        if s.trigger in CANCELS
    ]
    stands: list[Statement] = []
    cancelled: list[Statement] = []
    for statement in statements:
        if statement.trigger in CANCELS:
            continue
        hit = False
        if cancels:
            minute = statement.when.at // MINUTE
            rank = statement.rank
            for triggers, named, cancel_rank in cancels:
                if statement.trigger not in triggers or rank > cancel_rank:
                    continue
                if (
                    named is None
                    or named == minute
                    or not any(s.trigger in triggers and s.when.at // MINUTE == named for s in statements)
                ):
                    hit = True
                    break
        (cancelled if hit else stands).append(statement)
    return stands, cancelled


def _arrival_denied(statements: Iterable[Statement], confirming: Sequence[Statement]) -> bool:
    """Whether an A11 that names an arrival we never saw is later than all that would let us infer one."""
    if not confirming:
        return False
    last = max(s.rank for s in confirming)
    return any(s.trigger == "A11" and s.rank >= last for s in statements)


def _is_hearsay(held: dict[str, Any], stands: Iterable[Statement], numbered: bool) -> bool:
    """An A08 alone makes a visit only with a number, a PV1-44 and class E or I; another trigger must confirm it."""
    if not numbered or _value(held, "arrival_revision") is None:
        return False
    return _value(held, "class") in ("emergency", "inpatient") and any(s.trigger == "A08" for s in stands)


def _is_announced(held: dict[str, Any], numbered: bool) -> bool:
    """Whether the A08 that gives the arrival is of a sender that sends whole stays as updates.

    Then it needs a number and a PV1-44, as hearsay does, and any class that is a visit of its own; it counts. Since the
    mark is on the statement that holds PV1-44, neither the order of arrival nor what came before shows.
    """
    if not numbered or _value(held, "arrival_revision") is None or not held["arrival_revision"][2].creates:
        return False
    return _value(held, "class") in _ANNOUNCED


def _arrival(
    status: str,
    arrivals: list[Statement],
    confirming: list[Statement],
    departed: int | None,
    statements: Sequence[Statement],
    held: dict[str, Any],
) -> tuple[int | None, int | None, dict[str, str], bool]:
    """(arrived, admitted or None when not yet known, how, whether a PV1-44 was overruled)."""
    revision: When | None = _value(held, "arrival_revision")
    if status == "hearsay":
        assert revision is not None
        return revision.at, None, {"arrived": "A08 PV1-44"}, False
    if status in ("expected", "cancelled"):
        of = PLANS if status == "expected" else ARRIVALS | PLANS | _CONFIRMING
        first = min((s for s in statements if s.trigger in of), key=lambda s: (s.when.at, s.rank))
        return first.when.at, None, {"arrived": f"{first.trigger} {first.when.source}"}, False
    if not arrivals:
        claim: When | None = _value(held, "arrival_claim")
        if claim is not None:
            return claim.at, None, {"arrived": f"{held['arrival_claim'][2].trigger} PV1-44"}, False
        if revision is not None:
            return revision.at, None, {"arrived": "A08 PV1-44"}, False
        first = min(confirming, key=lambda s: (s.when.at, s.rank))
        at = first.when.at if departed is None else min(first.when.at, departed)
        return at, None, {"arrived": f"{first.trigger} {first.when.source}"}, False
    first = min(arrivals, key=lambda s: (s.when.at, s.rank))
    arrived, how = first.when.at, {"arrived": f"{first.trigger} {first.when.source}"}
    if revision is None or held["arrival_revision"][0] < first.rank or revision.at == arrived:
        return arrived, None, how, False
    # An update repeats the system's current admit time. In a visit with an arrival and an admission it is about the
    # nearer of the two.
    admission = min((s.when.at for s in arrivals if s.patient_class == "inpatient"), default=arrived)
    if abs(revision.at - admission) < abs(revision.at - arrived):
        near = abs(revision.at - admission) <= REVISION_LIMIT
        return arrived, None, how, not near
    if abs(revision.at - arrived) > REVISION_LIMIT:
        return arrived, None, how, True
    return revision.at, None, {"arrived": "A08 PV1-44"}, False


def _departure(departures: list[Statement], held: dict[str, Any]) -> tuple[int | None, str, bool]:
    """(departed, how, whether a PV1-45 was overruled): the latest departure that stands.

    Where none was told, the PV1-45 of an update ends the stay, if its sender is one that tells stays by updates.
    """
    revision: When | None = _value(held, "departure_revision")
    if not departures:
        if revision is not None and held["departure_revision"][2].creates:
            return revision.at, "A08 PV1-45", False
        return None, "", False
    last = max(departures, key=lambda s: (s.when.at, s.rank))
    at, how = last.when.at, f"{last.trigger} {last.when.source}"
    if revision is None or held["departure_revision"][0] < last.rank or revision.at == at:
        return at, how, False
    if abs(revision.at - at) > REVISION_LIMIT:
        return at, how, True
    return revision.at, f"{held['departure_revision'][2].trigger} PV1-45", False


def _class(stands: Iterable[Statement], held: dict[str, Any]) -> tuple[str, list[Statement]]:
    """The class that was stated last, and the class marks that stand."""
    marks = [s for s in stands if s.patient_class and (s.trigger in ARRIVALS or s.trigger in CLASS_MARKS)]
    latest = max(marks, key=lambda s: (s.rank, s.when.at), default=None)
    register = held.get("class")
    if register is not None and register[1] != DELETED and (latest is None or register[0] > latest.rank):
        return str(register[1]), marks
    if latest is not None:
        return str(latest.patient_class), marks
    plan = max((s for s in stands if s.patient_class), key=lambda s: s.rank, default=None)
    return (str(plan.patient_class) if plan else "other"), marks


def _flags(
    status: str,
    patient_class: str,
    inferred: bool,
    marks: Iterable[Statement],
    held: dict[str, Any],
    arrivals: Sequence[Statement],
) -> tuple[str, ...]:
    """Marks that the member stage and a reader need, in alphabetical order."""
    flags = set()
    if inferred:
        flags.add("inferred")
    if patient_class == "inpatient" and any(s.patient_class == "emergency" for s in marks):
        flags.add("became_inpatient")
    if patient_class == "observation" and any(s.patient_class == "emergency" for s in marks):
        flags.add("from_emergency")
    if _value(held, "homeless") is True:
        flags.add("homeless")
    if _value(held, "died") is True:
        flags.add("died")
    if arrivals and all(s.when.source in ("EVN-2", "MSH-7") for s in arrivals):
        flags.add("arrival_by_fallback")
    if status != "expected" and any(s.when.whole_day for s in arrivals):
        flags.add("whole_day")
    return tuple(sorted(flags))


def _messages(
    stands: Iterable[Statement], cancelled: Iterable[Statement], statements: Iterable[Statement]
) -> tuple[Source, ...]:
    """The messages that the visit rests on: arrivals, departures, class marks and cancels; else whatever there is."""
    matter = ARRIVALS | PLANS | _CONFIRMING
    chosen = {s.source for s in (*stands, *cancelled) if s.trigger in matter}
    chosen |= {s.source for s in statements if s.trigger in CANCELS}
    return tuple(sorted(chosen or {s.source for s in statements}))


def _value(held: dict[str, Any], name: str) -> Any:
    entry = held.get(name)
    return None if entry is None or entry[1] == DELETED else entry[1]


def _text(held: dict[str, Any], name: str) -> str:
    return _value(held, name) or ""


def _diagnoses(held: dict[str, Any]) -> tuple[str, ...]:
    value = _value(held, "diagnoses")
    return tuple(sorted(set(value))) if value else ()
