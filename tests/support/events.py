"""Short ways to say ADT events in tests; all people, numbers and places are invented."""

from __future__ import annotations

from datetime import datetime

from domain.patient.events import AdtEvent, Merge, VisitStatement, When
from domain.times import CALIFORNIA

PATIENT = "GENHOSP|100"
VISIT = "GENHOSP|V1"


def at(text: str) -> int:
    """A California wall time, "2026-03-01 10:00", in ms UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=CALIFORNIA).timestamp() * 1000)


def when(text: str | None, source: str = "EVN-6") -> When | None:
    return None if text is None else When(at(text), False, source)


def event(
    trigger: str,
    recorded: str,
    *,
    occurred: str | None = None,
    cls: str | None = None,
    visit: str | None = VISIT,
    patient: str = PATIENT,
    control: str = "",
    admitted: str | None = None,
    departed: str | None = None,
    cin: str | None = None,
    merges: tuple[Merge, ...] = (),
    sequence: int | None = None,
    **more: object,
) -> AdtEvent:
    """One event, recorded at a California wall time."""
    statement = None
    if visit is not None:
        statement = VisitStatement(
            key=visit,
            patient_class=cls,
            admitted=when(admitted, "PV1-44"),
            departed=when(departed, "PV1-45"),
            numbered=True,
            **more,  # type: ignore[arg-type]
        )
    return AdtEvent(
        trigger=trigger,
        sender="general",
        control_id=control or f"{trigger}-{recorded}",
        built=at(recorded),
        recorded=at(recorded),
        occurred=when(occurred),
        patient=patient,
        sequence=sequence,
        cin=cin,
        visit=statement,
        merges=merges,
    )
