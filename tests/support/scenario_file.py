"""The format of scenario files (YAML): a few people, the events about them, step by step, and the expected result.

    title: Five emergency visits in six months
    end: 2026-06-30 12:00                 # "now"; times are California clock times
    people:
      ana: {born: 1980-02-01}             # more: county, plan, enrolled_from, programmes, ecm, found_by, exchanged ...
    steps:
      - {day: 2026-01-10, who: ana, ed: e1}
      - {day: 2026-02-10, at: "14:00", who: ana, stay: s1, hospital: valley-crest, days: 3, via_ed: 5}
      - {day: 2026-02-11, cancel: e1, heard: 2026-05-01 08:00}
      - {day: 2026-03-01, who: ana, released: j1}
    expect:
      live: [{who: ana, population: 2a, opened_by: e5}]

A step has exactly one event: `ed`, `stay`, `snf`, `observation`, `plan` (a visit, by a name of its own); `cancel`,
`correct`, `reopen` (of a visit named before); `merge` (a retired patient number); `released`, `booked` (a custody
record); `roster` (changed fields of a person's row). `heard` is the time of receipt; by default a minute after the
entry.
"""

from __future__ import annotations

from datetime import date, datetime, time
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from simulator.places import DIALECTS

EVENTS: Final = (
    *("ed", "stay", "snf", "observation", "plan"),
    *("cancel", "correct", "reopen", "merge", "released", "booked", "roster"),
)
VISITS: Final = EVENTS[:5]


def _moment(value: object) -> object:
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def _clock(value: object) -> object:
    return time.fromisoformat(value) if isinstance(value, str) else value


Moment = Annotated[datetime, BeforeValidator(_moment)]
Clock = Annotated[time, BeforeValidator(_clock)]
Population = Literal["2a", "2c", "4a", "4y"]


class _Written(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class ProgramLine(_Written):
    """A program on the roster."""

    id: str
    start: date = Field(alias="from", default=date(2022, 1, 1))
    end: date | None = Field(alias="to", default=None)
    verified: bool = True


class EcmLine(_Written):
    """ECM as the plan states it."""

    status: str = "enrolled"
    start: date = Field(alias="from", default=date(2022, 1, 1))
    end: date | None = Field(alias="to", default=None)


class PersonLine(_Written):
    """A person. `found_by`: messages have the CIN (cin), or the roster has the number (roster)."""

    born: date
    county: str = "Los Angeles"
    plan: str = "lacare"
    enrolled_from: date | None = date(2020, 1, 1)
    enrolled_to: date | None = None
    aid_codes: tuple[str, ...] = ()
    programmes: tuple[ProgramLine, ...] = ()
    ecm: EcmLine | None = None
    found_by: Literal["cin", "roster"] = "cin"
    exchanged: bool = False
    """Whether the exchange repeats this person's visits."""

    def changed(self, changes: dict[str, Any]) -> PersonLine:
        """The row with changed fields. Raises ValidationError."""
        return PersonLine.model_validate(self.model_dump(exclude=set(changes)) | changes)


class Step(_Written):
    """One step; the module describes its fields."""

    day: date
    at: Clock = time(9, 0)
    who: str = ""
    heard: Moment | None = None
    hospital: str = "county-general"
    number: str = ""
    """A patient number other than the person's own."""
    hours: float = 4
    days: int = 3
    open: bool = False
    """The person has not left yet."""
    via_ed: float = 0
    """Hours in the emergency department before a stay."""
    type: str = "1"
    source: str = "1"
    disposition: str = ""
    diagnoses: tuple[str, ...] = ()
    kind: str = ""
    """correct: the class that it really was."""
    facility: str = "cedar-county-jail"
    facility_type: str = "jail"

    ed: str = ""
    stay: str = ""
    snf: str = ""
    observation: str = ""
    plan: str = ""
    cancel: str = ""
    correct: str = ""
    reopen: str = ""
    merge: str = ""
    released: str = ""
    booked: str = ""
    roster: dict[str, Any] | None = None

    @property
    def event(self) -> str:
        """Which of `EVENTS` this line is."""
        return next(name for name in EVENTS if getattr(self, name))

    @property
    def name(self) -> str:
        """The visit, number or record that the event names."""
        return str(getattr(self, self.event))

    @model_validator(mode="after")
    def _one_event(self) -> Step:
        named = [name for name in EVENTS if getattr(self, name)]
        if len(named) != 1:
            raise ValueError(f"a step has one of {', '.join(EVENTS)}; this one has {named or 'none'}")
        if named[0] not in ("cancel", "correct", "reopen") and not self.who:
            raise ValueError("a step needs `who`")
        if self.hospital not in DIALECTS:
            raise ValueError(f"no sender {self.hospital}; there are {', '.join(DIALECTS)}")
        return self


class LiveLine(_Written):
    """A candidate that is live at the end. `opened_by` names the visit or custody record that opened it."""

    who: str
    population: Population
    opened_by: str = ""
    suspected: tuple[str, ...] = ()


class EndedLine(_Written):
    """A candidate that was raised and is not live at the end."""

    who: str
    population: Population
    status: Literal["withdrawn", "lapsed", "closed"]


class WatchLine(_Written):
    """A member who is one visit short of a criterion."""

    who: str
    population: Population


class TransitionLine(_Written):
    """A transition that is asserted at the end; with `retracted`, one that was retracted."""

    who: str
    kind: str
    retracted: bool = False


class CountLine(_Written):
    """The counts of the months before the end."""

    who: str
    months: Literal[6, 12] = 6
    ed: int = 0
    inpatient: int = 0
    snf: int = 0


class AlertLine(_Written):
    """An alert to the lead care manager of a member in ECM."""

    who: str
    kind: str


class Expect(_Written):
    """The expected result. `live`, `ended`, `watch` are complete (of 2a, 2c, 4a, 4y); the others may be not."""

    live: tuple[LiveLine, ...] = ()
    ended: tuple[EndedLine, ...] = ()
    watch: tuple[WatchLine, ...] = ()
    transitions: tuple[TransitionLine, ...] = ()
    counts: tuple[CountLine, ...] = ()
    alerts: tuple[AlertLine, ...] = ()


class ScenarioFile(_Written):
    """A scenario file."""

    title: str
    end: Moment
    people: dict[str, PersonLine]
    steps: tuple[Step, ...]
    expect: Expect

    @model_validator(mode="after")
    def _named(self) -> ScenarioFile:
        known: set[str] = set()
        for place, step in enumerate(self.steps, 1):
            if step.who and step.who not in self.people:
                raise ValueError(f"step {place}: no person {step.who}")
            if step.event in VISITS or step.event in ("released", "booked"):
                if step.name in known:
                    raise ValueError(f"step {place}: {step.name} exists already")
                known.add(step.name)
            elif step.event in ("cancel", "correct", "reopen") and step.name not in known:
                raise ValueError(f"step {place}: no visit {step.name} before it")
        expect = self.expect
        who = [each.who for each in expect.live] + [each.who for each in expect.ended]
        who += [each.who for each in expect.watch] + [each.who for each in expect.transitions]
        who += [each.who for each in expect.counts] + [each.who for each in expect.alerts]
        if unknown := set(who) - set(self.people):
            raise ValueError(f"expect: no person {', '.join(sorted(unknown))}")
        return self
