"""One sender's messages, counted: everything that a report or a draft profile is made from."""

from __future__ import annotations

from collections import Counter
from typing import Final

from domain.errors import Refusal
from domain.patient.events import DELETED, AdtEvent
from handoff.inputs import Message as Given
from handoff.profiling.clock import Clock
from handoff.profiling.fields import Fills
from handoff.profiling.habits import VisitNumbers, ZeroOffsets
from handoff.profiling.tally import Codes, Tally
from parsers.hl7.adt import read_adt
from parsers.hl7.charsets import CHARSETS, decoded
from parsers.hl7.encoding import Message
from parsers.hl7.pid import identifiers_in, medical_record_number
from parsers.hl7.places import facility_of, value_at
from parsers.hl7.profiles import SenderProfile, place_of
from parsers.hl7.timestamps import built, moment

CODED: Final = (2, 4, 14, 36)
"""Fields of PV1 whose codes a profile maps."""
_TIMES: Final = (("EVN", 2), ("EVN", 6), ("PV1", 44), ("PV1", 45))
_FACILITY_PLACES: Final = {name: place_of(name) for name in ("MSH-4", "EVN-7", "PV1-39", "PV1-3.4")}
_OBSERVATION_PLACES: Final = {name: place_of(name) for name in ("PV1-18", "PV1-10", "PV1-3", "PV1-4", "PV1-41")}
_EXAMPLES: Final = 3
MOST_IDS: Final = 2_000_000
"""Control IDs that are remembered (about 200 MB); later ones are not compared."""


class Feed:
    """Counts the messages that one profile reads. Takes each message once; keeps none."""

    def __init__(self, profile: SenderProfile) -> None:
        self.profile = profile
        self.messages = 0
        self.first: int | None = None
        self.last: int | None = None
        """When the first and the last message was recorded, ms UTC."""
        self.senders: Counter[tuple[str, str]] = Counter()
        """(MSH-3.1, MSH-4.1)."""
        self.versions, self.charsets, self.decodings, self.line_ends = Tally(), Tally(), Tally(), Tally()
        self.triggers, self.z_segments, self.notes = Tally(), Tally(), Tally()
        self.classes: Counter[tuple[str, str]] = Counter()
        """(trigger, patient class as read)."""
        self.refusals: Counter[tuple[str, str]] = Counter()
        self.refused_at: dict[tuple[str, str], list[str]] = {}
        """(code, place) -> where the first three are."""
        self.fills = Fills()
        self.clock = Clock()
        self.zero_offsets = ZeroOffsets()
        self.visit_numbers = VisitNumbers()
        self.codes = {f"PV1-{number}": Tally() for number in CODED}
        self.unmapped = {f"PV1-{number}": Codes() for number in CODED}
        self.deaths_by_21 = 0
        self.number_types, self.authorities = Codes(), Codes()
        """PID-3.5 of every number; PID-3.4 of the one that names the patient."""
        self.facility_places = {name: Codes() for name in _FACILITY_PLACES}
        self.unknown_facilities = Codes()
        self.observation_places = {name: Tally() for name in _OBSERVATION_PLACES}
        self.observation_classes = 0
        self.flags, self.homeless, self.homeless_codes, self.homeless_places = Tally(), Tally(), 0, Codes()
        self.no_control_id = self.resent = self.reused = 0
        self._ids: dict[int, int] = {}
        self._known_ids = frozenset(facility.id for facility in profile.facilities.values())
        self._sources = dict(zip((f"PV1-{n}" for n in CODED), _dialects(profile), strict=True))

    def take(self, given: Given) -> AdtEvent | None:
        """Count one message; the event, or None when it would be refused."""
        self.messages += 1
        raw = given.raw
        crlf, lf = b"\r\n" in raw, b"\n" in raw
        rest = raw.replace(b"\r\n", b"") if crlf else raw
        ends = (("CRLF", crlf), ("LF", lf and b"\n" in rest), ("CR", b"\r" in rest))
        self.line_ends.add("+".join(name for name, there in ends if there) or "none")
        try:
            message = Message(raw, self.profile.encoding)
        except Refusal as refusal:
            self._refuse(refusal, given.origin)
            return None
        self._header(message, raw)
        try:
            event = read_adt(raw, self.profile)
        except Refusal as refusal:
            self._refuse(refusal, given.origin)
            return None
        if self.first is None or event.recorded < self.first:
            self.first = event.recorded
        if self.last is None or event.recorded > self.last:
            self.last = event.recorded
        for note in event.notes:
            self.notes.add(note)
        self.triggers.add(event.trigger)
        self._times(message)
        self._person(message, event)
        self._visit(message, event)
        return event

    def _refuse(self, refusal: Refusal, origin: str) -> None:
        why = (refusal.code, refusal.place)
        self.refusals[why] += 1
        examples = self.refused_at.setdefault(why, [])
        if len(examples) < _EXAMPLES:
            examples.append(origin)

    def _header(self, message: Message, raw: bytes) -> None:
        header, text = message.header, message.text
        app, facility, control = text(header[2]), text(header[3]), text(header[9])
        if (app, facility) in self.senders or len(self.senders) < 2_000:
            self.senders[app, facility] += 1
        self.versions.add(text(header[11]))
        stated = text(header[17]).upper()
        self.charsets.add(stated)
        if not raw.isascii():
            self.decodings.add(_decoding(raw, stated, self.profile.encoding))
        for line in message.lines:
            if line[:1] == "Z" and line[3:4] == message.field:
                self.z_segments.add(line[:3])
        if not control:
            self.no_control_id += 1
            return
        key, content = hash((app, facility, control)), hash(raw)
        before = self._ids.get(key)
        if before is None:
            if len(self._ids) < MOST_IDS:
                self._ids[key] = content
        elif before == content:
            self.resent += 1
        else:
            self.reused += 1

    def _times(self, message: Message) -> None:
        text, clock, zone = message.text, self.clock, self.profile.zone
        made = text(message.header[6])
        if made:
            clock.take("MSH-7", made)
            self.zero_offsets.take(made, zone)
        for name, number in _TIMES:
            fields = message.first(name)
            value = text(fields[number]) if fields is not None and fields[number] else ""
            if value and value != DELETED:
                clock.take(f"{name}-{number}", value)
                if number == 2 and made:
                    at, offset = built(made, zone)
                    entered = moment(value, zone, offset, "EVN-2")
                    if at is not None and entered is not None and not entered.whole_day:
                        clock.compare(entered.at, at)

    def _person(self, message: Message, event: AdtEvent) -> None:
        pid = message.first("PID")
        numbers = identifiers_in(message, pid[3], self.profile, "") if pid is not None else []
        for number in numbers:
            self.number_types.add(number.type, "", event.patient)
        chosen = medical_record_number(numbers, self.profile)
        authority, kind = (chosen.authority, chosen.type) if chosen is not None else ("", "")
        self.authorities.add(authority, "", event.patient)
        self.fills.take(message, event, authority, kind)

    def _visit(self, message: Message, event: AdtEvent) -> None:
        for name, place in _FACILITY_PLACES.items():
            if value := value_at(message, place):
                self.facility_places[name].add(value, "", event.patient)
        self._homelessness(message, event)
        visit, pv1 = event.visit, message.first("PV1")
        if visit is None or pv1 is None:
            return
        self.visit_numbers.take(event, message.component(pv1[19], 1), _account(message))
        facility = facility_of(message, self.profile).id
        if facility and facility not in self._known_ids:
            self.unknown_facilities.add(facility, "", event.patient)
        self.classes[event.trigger, visit.patient_class or "(none)"] += 1
        self.observation_classes += visit.patient_class == "observation"
        for name, place in _OBSERVATION_PLACES.items():
            if pv1[place.field] and value_at(message, place).upper() in self.profile.observation_codes:
                self.observation_places[name].add(value_at(message, place).upper())
        for number in CODED:
            sent = message.text(pv1[number]).upper() if pv1[number] else ""
            if sent and sent != DELETED:
                name = f"PV1-{number}"
                self.codes[name].add(sent)
                if sent not in self._sources[name]:
                    self.unmapped[name].add(sent, message.component(pv1[number], 2), event.patient)
                elif number == 36 and sent == "21" and event.died is not None:
                    self.deaths_by_21 += 1

    def _homelessness(self, message: Message, event: AdtEvent) -> None:
        place = self.profile.homeless_place
        if place is not None and (flag := value_at(message, place).upper()):
            known = "yes" if flag in self.profile.homeless_yes else "no" if flag in self.profile.homeless_no else "?"
            self.flags.add(known)
        if event.visit is None:
            return
        if event.visit.homeless is not None:
            self.homeless.add("homeless" if event.visit.homeless else "not homeless")
        if any(code.startswith("Z590") for code in event.visit.diagnoses or ()):
            self.homeless_codes += 1
        for line in message.all("OBX"):
            if "HOMELESS" in line.upper() and (code := message.field_at(line, 3)):
                self.homeless_places.add(code, "", event.patient)


def _account(message: Message) -> str:
    pid = message.first("PID")
    return "" if pid is None else message.component(pid[18], 1)


def _dialects(profile: SenderProfile) -> tuple[dict[str, str], ...]:
    """In the order of CODED."""
    return profile.classes, profile.admission_types, profile.sources, profile.dispositions


def _decoding(raw: bytes, stated: str, default: str) -> str:
    """Which codec `decoded` took for bytes that are not ASCII."""
    text, note = decoded(raw, default)
    if note:
        return "windows-1252, by falling back"
    for codec, why in ((CHARSETS.get(stated, ""), "as MSH-18 says"), (default, "by the profile"), ("utf-8", "tried")):
        if codec:
            try:
                if raw.decode(codec) == text:
                    return f"{codec}, {why}"
            except (UnicodeDecodeError, LookupError):
                continue
    return "by its byte order mark"
