"""Trigger events as HL7 v2 text in the dialect of each sender (HL7 v2.5.1 chapter 3, fields by position)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from functools import lru_cache
from typing import Final

import msgspec

from simulator.people import Person
from simulator.places import DIALECTS, Dialect
from simulator.registration import TriggerEvent
from simulator.world import DAY, OFFSETS, Death, Merger, Visit

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
    "A24": "ADT_A24",
    "A28": "ADT_A05",
    "A31": "ADT_A05",
    "A37": "ADT_A37",
    "A38": "ADT_A38",
    "A40": "ADT_A39",
    "A44": "ADT_A43",
    "A45": "ADT_A45",
}
_USUAL: Final = "|^~\\&"
_EPOCH: Final = date(1970, 1, 1).toordinal()
_MINUTES: Final = tuple(f"{minute // 60:02d}{minute % 60:02d}" for minute in range(1440))
_SECONDS: Final = tuple(f"{second:02d}" for second in range(60))


@lru_cache(maxsize=4096)
def _day_text(day: int) -> str:
    return date.fromordinal(day + _EPOCH).strftime("%Y%m%d")


def clock_of(dialect: Dialect) -> Callable[[int | None], str]:
    """A function that writes an instant (ms UTC) as California wall time, with seconds and offset by the dialect."""
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


class VisitFields(msgspec.Struct, frozen=True):
    """The fields that all messages of one visit share: PV1-3, PV1-4, PV1-14 and, at the exchange, its own number."""

    location: str
    admission_type: str
    source: str
    nursing: bool = False
    number: str = ""
    account: str = ""


class MessageWriter:
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

    def fields(self, visit: Visit) -> VisitFields:
        """The shared fields of a visit of this sender, or of one that the exchange repeats."""
        ward = DIALECTS[visit.sender]
        return VisitFields(
            location=f"{visit.kind[:3].upper()}^{1 + visit.arrived % 40}^A^{ward.code}",
            admission_type=self.dialect.types.get(visit.admission_type, visit.admission_type),
            source=visit.source,
            nursing=ward.facility_type == "snf",
            number=f"{ward.code}-{visit.visit[1:]}" if self.dialect.exchange else "",
            account="" if self.dialect.exchange else visit.account,
        )

    def visit(
        self,
        person: Person,
        number: str,
        event: TriggerEvent,
        fields: VisitFields,
        built: int,
        control: str,
        death: Death | None = None,
    ) -> str:
        """The message of one trigger event of a visit; of an A08 that tells a death, too."""
        dialect, clock, end = self.dialect, self.clock, self.dialect.line_end
        pid, insurance = self._person(person, number)
        if fields.account or death is not None:
            pid = self._more(pid, fields.account, death)
        kind = dialect.classes["snf" if fields.nursing else event.kind]
        disposition = dialect.dispositions.get(event.disposition, event.disposition)
        begun, ended = (clock(event.begun), clock(event.ended)) if dialect.periods else ("", "")
        text = (
            f"{self._start(event.trigger, event.recorded, event.occurred, built, control)}{pid}"
            f"PV1|1|{kind}|{fields.location}|{fields.admission_type}||||||||||{fields.source}|||||"
            f"{fields.number or event.visit}{self.owner}|||||||||||||||||{disposition}||||||||{begun}|{ended}{end}"
        )
        if event.prior and not fields.number:
            text += f"MRG|{number}^^^{dialect.authority}^MR||||{event.prior}{self.owner}{end}"
        if event.diagnoses is not None:
            for place, code in enumerate(event.diagnoses, 1):
                dotted = f"{code[:3]}.{code[3:]}" if len(code) > 3 else code
                text += f"DG1|{place}||{dotted}^^I10|||{'F' if event.ended else 'W'}{end}"
        return self._delimited(text + insurance)

    def update(
        self,
        person: Person,
        number: str,
        trigger: str,
        recorded: int,
        built: int,
        control: str,
        death: Death | None = None,
    ) -> str:
        """An A28 or A31: about the person, with the filler PV1 that some systems add; `death` is told by it."""
        pid, insurance = self._person(person, number)
        if death is not None:
            pid = self._more(pid, "", death)
        text = f"{self._start(trigger, recorded, None, built, control)}{pid}PV1|1|N{self.dialect.line_end}"
        return self._delimited(text + insurance)

    def merger(self, person: Person, merger: Merger, built: int, control: str) -> str:
        """An A40, A44 or A45: MRG-1, or its account or visit, goes to PID-3."""
        pid, _ = self._person(person, merger.survivor)
        end = self.dialect.line_end
        retired = f"MRG|{merger.retired}^^^{self.dialect.authority}^MR"
        if merger.visit:
            retired += f"||||{merger.visit}{self.owner}{end}PV1|1|N{'|' * 17}{merger.visit}{self.owner}"
        elif merger.account:
            retired += f"||{merger.account}"
        return self._delimited(self._start(merger.trigger, merger.at, None, built, control) + pid + retired + end)

    def pair(self, person: Person, other: Person, merger: Merger, built: int, control: str) -> str:
        """An A24 or A37: two PIDs."""
        first, _ = self._person(person, merger.survivor)
        second, _ = self._person(other, merger.retired)
        return self._delimited(self._start(merger.trigger, merger.at, None, built, control) + first + second)

    def _start(self, trigger: str, recorded: int, occurred: int | None, built: int, control: str) -> str:
        """MSH and EVN. Without EVN, MSH-7 is the time of entry."""
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
        """(PID, IN1 or "") of a person under one of their numbers; few messages under a wrong number have a CIN."""
        found = self.known.get((person.index, number))
        if found is not None:
            return found
        dialect, end = self.dialect, self.dialect.line_end
        has_cin = person.found_by == "cin" and (number == person.number(dialect.sender) or person.index % 4 == 3)
        cin = person.cin if has_cin else ""
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

    def _more(self, pid: str, account: str, death: Death | None) -> str:
        """A PID with account (PID-18) and death (PID-29, PID-30)."""
        end = self.dialect.line_end
        told = "" if death is None else f"{'|' * 11}{self.clock(death.when)}|{death.flag}"
        return f"{pid.removesuffix(end)}{'|' * 5}{account}{told}{end}"

    def _delimited(self, text: str) -> str:
        return text if self.plain else text.translate(self.table)
