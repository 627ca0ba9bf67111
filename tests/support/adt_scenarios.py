"""Scenarios written as ADT messages: what hospitals sent, field by field, and what it must amount to.

    title: A visit on the wrong patient is moved by A45
    source: where such a situation was reported, or the rule of HL7
    kind: moves
    members: {ana: {cin: 91000001A}, bea: {cin: 91000002C, born: 1975-03-04}}
    messages:
      - {at: 2026-01-10 10:00, event: A04, who: ana, patient: "100", visit: E1, class: E}
      - {at: 2026-01-10 13:00, event: A03, who: ana, patient: "100", visit: E1, class: E, disposition: "01"}
    expect: {ed6: {ana: 1}, live: []}

`at` (California time) is MSH-7, EVN-2 and EVN-6; `occurred` replaces EVN-6 and is left out where it is "". `who` gives
name, birth date and sex of a member, and its CIN unless `cin` is false. PV1-44 is the time of the visit's first message
unless `arrived` has another; PV1-45 is `departed`, or `at` of an A03. `pid`, `pv1` and `evn` set fields by number;
`mrg` has MRG segments, `more` further ones. `from` is MSH-4, `sender` the profile. Messages without `who` have no name.

`visits` are whole visits: an A04 (A01 for classes I and B), and an A03 where there is a `to`; the other keys are those
of messages. `custody` has records of custody.raw.v1 for a member.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import msgspec
import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from domain.patient.publish import current_snapshots
from domain.snapshots import VisitSnapshot
from domain.times import CALIFORNIA, MINUTE, rfc3339
from handoff.declarations.senders import load_senders
from parsers.hl7.profiles import Profiles
from tests.support.replaying import LIVE, Heard, Played

FOLDER: Final = Path(__file__).parents[1] / "scenarios" / "adt"
SENDERS: Final = Path(__file__).parents[2] / "senders"


def _moment(value: object) -> object:
    return datetime.fromisoformat(value) if isinstance(value, str) else value


T = TypeVar("T")
Sent = tuple[str, bytes]
"""(sender profile, message)."""
Moment = Annotated[datetime, BeforeValidator(_moment)]


class _Written(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class MemberLine(_Written):
    """A member on the roster. `listed` replaces the identifiers; `on_roster` false: a person without a row."""

    cin: str
    born: date = date(1980, 1, 1)
    name: str = "LARK^ROBIN"
    sex: str = "F"
    identifiers: tuple[str, ...] = ()
    roster_cin: bool = True
    on_roster: bool = True
    row: dict[str, Any] = {}
    """Further fields of the roster row."""


class _Stated(_Written):
    """What messages and visits have in common."""

    patient: str = "100"
    who: str = ""
    cin: bool = True
    visit: str = ""
    account: str = ""
    class_: str = Field(default="E", alias="class")
    type: str = ""
    disposition: str = ""
    pid: dict[int, str] = {}
    pv1: dict[int, str] | None = {}
    more: tuple[str, ...] = ()
    hospital: str = Field(default="GENHOSP", alias="from")
    sender: str = "default"


class MessageLine(_Stated):
    """One message."""

    at: Moment
    event: str
    occurred: Moment | str | None = None
    arrived: Moment | str | None = None
    departed: Moment | str | None = None
    evn: dict[int, str] = {}
    mrg: tuple[str, ...] = ()
    ends: str = "\r"


class VisitLine(_Stated):
    """A whole visit, or an open one."""

    begin: Moment
    to: Moment | None = None

    def messages(self) -> list[MessageLine]:
        """Its arrival and its departure."""
        shared = self.model_dump(exclude={"begin", "to", "disposition"}, by_alias=True)
        event = "A01" if self.class_ in ("I", "B") else "A04"
        found = [MessageLine(at=self.begin, event=event, **shared)]
        if self.to is not None:
            shared["disposition"] = self.disposition or "01"
            found.append(MessageLine(at=self.to, event="A03", **shared))
        return found


class CustodyLine(_Written):
    """A record of custody.raw.v1 about a member."""

    who: str
    kind: str
    record: str
    at: Moment | None = None
    scheduled: Moment | None = None
    heard: Moment | None = None
    facility: str = "County Jail"
    facility_type: str = "jail"


class AdtScenario(_Written):
    """A file."""

    title: str
    source: str
    kind: str
    end: Moment | None = None
    members: dict[str, MemberLine]
    profile: dict[str, Any] = {}
    visits: tuple[VisitLine, ...] = ()
    messages: tuple[MessageLine, ...] = ()
    custody: tuple[CustodyLine, ...] = ()
    expect: dict[str, Any]

    def lines(self) -> list[MessageLine]:
        """Every message, in the order of the file."""
        return [*(line for visit in self.visits for line in visit.messages()), *self.messages]

    def as_is(self) -> list[Sent]:
        """The messages in the order of the file."""
        lines = self.lines()
        return [(line.sender, raw) for line, raw in zip(lines, written(lines, self.members), strict=True)]

    def shuffled(self, seed: int) -> list[Sent]:
        """The messages in another order, each of some twice."""
        return mixed(self.as_is(), seed)

    def roster(self) -> list[dict[str, Any]]:
        """The rows of the roster."""
        return [row_of(line) for line in self.members.values() if line.on_roster]

    def play(self, messages: list[Sent]) -> dict[str, Any]:
        """What the messages amount to, all received at the end, in their order."""
        times = [line.at for line in self.lines()] + [at for line in self.custody if (at := line.at or line.heard)]
        end = _ms(self.end or max(times)) + MINUTE
        heard: list[Heard] = [(end - MINUTE, "roster", row) for row in self.roster()]
        heard += [(end - MINUTE, "custody", self._custody(line)) for line in self.custody]
        heard += [(end - MINUTE, "message", {"hl7": raw.decode(), "sender": sender}) for sender, raw in messages]
        names = {line.cin: who for who, line in self.members.items()}
        return outcome(Played(heard, end, _profiles(self.profile)), names)

    def _custody(self, line: CustodyLine) -> dict[str, Any]:
        document = line.model_dump(include={"kind", "facility", "facility_type"})
        for name, at in (("occurred", line.at), ("scheduled", line.scheduled)):
            if at is not None:
                document[name] = rfc3339(_ms(at))
        return {"record_id": line.record, "cin": self.members[line.who].cin, **document}


def mixed(messages: list[T], seed: int) -> list[T]:
    """The messages in another order, each of some twice."""
    chance = random.Random(seed)
    found = messages + chance.sample(messages, len(messages) // 3)
    chance.shuffle(found)
    return found


def written(lines: Sequence[MessageLine], members: Mapping[str, MemberLine]) -> list[bytes]:
    """The HL7 of the messages, in their order."""
    began: dict[str, datetime] = {}
    return [_hl7(number, line, members.get(line.who), began) for number, line in enumerate(lines)]


def row_of(line: MemberLine) -> dict[str, Any]:
    """A member's row of the roster."""
    return {
        "member_id": line.cin,
        **({"cin": line.cin} if line.roster_cin else {}),
        "birth_date": line.born.isoformat(),
        "name": line.name,
        "sex": line.sex,
        "plan": "lacare",
        "county": "Los Angeles",
        "enrolled_from": "2022-01-01",
        "identifiers": list(line.identifiers),
        **line.row,
    }


def load_adt_scenario(path: Path) -> AdtScenario:
    """Reads a file; raises ValidationError where it is not one."""
    return AdtScenario.model_validate(yaml.safe_load(path.read_text()))


def outcome(played: Played, names: dict[str, str]) -> dict[str, Any]:
    """The results that `expect` can name; members by their names."""
    live = [each for each in played.candidates.values() if each["status"] in LIVE]
    ended = [each for each in played.candidates.values() if each["status"] not in LIVE]
    asserted = [each for each in played.transitions.values() if each["status"] == "asserted"]
    kinds: dict[str, int] = {}
    for each in asserted:
        kinds[each["kind"]] = kinds.get(each["kind"], 0) + 1
    visits, unattributed = [], []
    for key, row in sorted(played.replay.rows("reconcile").items()):
        if row.unattributed is not None:
            unattributed.append([key, row.unattributed.partition(":")[0]])
        visits += [
            [snapshot.key, names.get(member, member), snapshot.visit.status, snapshot.visit.patient_class]
            for member, snapshot in current_snapshots(row)
            if isinstance(snapshot, VisitSnapshot)
        ]
    members = {who: cin for cin, who in names.items()}
    counts = {who: played.counts(cin, 6) for who, cin in members.items()}
    return {
        "live": sorted([names[each["member_id"]], each["population"]] for each in live),
        "ended": sorted([names[each["member_id"]], each["population"], each["status"]] for each in ended),
        "live_states": sorted([each["population"], each["state"]] for each in live),
        "conditions": sorted({condition for each in live for condition in each["conditions"]}),
        "transitions": kinds,
        "ed6": {who: count["ed"] for who, count in counts.items()},
        "inpatient6": {who: count["inpatient"] for who, count in counts.items()},
        "snf6": {who: count["snf"] for who, count in counts.items()},
        "visits": sorted(visits),
        "unattributed": unattributed,
        "faults": played.replay.faults,
    }


def differences(expected: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """What is not as expected; of counts and transitions only the named ones are compared."""
    wrong = {}
    for name, value in expected.items():
        have = found[name]
        if isinstance(value, dict) and value:
            have = {key: have.get(key, 0) for key in value}
        if have != value:
            wrong[name] = {"expected": value, "found": have}
    return wrong


def _profiles(changes: dict[str, Any]) -> Profiles:
    shipped = load_senders(SENDERS)
    return Profiles([*shipped, msgspec.structs.replace(shipped.named("default"), **changes)])


def _hl7(number: int, line: MessageLine, member: MemberLine | None, began: dict[str, datetime]) -> bytes:
    at = _text(line.at)
    identifiers = f"{line.patient}^^^{line.hospital}^MR"
    if member is not None and line.cin:
        identifiers += f"~{member.cin}^^^CA^MA"
    pid = {1: "1", 3: identifiers}
    if member is not None:
        pid |= {5: member.name, 7: member.born.strftime("%Y%m%d"), 8: member.sex}
    if line.account:
        pid[18] = f"{line.account}^^^{line.hospital}"
    start = began.setdefault(line.visit or f"{line.patient} {line.account}", line.at)
    segments = [
        f"MSH|^~\\&|ADT|{line.hospital}|HANDOFF|PLAN|{at}||ADT^{line.event}|{line.hospital}{number:05}|P|2.5.1",
        _segment("EVN", {1: line.event, 2: at, 6: _or(line.occurred, line.at), **line.evn}),
        _segment("PID", pid | line.pid),
        *(f"MRG|{each}" for each in line.mrg),
    ]
    if line.pv1 is not None:
        pv1 = {
            1: "1",
            2: line.class_,
            3: f"4E^12^A^{line.hospital}",
            4: line.type,
            19: line.visit,
            36: line.disposition,
        }
        pv1[44] = _or(line.arrived, start)
        pv1[45] = _or(line.departed, line.at if line.event == "A03" else None)
        segments.append(_segment("PV1", pv1 | line.pv1))
    return (line.ends.join([*segments, *line.more]) + line.ends).encode()


def _or(value: datetime | str | None, otherwise: datetime | None) -> str:
    if isinstance(value, datetime):
        return _text(value)
    if value is not None:
        return value
    return "" if otherwise is None else _text(otherwise)


def _segment(name: str, fields: dict[int, str]) -> str:
    last = max(fields)
    return "|".join([name, *(fields.get(number, "") for number in range(1, last + 1))]).rstrip("|")


def _text(at: datetime) -> str:
    return at.strftime("%Y%m%d%H%M%S")


def _ms(at: datetime) -> int:
    return round(at.replace(tzinfo=CALIFORNIA).timestamp() * 1000)
