"""Stories made into what a county would send: messages, roster and custody documents, and the truth about them.

`load_story` reads one; `Story.timeline` is everything in the order in which it is heard.
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
from simulator.courses import Move
from simulator.custody import custody_row
from simulator.people import Person, Programme, cin_of, roster_row
from simulator.places import DIALECTS, EXCHANGE, REPEATED
from simulator.storybook import VISITS, Book, Expect, PersonLine, Step
from simulator.truth import judge
from simulator.wording import Pen
from simulator.world import DAY, HOUR, MINUTE, ZONE, Custody, Merger, Visit, World, rfc3339

_KINDS: Final = {
    "ed": "emergency",
    "stay": "inpatient",
    "snf": "snf",
    "observation": "observation",
    "plan": "expected",
}


class Line(msgspec.Struct, frozen=True):
    """One thing that is heard, at `received` (ms UTC). `kind`: roster, custody, message."""

    received: int
    kind: str
    document: dict[str, Any]


class Story:
    """A story, told."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.title: str = book.title
        self.end: int = _instant(book.end)
        self.expect: Expect = book.expect
        first = {name: _person(index, name, line) for index, (name, line) in enumerate(book.people.items())}
        teller = _Teller(book, first, self.end)
        for step in book.steps:
            teller.tell(step)
        self.people = teller.people
        self.visits = teller.visits
        self._first = first
        self._lines = teller.lines
        self.world = World(
            people=tuple(self.people.values()),
            # Under a wrong number a person is found by name, birth date and address, merged or not.
            visits=tuple(teller.visits.values()),
            custody=tuple(teller.custody),
            mergers=tuple(teller.mergers),
            end=self.end,
        )

    def member(self, who: str) -> str:
        """The member ID of somebody in the story."""
        return self.people[who].member

    def openers(self, name: str) -> tuple[str, ...]:
        """The keys under which a candidate may name the visit or custody record called `name` as its opener."""
        visit = self.visits.get(name)
        if visit is None:
            return name, f"custody:{name}"
        ward = DIALECTS[visit.sender]
        return f"{ward.authority}|{visit.visit}", f"{EXCHANGE.authority}|{ward.code}-{visit.visit[1:]}"

    def timeline(self) -> list[Line]:
        """Everything in the order in which it is heard; the roster comes a day before all else."""
        first = min((line.received for line in self._lines), default=self.end)
        roster = [Line(first - DAY, "roster", roster_row(person)) for person in self._first.values()]
        return sorted([*roster, *self._lines], key=lambda line: line.received)

    def messages(self) -> list[dict[str, Any]]:
        """The messages as lines of a `.jsonl`: hl7, sender, received (RFC 3339)."""
        return [line.document for line in self.timeline() if line.kind == "message"]

    def roster(self) -> list[dict[str, Any]]:
        """The roster documents, changes included, in the order in which they are heard."""
        return [line.document for line in self.timeline() if line.kind == "roster"]

    def custody(self) -> list[dict[str, Any]]:
        """The custody documents."""
        return [line.document for line in self.timeline() if line.kind == "custody"]

    def truth(self) -> dict[str, Any]:
        """What the simulator's own rules make of it, with the roster as it is in the end."""
        return judge(self.world)


def load_story(path: Path) -> Story:
    """Reads a story. Raises BadDeclaration with all that is wrong with its file."""
    try:
        book = Book.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, OSError) as error:
        raise BadDeclaration((f"{path.name}: cannot be read: {' '.join(str(error).split())}",)) from error
    except ValidationError as error:
        places = (("/".join(str(part) for part in each["loc"]), each["msg"]) for each in error.errors())
        raise BadDeclaration(tuple(f"{path.name}: {place}: {message}" for place, message in places)) from error
    return Story(book)


class _Teller:
    """Turns steps into visits and messages, one after the other."""

    def __init__(self, book: Book, people: dict[str, Person], end: int) -> None:
        self.rows = dict(book.people)
        self.people = dict(people)
        self.end = end
        self.lines: list[Line] = []
        self.visits: dict[str, Visit] = {}
        self.mergers: list[Merger] = []
        self.custody: list[Custody] = []
        self.pens = {sender: Pen(dialect) for sender, dialect in DIALECTS.items()}
        self.controls = 0

    def tell(self, step: Step) -> None:
        """What one line of the story says and does."""
        moment = _instant(datetime.combine(step.day, step.at))
        event = step.event
        if event in VISITS:
            self._visit(step, moment)
        elif event in ("cancel", "correct", "reopen"):
            self._second_thought(step, moment)
        elif event == "merge":
            person = self.people[step.who]
            merger = Merger(person.index, step.hospital, person.number(step.hospital), step.merge, moment)
            self.mergers.append(merger)
            text = self.pens[step.hospital].merger(person, merger, moment, self._control())
            self._hear(step, moment, "message", {"hl7": text, "sender": step.hospital})
        elif event == "roster":
            assert step.roster is not None
            line = self.rows[step.who] = self.rows[step.who].changed(step.roster)
            person = self.people[step.who] = _person(self.people[step.who].index, step.who, line)
            self._hear(step, moment, "roster", roster_row(person))
        else:
            kind = step.facility_type
            record = Custody(self.people[step.who].index, step.name, event, step.facility, kind, moment)
            self.custody.append(record)
            self._hear(step, moment, "custody", custody_row(record, self.people[step.who]))

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
            self._say(step, visit, move)

    def _second_thought(self, step: Step, moment: int) -> None:
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
        self._say(step, visit, move)

    def _say(self, step: Step, visit: Visit, move: Move) -> None:
        person = list(self.people.values())[visit.person]
        senders = [visit.sender]
        if person.exchanged and visit.sender in REPEATED:
            senders.append(EXCHANGE.sender)
        for sender in senders:
            pen = self.pens[sender]
            number = visit.number if sender == visit.sender else person.number(sender)
            text = pen.visit(person, number, move, pen.sheet(visit), move.recorded, self._control())
            self._hear(step, move.recorded, "message", {"hl7": text, "sender": sender})

    def _hear(self, step: Step, recorded: int, kind: str, document: dict[str, Any]) -> None:
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


def _moves(visit: Visit) -> Iterator[Move]:
    """What is said about a visit that goes as it should."""
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


def _move(visit: Visit, trigger: str, recorded: int, occurred: int | None, begun: int | None = -1) -> Move:
    return Move(trigger, recorded, occurred, visit.kind, visit.visit, visit.arrived if begun == -1 else begun)


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
        programmes=tuple(Programme(p.id, p.start.isoformat(), _iso(p.end), p.verified) for p in line.programmes),
        ecm=None if line.ecm is None else (line.ecm.status, line.ecm.start.isoformat(), _iso(line.ecm.end)),
        found_by=line.found_by,
        exchanged=line.exchanged,
    )


def _iso(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def _instant(moment: datetime) -> int:
    """A California clock time in ms UTC."""
    return int(moment.replace(tzinfo=ZONE).timestamp()) * 1000
