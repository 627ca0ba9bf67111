"""The validator of roster rows, from files and from `members.roster.v1` alike: checked, and made whole documents."""

from __future__ import annotations

import re
from typing import Final

from domain.errors import Refusal
from domain.identity import read_cin
from domain.patient.events import Identifier
from domain.rules.vocabulary import OPEN, Vocabulary
from domain.snapshots import RosterFacts
from parsers.records.files import NOT_AN_OBJECT, Row, json_object
from parsers.records.roster_documents import (
    EcmDocument,
    NumberDocument,
    ProgramDocument,
    RosterDocument,
    SpanDocument,
    facts_of,
    with_spans,
)

_OF_ECM: Final = ("ecm_status", "ecm_from", "ecm_to", "ecm_provider")
FIELDS: Final = frozenset(
    (
        *("member_id", "cin", "birth_date", "plan", "county", "enrolled_from", "enrolled_to", "identifiers"),
        *("aid_codes", "name", "sex", "zip", "phone", "programmes", "ecm", "delegate", "enrolment", *_OF_ECM),
    )
)
"""The columns and keys that are read. `ecm_*` are the columns of CSV for the object `ecm`."""
_LIKE_A_CIN: Final = re.compile(r"9[0-9]{7}[A-Za-z](?:[0-9]{5})?", re.ASCII)


def read_roster(value: bytes, words: Vocabulary = OPEN) -> RosterDocument:
    """A roster document from its JSON, read by the rules of the loader.

    Raises Refusal `bad-roster`; its place is the first invalid field.
    """
    values = json_object(value)
    if values is None:
        raise Refusal("bad-roster", "", NOT_AN_OBJECT)
    row = Row(1, values)
    document = document_of(row, words)
    if document is None:
        raise Refusal("bad-roster", row.faults[0].field, row.faults[0].reason)
    return document


def read_facts(value: bytes, words: Vocabulary = OPEN) -> RosterFacts:
    """What the member stage needs of a roster record. Raises Refusal `bad-roster`."""
    return facts_of(read_roster(value, words))


def document_of(row: Row, words: Vocabulary = OPEN) -> RosterDocument | None:
    """The document that a row states; None, and faults in the row, for an invalid one."""
    member, cin = _member(row)
    birth_date = row.day("birth_date")
    if birth_date is None and not row.text("birth_date"):
        row.fault("birth_date", "missing")
    document = RosterDocument(
        member_id=member,
        birth_date=birth_date or "",
        cin=cin,
        identifiers=tuple(_number(each) for each in row.identifiers("identifiers")),
        aid_codes=row.words("aid_codes"),
        name=row.text("name"),
        sex=row.text("sex").upper(),
        zip=row.text("zip"),
        phone=row.text("phone"),
        programmes=_programmes(row, words),
        ecm=_ecm(row, words),
    )
    spans = _enrolment(row, words)
    flat = _span(row, "enrolled_from", "enrolled_to", words)
    if spans and flat != SpanDocument() and flat not in spans:
        row.fault("enrolment", "no span of it is that of plan, county, enrolled_from, enrolled_to and delegate")
    return None if row.faults else with_spans(document, spans or [flat])


def member_of(row: Row) -> str:
    """The member that a row is about, valid or not; "" if it names none."""
    copy = Row(row.line, row.values)
    return _member(copy)[0]


def overlap(one: SpanDocument, other: SpanDocument) -> bool:
    """Whether two spans of one member have a day in common."""
    return one.order[0] <= other.order[1] and other.order[0] <= one.order[1]


def _enrolment(row: Row, words: Vocabulary) -> list[SpanDocument]:
    """The spans of `enrolment`: objects with plan, county, from, to and delegate."""
    found: list[SpanDocument] = []
    for item in row.items("enrolment"):
        if not isinstance(item, dict):
            row.fault("enrolment", "an item that is no object")
            continue
        part = Row(row.line, item)
        span = _span(part, "from", "to", words)
        _adopt(row, "enrolment", part)
        if any(overlap(span, other) for other in found):
            row.fault("enrolment", "two spans have days in common")
        found.append(span)
    return found


def _span(row: Row, start: str, end: str, words: Vocabulary) -> SpanDocument:
    plan, county = row.term("plan", words.plans), row.term("county", words.counties)
    return SpanDocument(plan, county, *row.span(start, end), row.text("delegate") or None)


def _number(identifier: Identifier) -> NumberDocument:
    return NumberDocument(identifier.authority, identifier.number)


def _member(row: Row) -> tuple[str, str | None]:
    """(member ID, CIN or None): each replaces the other where it is missing; both given must be equal."""
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


def _programmes(row: Row, words: Vocabulary) -> tuple[ProgramDocument, ...]:
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
        if not part.text("id"):
            part.fault("id", "missing")
        name = part.term("id", words.programs)
        days = part.span("from", "to")
        verified = item.get("verified", True)
        if not isinstance(verified, bool):
            part.fault("verified", "neither true nor false")
        _adopt(row, "programmes", part)
        found.append(ProgramDocument(name, *days, verified is True))
    return tuple(found)


def _ecm(row: Row, words: Vocabulary) -> EcmDocument | None:
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
    if not part.text("status"):
        part.fault("status", "missing")
    status = part.term("status", words.ecm_statuses)
    days = part.span("from", "to")
    document = EcmDocument(status, *days, part.text("provider"))
    _adopt(row, "ecm", part)
    return document


def _adopt(row: Row, field: str, part: Row) -> None:
    for fault in part.faults:
        row.fault(f"{field}.{fault.field}", fault.reason)
