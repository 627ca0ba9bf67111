"""Scenario files as a county: messages, roster and custody documents, and the expected result.

`load_scenario` reads one file; `Scenario.timeline` is all of it in order of receipt.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml
from pydantic import ValidationError

from domain.errors import BadDeclaration
from simulator.custody import custody_row
from simulator.people import Person, Program, cin_of, roster_row
from simulator.places import DIALECTS, EXCHANGE, REPEATED
from simulator.registration import TriggerEvent
from simulator.truth import judge
from simulator.world import DAY, HOUR, MINUTE, ZONE, Custody, Merger, Visit, World, rfc3339
from simulator.writer import MessageWriter
from tests.support.scenario_file import VISITS, Expect, PersonLine, ScenarioFile, Step

_KINDS: Final = {
    "ed": "emergency",
    "stay": "inpatient",
    "snf": "snf",
    "observation": "observation",
    "plan": "expected",
}


class Line(msgspec.Struct, frozen=True):
    """One document, received at `received` (ms UTC). `kind`: roster, custody, message."""

    received: int
    kind: str
    document: dict[str, Any]


class Scenario:
    """A scenario as world, documents and expectations."""

    def __init__(self, file: ScenarioFile) -> None:
        self.file = file
        self.title: str = file.title
        self.end: int = _instant(file.end)
        self.expect: Expect = file.expect
        first = {name: _person(index, name, line) for index, (name, line) in enumerate(file.people.items())}
        builder = _Builder(file, first, self.end)
        for step in file.steps:
            builder.apply(step)
        self.people = builder.people
        self.visits = builder.visits
        self._first = first
        self._lines = builder.lines
        self.world = World(
            people=tuple(self.people.values()),
            # Under a wrong number a person is found by name, birth date and address, merged or not.
            visits=tuple(builder.visits.values()),
            custody=tuple(builder.custody),
            mergers=tuple(builder.mergers),
            end=self.end,
        )

    def member(self, who: str) -> str:
        """The member ID of a person by name."""
        return self.people[who].member

    def openers(self, name: str) -> tuple[str, ...]:
        """The keys under which a candidate may name the visit or custody record called `name` as its opener."""
        visit = self.visits.get(name)
        if visit is None:
            return name, f"custody:{name}"
        ward = DIALECTS[visit.sender]
        return f"{ward.authority}|{visit.visit}", f"{EXCHANGE.authority}|{ward.code}-{visit.visit[1:]}"

    def timeline(self) -> list[Line]:
        """All documents in order of receipt; the roster is a day before the first of the others."""
        first = min((line.received for line in self._lines), default=self.end)
        roster = [Line(first - DAY, "roster", roster_row(person)) for person in self._first.values()]
        return sorted([*roster, *self._lines], key=lambda line: line.received)

    def messages(self) -> list[dict[str, Any]]:
        """The messages as lines of a `.jsonl`: hl7, sender, received (RFC 3339)."""
        return [line.document for line in self.timeline() if line.kind == "message"]

    def roster(self) -> list[dict[str, Any]]:
        """The roster documents, changes included, in order of receipt."""
        return [line.document for line in self.timeline() if line.kind == "roster"]

    def custody(self) -> list[dict[str, Any]]:
        """The custody documents."""
        return [line.document for line in self.timeline() if line.kind == "custody"]

    def truth(self) -> dict[str, Any]:
        """The result by the simulator's own rules, with the last roster."""
        return judge(self.world)


def load_scenario(path: Path) -> Scenario:
    """The scenario in a file. Raises BadDeclaration with all faults of the file."""
    try:
        file = ScenarioFile.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, OSError) as error:
        raise BadDeclaration((f"{path.name}: cannot be read: {' '.join(str(error).split())}",)) from error
    except ValidationError as error:
        places = (("/".join(str(part) for part in each["loc"]), each["msg"]) for each in error.errors())
        raise BadDeclaration(tuple(f"{path.name}: {place}: {message}" for place, message in places)) from error
    return Scenario(file)


class _Builder:
    """Turns steps into visits and messages, one after the other."""

    def __init__(self, file: ScenarioFile, people: dict[str, Person], end: int) -> None:
        self.rows = dict(file.people)
        self.people = dict(people)
        self.end = end
        self.lines: list[Line] = []
        self.visits: dict[str, Visit] = {}
        self.mergers: list[Merger] = []
        self.custody: list[Custody] = []
        self.writers = {sender: MessageWriter(dialect) for sender, dialect in DIALECTS.items()}
        self.controls = 0

    def apply(self, step: Step) -> None:
        """Add the visit, message or document of one step."""
        moment = _instant(datetime.combine(step.day, step.at))
        event = step.event
        if event in VISITS:
            self._visit(step, moment)
        elif event in ("cancel", "correct", "reopen"):
            self._correction(step, moment)
        elif event == "merge":
            person = self.people[step.who]
            merger = Merger(person.index, step.hospital, person.number(step.hospital), step.merge, moment)
            self.mergers.append(merger)
            text = self.writers[step.hospital].merger(person, merger, moment, self._control())
            self._record(step, moment, "message", {"hl7": text, "sender": step.hospital})
        elif event == "roster":
            assert step.roster is not None
            line = self.rows[step.who] = self.rows[step.who].changed(step.roster)
            person = self.people[step.who] = _person(self.people[step.who].index, step.who, line)
            self._record(step, moment, "roster", roster_row(person))
        else:
            kind = step.facility_type
            record = Custody(self.people[step.who].index, step.name, event, step.facility, kind, moment)
            self.custody.append(record)
            self._record(step, moment, "custody", custody_row(record, self.people[step.who]))

    def _visit(self, step: Step, arrived: int) -> None:
        person, kind = self.people[step.who], _KINDS[step.event]
        dialect = DIALECTS[step.hospital]
        admitted = arrived + int(step.via_ed * HOUR) if kind == "inpatient" else None
        lasting = step.hours * HOUR if kind == "emergency" else step.days * DAY
        ended = not step.open and kind != "expected"
        renumbered = step.via_ed > 0 and dialect.admits_by == "A06 renumbered"
        serial = f"{person.index:05d}{len(self.visits):03d}"
        visit = Visit(
            person=person.index,
            sender=step.hospital,
            facility=dialect.facility,
            number=step.number or person.number(step.hospital),
            visit=f"W{serial}" if renumbered else f"V{serial}",
            kind=kind,
            arrived=arrived,
            admitted=admitted,
            departed=(admitted or arrived) + int(lasting) if ended else None,
            from_emergency=step.via_ed > 0,
            admission_type=step.type,
            source=step.source,
            disposition=(step.disposition or "01") if ended else "",
            diagnoses=step.diagnoses,
            prior=f"V{serial}" if renumbered else "",
        )
        self.visits[step.name] = visit
        for move in _moves(visit):
            self._send(step, visit, move)

    def _correction(self, step: Step, moment: int) -> None:
        visit = self.visits[step.name]
        if step.event == "cancel":
            move = _move(visit, "A11", moment, visit.arrived)
            visit = msgspec.structs.replace(visit, cancelled=True, departed=None, disposition="")
        elif step.event == "reopen":
            move = _move(visit, "A13", moment, visit.departed)
            visit = msgspec.structs.replace(visit, departed=None, disposition="")
        else:
            changes: dict[str, Any] = {"kind": step.kind} if step.kind else {}
            if step.kind and step.kind != "inpatient":
                changes |= {"admitted": None, "from_emergency": visit.kind == "emergency"}
            if step.disposition:
                changes["disposition"] = step.disposition
            if step.diagnoses:
                changes["diagnoses"] = step.diagnoses
            visit = msgspec.structs.replace(visit, **changes)
            move = msgspec.structs.replace(
                _move(visit, "A08", moment, None),
                disposition=step.disposition,
                diagnoses=step.diagnoses or None,
                ended=visit.departed,
            )
        self.visits[step.name] = visit
        self._send(step, visit, move)

    def _send(self, step: Step, visit: Visit, move: TriggerEvent) -> None:
        person = list(self.people.values())[visit.person]
        senders = [visit.sender]
        if person.exchanged and visit.sender in REPEATED:
            senders.append(EXCHANGE.sender)
        for sender in senders:
            writer = self.writers[sender]
            number = visit.number if sender == visit.sender else person.number(sender)
            text = writer.visit(person, number, move, writer.fields(visit), move.recorded, self._control())
            self._record(step, move.recorded, "message", {"hl7": text, "sender": sender})

    def _record(self, step: Step, recorded: int, kind: str, document: dict[str, Any]) -> None:
        received = recorded + MINUTE
        if step.heard is not None:
            received = max(received, _instant(step.heard))
        if received <= self.end:
            if kind == "message":
                document = document | {"received": rfc3339(received)}
            self.lines.append(Line(received, kind, document))

    def _control(self) -> str:
        self.controls += 1
        return f"S{self.controls:05d}"


def _moves(visit: Visit) -> Iterator[TriggerEvent]:
    """The trigger events of a visit without irregularities."""
    if visit.kind == "expected":
        yield _move(visit, "A05", visit.arrived - 7 * DAY, None, begun=None)
        return
    first = "emergency" if visit.from_emergency else visit.kind
    arrival = "A01" if first in ("inpatient", "snf") else "A04"
    number = visit.prior or visit.visit
    diagnoses = visit.diagnoses if visit.departed is None else ()
    opening = _move(visit, arrival, visit.arrived, visit.arrived)
    yield msgspec.structs.replace(opening, kind=first, visit=number, diagnoses=diagnoses or None)
    admits = DIALECTS[visit.sender].admits_by
    begun = visit.arrived
    if visit.from_emergency and visit.admitted is not None:
        trigger = "A01" if admits == "A01" else "A06"
        begun = visit.admitted if trigger == "A01" else visit.arrived
        admission = _move(visit, trigger, visit.admitted, visit.admitted, begun=begun)
        yield msgspec.structs.replace(admission, prior=visit.prior)
    if visit.departed is not None:
        end = _move(visit, "A03", visit.departed, visit.departed, begun=begun)
        yield msgspec.structs.replace(
            end, ended=visit.departed, disposition=visit.disposition, diagnoses=visit.diagnoses or None
        )


def _move(visit: Visit, trigger: str, recorded: int, occurred: int | None, begun: int | None = -1) -> TriggerEvent:
    return TriggerEvent(trigger, recorded, occurred, visit.kind, visit.visit, visit.arrived if begun == -1 else begun)


def _person(index: int, name: str, line: PersonLine) -> Person:
    return Person(
        index=index,
        family="Storyteller",
        given=name.capitalize(),
        birth=line.born.toordinal(),
        sex="F",
        zip=f"9{index:04d}",
        phone=f"213-555-01{index:02d}",
        street="1 Fable Way",
        county=line.county,
        persona="",
        cin=cin_of(index),
        plan=line.plan,
        enrolled_from=_iso(line.enrolled_from),
        enrolled_to=_iso(line.enrolled_to),
        aid_codes=line.aid_codes,
        programmes=tuple(Program(p.id, p.start.isoformat(), _iso(p.end), p.verified) for p in line.programmes),
        ecm=None if line.ecm is None else (line.ecm.status, line.ecm.start.isoformat(), _iso(line.ecm.end)),
        found_by=line.found_by,
        exchanged=line.exchanged,
    )


def _iso(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def _instant(moment: datetime) -> int:
    """A California clock time in ms UTC."""
    return int(moment.replace(tzinfo=ZONE).timestamp()) * 1000
