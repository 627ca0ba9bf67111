"""The plan's roster: rows of CSV or JSON lines, or one document of `members.roster.v1`, checked and made whole."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from domain.errors import Refusal
from domain.identity import patient_key, read_cin
from domain.patient.events import Identifier
from domain.snapshots import EcmStatus, Program, RosterFacts
from parsers.records.files import NOT_AN_OBJECT, Fault, Loaded, Row, json_object, rows_of

_OF_ECM: Final = ("ecm_status", "ecm_from", "ecm_to", "ecm_provider")
FIELDS: Final = frozenset(
    (
        *("member_id", "cin", "birth_date", "plan", "county", "enrolled_from", "enrolled_to", "identifiers"),
        *("aid_codes", "name", "sex", "zip", "phone", "programmes", "ecm", "delegate", *_OF_ECM),
    )
)
"""What a row may say. `ecm_*` are CSV's way of writing the object `ecm`."""
_LIKE_A_CIN: Final = re.compile(r"9[0-9]{7}[A-Za-z](?:[0-9]{5})?", re.ASCII)


class NumberDocument(msgspec.Struct, frozen=True):
    """A hospital's number for the member."""

    authority: str
    number: str


class ProgramDocument(msgspec.Struct, frozen=True):
    """A programme the member is in; days, the last one included."""

    id: str
    start: str | None = msgspec.field(name="from", default=None)
    end: str | None = msgspec.field(name="to", default=None)
    verified: bool = True


class EcmDocument(msgspec.Struct, frozen=True):
    """The member's ECM enrolment as the plan states it."""

    status: str
    start: str | None = msgspec.field(name="from", default=None)
    end: str | None = msgspec.field(name="to", default=None)
    provider: str = ""


class RosterDocument(msgspec.Struct, frozen=True):
    """One record of `members.roster.v1`, keyed by `member_id`. Days are YYYY-MM-DD."""

    member_id: str
    birth_date: str
    cin: str | None = None
    plan: str = ""
    county: str = ""
    enrolled_from: str | None = None
    enrolled_to: str | None = None
    identifiers: tuple[NumberDocument, ...] = ()
    aid_codes: tuple[str, ...] = ()
    name: str = ""
    sex: str = ""
    zip: str = ""
    phone: str = ""
    programmes: tuple[ProgramDocument, ...] = ()
    ecm: EcmDocument | None = None
    delegate: str | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        """The identifiers as patient keys, `authority|number`."""
        return tuple(patient_key(each.authority, each.number) for each in self.identifiers)


_ENCODER: Final = msgspec.json.Encoder()


def encode_roster(document: RosterDocument) -> bytes:
    """The JSON of a roster document."""
    return _ENCODER.encode(document)


def read_roster(value: bytes) -> RosterDocument:
    """A roster document from its JSON. Raises Refusal `bad-roster`; its place is the first field that is wrong."""
    values = json_object(value)
    if values is None:
        raise Refusal("bad-roster", "", NOT_AN_OBJECT)
    row = Row(1, values)
    document = _document(row)
    if document is None:
        raise Refusal("bad-roster", row.faults[0].field, row.faults[0].reason)
    return document


def read_facts(value: bytes) -> RosterFacts:
    """What the member stage needs of a roster record, read by the rules of the loader. Raises Refusal `bad-roster`."""
    return facts_of(read_roster(value))


def facts_of(document: RosterDocument) -> RosterFacts:
    """What the member stage needs of a document."""
    ecm = document.ecm
    return RosterFacts(
        birth_date=document.birth_date,
        plan=document.plan,
        county=document.county,
        enrolled_from=document.enrolled_from,
        enrolled_to=document.enrolled_to,
        aid_codes=document.aid_codes,
        programmes=tuple(Program(each.id, each.start, each.end, each.verified) for each in document.programmes),
        ecm=None if ecm is None else EcmStatus(ecm.status, ecm.start, ecm.end, ecm.provider),
        delegate=document.delegate or "",
    )


def load_roster(data: bytes, mapping: Mapping[str, str] | None = None) -> Loaded[RosterDocument]:
    """The members of a roster file, and all that is wrong with it (see `parsers.rows.rows_of` for the forms).

    A member, or a hospital's number, that stands on two lines is a fault of the later line: no guess is made.
    """
    rows, faults, ignored = rows_of(data, FIELDS, mapping)
    documents: list[RosterDocument] = []
    members: dict[str, int] = {}
    numbers: dict[str, int] = {}
    for row in rows:
        document = _document(row)
        if document is not None:
            _once(row, "member_id", document.member_id, members)
            for key in document.keys:
                _once(row, "identifiers", key, numbers)
            documents.append(document)
        faults += row.faults
    if not documents and not faults:
        faults.append(Fault(1, "", "no rows"))
    return Loaded(tuple(documents), tuple(sorted(faults, key=lambda fault: fault.line)), ignored)


def _once(row: Row, field: str, value: str, seen: dict[str, int]) -> None:
    line = seen.setdefault(value, row.line)
    if line != row.line:
        row.fault(field, f"stands on line {line} already")


def _document(row: Row) -> RosterDocument | None:
    member, cin = _member(row)
    birth_date = row.day("birth_date")
    if birth_date is None and not row.text("birth_date"):
        row.fault("birth_date", "missing")
    enrolled = row.span("enrolled_from", "enrolled_to")
    document = RosterDocument(
        member_id=member,
        birth_date=birth_date or "",
        cin=cin,
        plan=row.text("plan"),
        county=row.text("county"),
        enrolled_from=enrolled[0],
        enrolled_to=enrolled[1],
        identifiers=tuple(_number(each) for each in row.identifiers("identifiers")),
        aid_codes=row.words("aid_codes"),
        name=row.text("name"),
        sex=row.text("sex").upper(),
        zip=row.text("zip"),
        phone=row.text("phone"),
        programmes=_programmes(row),
        ecm=_ecm(row),
        delegate=row.text("delegate") or None,
    )
    return None if row.faults else document


def _number(identifier: Identifier) -> NumberDocument:
    return NumberDocument(identifier.authority, identifier.number)


def _member(row: Row) -> tuple[str, str | None]:
    """Member ID and CIN: each stands in for the other, and both together must say the same."""
    given = row.text("member_id")
    cin = row.cin("cin")
    if _LIKE_A_CIN.fullmatch(given):
        read = read_cin(given)
        if read is None:
            row.cin("member_id")
            return "", cin
        given = read
        cin = cin or given
    if not given and not row.text("cin"):
        row.fault("member_id", "missing, and no cin either")
    if given and cin and given != cin:
        row.fault("cin", "names another member than member_id")
    return given or cin or "", cin


def _programmes(row: Row) -> tuple[ProgramDocument, ...]:
    """`id:from:to:unverified` in CSV (all but the first may be left out), objects in JSON."""
    found: list[ProgramDocument] = []
    for item in row.items("programmes"):
        if isinstance(item, str):
            parts = [part.strip() for part in item.split(":")]
            if len(parts) > 4 or (len(parts) == 4 and parts[3] not in ("", "verified", "unverified")):
                row.fault("programmes", "not id:from:to or id:from:to:unverified")
                continue
            parts += [""] * (4 - len(parts))
            item = {"id": parts[0], "from": parts[1], "to": parts[2], "verified": parts[3] != "unverified"}
        if not isinstance(item, dict):
            row.fault("programmes", "an item that is no object")
            continue
        part = Row(row.line, item)
        name = part.text("id").lower()
        if not name:
            part.fault("id", "missing")
        days = part.span("from", "to")
        verified = item.get("verified", True)
        if not isinstance(verified, bool):
            part.fault("verified", "neither true nor false")
        _adopt(row, "programmes", part)
        found.append(ProgramDocument(name, *days, verified is True))
    return tuple(found)


def _ecm(row: Row) -> EcmDocument | None:
    given = row.values.get("ecm")
    if given is None or given == "":
        flat = {name.removeprefix("ecm_"): row.values.get(name) for name in _OF_ECM}
        given = {name: value for name, value in flat.items() if value}
        if not given:
            return None
    if not isinstance(given, dict):
        row.fault("ecm", "not an object")
        return None
    part = Row(row.line, given)
    status = part.text("status").lower()
    if not status:
        part.fault("status", "missing")
    days = part.span("from", "to")
    document = EcmDocument(status, *days, part.text("provider"))
    _adopt(row, "ecm", part)
    return document


def _adopt(row: Row, field: str, part: Row) -> None:
    for fault in part.faults:
        row.fault(f"{field}.{fault.field}", fault.reason)
