"""A roster file: every row checked, and the rows of one member made one document.

Several rows of a member are several spans of enrollment. A member with one bad row has no document at all: half of a
history would be a wrong one.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from domain.rules.vocabulary import OPEN, Vocabulary
from parsers.records.files import Loaded, Row
from parsers.records.roster import FIELDS, document_of, member_of, overlap
from parsers.records.roster_documents import RosterDocument, encode_roster, with_spans
from parsers.records.tables import loaded, rows_of

_Part = tuple[Row, RosterDocument]


def load_roster(
    data: bytes, mapping: Mapping[str, str] | None = None, words: Vocabulary = OPEN
) -> Loaded[RosterDocument]:
    """The members of a roster file, and all that is wrong with it (`parsers.records.tables.rows_of` describes the
    formats).

    Faults of the later line: spans of one member with a day in common, a birth date or CIN that differs between its
    rows, and a hospital's number of another member.
    """
    table = rows_of(data, FIELDS, mapping)
    members: dict[str, list[_Part]] = {}
    numbers: dict[str, tuple[str, int]] = {}
    rejected: set[str] = set()
    for row in table.rows:
        document = document_of(row, words)
        if document is None:
            rejected.add(member_of(row))
            continue
        _check_numbers(row, document, numbers)
        known = members.setdefault(document.member_id, [])
        for other, said in known:
            _check_rows(row, document, other, said)
        known.append((row, document))
        if row.faults:
            rejected.add(document.member_id)
    if any(fault.field == "" for fault in table.faults):
        rejected.add("")
    good = [_joined(parts) for member, parts in members.items() if member not in rejected]
    return loaded(table, good, frozenset(rejected))


def _check_numbers(row: Row, document: RosterDocument, seen: dict[str, tuple[str, int]]) -> None:
    for key in document.keys:
        member, line = seen.setdefault(key, (document.member_id, row.line))
        if member != document.member_id:
            row.fault("identifiers", f"already on line {line}, of another member")


def _check_rows(row: Row, document: RosterDocument, other: Row, said: RosterDocument) -> None:
    if any(overlap(one, two) for one in document.enrolment for two in said.enrolment):
        row.fault("member_id", f"already on line {other.line}, with days of enrollment in common")
    if document.birth_date != said.birth_date:
        row.fault("birth_date", f"differs from line {other.line}")
    if document.cin != said.cin:
        row.fault("cin", f"differs from line {other.line}")


def _joined(parts: list[_Part]) -> RosterDocument:
    """The document of all rows of a member, in whatever order they are: lists are joined; of other fields that of the
    latest span holds, or the latest one that has any."""
    if len(parts) == 1:
        return parts[0][1]
    documents = sorted((part[1] for part in parts), key=lambda each: (each.enrolment[-1].order, encode_roster(each)))
    last = documents[-1]
    latest_first = documents[::-1]
    joined = msgspec.structs.replace(
        last,
        identifiers=tuple(dict.fromkeys(number for each in documents for number in each.identifiers)),
        programmes=tuple(dict.fromkeys(program for each in documents for program in each.programmes)),
        aid_codes=next((each.aid_codes for each in latest_first if each.aid_codes), ()),
        name=next((each.name for each in latest_first if each.name), ""),
        sex=next((each.sex for each in latest_first if each.sex), ""),
        zip=next((each.zip for each in latest_first if each.zip), ""),
        phone=next((each.phone for each in latest_first if each.phone), ""),
        ecm=next((each.ecm for each in latest_first if each.ecm is not None), None),
    )
    return with_spans(joined, (span for each in documents for span in each.enrolment))
