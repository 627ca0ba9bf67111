"""Moves as HL7 v2 text, in each sender's own dialect (HL7 v2.5.1 chapter 3; fields by their positions there)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from functools import lru_cache
from typing import Final

import msgspec

from simulator.courses import Move
from simulator.people import Person
from simulator.places import DIALECTS, Dialect
from simulator.world import DAY, OFFSETS, Merger, Visit

_STRUCTURES: Final = {
    "A01": "ADT_A01",
    "A02": "ADT_A02",
    "A03": "ADT_A03",
    "A04": "ADT_A01",
    "A05": "ADT_A05",
    "A06": "ADT_A06",
    "A07": "ADT_A06",
    "A08": "ADT_A01",
    "A11": "ADT_A09",
    "A12": "ADT_A09",
    "A13": "ADT_A01",
    "A28": "ADT_A05",
    "A31": "ADT_A05",
    "A38": "ADT_A38",
    "A40": "ADT_A39",
}
_USUAL: Final = "|^~\\&"
_EPOCH: Final = date(1970, 1, 1).toordinal()
_MINUTES: Final = tuple(f"{minute // 60:02d}{minute % 60:02d}" for minute in range(1440))
_SECONDS: Final = tuple(f"{second:02d}" for second in range(60))


@lru_cache(maxsize=4096)
def _day_text(day: int) -> str:
    return date.fromordinal(day + _EPOCH).strftime("%Y%m%d")


def clock_of(dialect: Dialect) -> Callable[[int | None], str]:
    """How a sender writes an instant (ms UTC): California wall time, with seconds and offset if it gives them."""
    seconds, offset_given = dialect.seconds, dialect.offset

    def write(instant: int | None) -> str:
        if instant is None:
            return ""
        offset = OFFSETS.at(instant)
        day, rest = divmod(instant + offset, DAY)
        second = rest // 1000
        text = _day_text(day) + _MINUTES[second // 60]
        if seconds:
            text += _SECONDS[second % 60]
        if offset_given:
            text += "-0700" if offset == -25_200_000 else "-0800"
        return text

    return write


class Sheet(msgspec.Struct, frozen=True):
    """What all messages of one visit have in common: PV1-3, PV1-4, PV1-14 and, at the exchange, its own number."""

    location: str
    admission_type: str
    source: str
    nursing: bool = False
    number: str = ""


class Pen:
    """Writes the messages of one sender. `built` is MSH-7 (ms UTC), `control` MSH-10."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.clock = clock_of(dialect)
        self.plain = dialect.delimiters == _USUAL
        self.table = str.maketrans(_USUAL, dialect.delimiters)
        self.owner = f"^^^{dialect.authority}^VN" if dialect.owns_visit else ""
        self.header = f"MSH|^~\\&|ADT|{dialect.code}|HANDOFF|PLAN|"
        self.tail = f"|P|{dialect.version}" + (f"||||||{dialect.charset}" if dialect.charset else "")
        named = dialect.version >= "2.5"
        self.kinds = {trigger: f"ADT^{trigger}" + f"^{name}" * named for trigger, name in _STRUCTURES.items()}
        self.known: dict[tuple[int, str], tuple[str, str]] = {}

    def sheet(self, visit: Visit) -> Sheet:
        """What this sender writes on every message of a visit (its own, or one that it repeats)."""
        ward = DIALECTS[visit.sender]
        return Sheet(
            location=f"{visit.kind[:3].upper()}^{1 + visit.arrived % 40}^A^{ward.code}",
            admission_type=self.dialect.types.get(visit.admission_type, visit.admission_type),
            source=visit.source,
            nursing=ward.facility_type == "snf",
            number=f"{ward.code}-{visit.visit[1:]}" if self.dialect.exchange else "",
        )

    def visit(self, person: Person, number: str, move: Move, sheet: Sheet, built: int, control: str) -> str:
        """The message for one move of a visit."""
        dialect, clock, end = self.dialect, self.clock, self.dialect.line_end
        pid, insurance = self._person(person, number)
        kind = dialect.classes["snf" if sheet.nursing else move.kind]
        disposition = dialect.dispositions.get(move.disposition, move.disposition)
        begun, ended = (clock(move.begun), clock(move.ended)) if dialect.periods else ("", "")
        text = (
            f"{self._start(move.trigger, move.recorded, move.occurred, built, control)}{pid}"
            f"PV1|1|{kind}|{sheet.location}|{sheet.admission_type}||||||||||{sheet.source}|||||"
            f"{sheet.number or move.visit}{self.owner}|||||||||||||||||{disposition}||||||||{begun}|{ended}{end}"
        )
        if move.prior and not sheet.number:
            text += f"MRG|{number}^^^{dialect.authority}^MR||||{move.prior}{self.owner}{end}"
        if move.diagnoses is not None:
            for place, code in enumerate(move.diagnoses, 1):
                dotted = f"{code[:3]}.{code[3:]}" if len(code) > 3 else code
                text += f"DG1|{place}||{dotted}^^I10|||{'F' if move.ended else 'W'}{end}"
        return self._turned(text + insurance)

    def update(self, person: Person, number: str, trigger: str, recorded: int, built: int, control: str) -> str:
        """An A28 or A31: about the person and no visit, with the filler PV1 that some systems add."""
        pid, insurance = self._person(person, number)
        text = f"{self._start(trigger, recorded, None, built, control)}{pid}PV1|1|N{self.dialect.line_end}"
        return self._turned(text + insurance)

    def merger(self, person: Person, merger: Merger, built: int, control: str) -> str:
        """An A40: MRG-1 gives way to PID-3."""
        pid, _ = self._person(person, merger.survivor)
        retired = f"MRG|{merger.retired}^^^{self.dialect.authority}^MR{self.dialect.line_end}"
        return self._turned(self._start("A40", merger.at, None, built, control) + pid + retired)

    def _start(self, trigger: str, recorded: int, occurred: int | None, built: int, control: str) -> str:
        """MSH and EVN. A sender without EVN says when it entered a thing by MSH-7."""
        dialect, clock, end = self.dialect, self.clock, self.dialect.line_end
        if not dialect.evn:
            return f"{self.header}{clock(recorded)}||{self.kinds[trigger]}|{control}{self.tail}{end}"
        named = trigger if dialect.evn1 else ""
        happened = f"||||{clock(occurred)}" if dialect.happened and occurred is not None else ""
        return (
            f"{self.header}{clock(built)}||{self.kinds[trigger]}|{control}{self.tail}{end}"
            f"EVN|{named}|{clock(recorded)}{happened}{end}"
        )

    def _person(self, person: Person, number: str) -> tuple[str, str]:
        """(PID, IN1 or "") of a person under one of their numbers; a wrong number seldom knows the CIN."""
        found = self.known.get((person.index, number))
        if found is not None:
            return found
        dialect, end = self.dialect, self.dialect.line_end
        told = person.found_by == "cin" and (number == person.number(dialect.sender) or person.index % 4 == 3)
        cin = person.cin if told else ""
        numbers, insurance = f"{number}^^^{dialect.authority}^MR", ""
        if cin and dialect.cin == "insurance":
            insurance = f"IN1|1|MCAL|MCAL|MEDI-CAL{'|' * 32}{cin}{end}"
        elif cin:
            numbers += f"~{cin}{'02021' if dialect.cin == 'card' else ''}^^^MEDI-CAL^MA"
        street = person.street.replace("&", "\\T\\")
        born = date.fromordinal(person.birth).strftime("%Y%m%d")
        pid = (
            f"PID|1||{numbers}||{person.family}^{person.given}||{born}|{person.sex}|||{street}^^Arroyo^CA^{person.zip}"
            f"||{person.phone}{end}"
        )
        self.known[person.index, number] = (pid, insurance)
        return pid, insurance

    def _turned(self, text: str) -> str:
        return text if self.plain else text.translate(self.table)
