"""`custody.raw.v1`: bookings, releases and transfers of jails, prisons and youth facilities, as JSON and file rows.

Plans in California get them in member information files; ADT has none (discharge status 21 is a transfer into custody).
A record is corrected by a new one with its `record_id`, and deleted by one of kind `deleted`
(docs/records.md#custodyrawv1).
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Final

import msgspec

from domain.errors import Refusal
from domain.identity import patient_key
from domain.times import rfc3339
from parsers.records.files import NOT_AN_OBJECT, Loaded, Row, json_object
from parsers.records.tables import loaded, rows_of

FIELDS: Final = frozenset(
    ("record_id", "kind", "facility", "facility_type", "occurred", "scheduled", "cin", "identifiers", "source")
)
KINDS: Final = frozenset({"booked", "scheduled", "released", "transferred", "deleted"})
FACILITY_TYPES: Final = frozenset({"jail", "prison", "youth-facility", "psychiatric", "hospital", "other"})
_TIME_OF: Final = {"booked": "occurred", "released": "occurred", "transferred": "occurred", "scheduled": "scheduled"}


class CustodyRecord(msgspec.Struct, frozen=True, gc=False):
    """One record of `custody.raw.v1`. Times are ms UTC; `identifiers` are patient keys, `authority|number`."""

    record_id: str
    kind: str
    """booked, scheduled, released, transferred, or deleted."""
    occurred: int | None = None
    scheduled: int | None = None
    facility: str = ""
    facility_type: str = ""
    cin: str | None = None
    identifiers: tuple[str, ...] = ()
    source: str = ""

    @property
    def key(self) -> str:
        """The record's key on the topic: the first identifier, else `CIN|` and the CIN."""
        return self.identifiers[0] if self.identifiers else f"CIN|{self.cin}"


_ENCODER: Final = msgspec.json.Encoder()


def encode_custody(record: CustodyRecord) -> bytes:
    """The JSON of a custody record (docs/records.md#custodyrawv1), times as RFC 3339."""
    numbers = [key.partition("|") for key in record.identifiers]
    return _ENCODER.encode(
        {
            "record_id": record.record_id,
            "kind": record.kind,
            "facility": record.facility,
            "facility_type": record.facility_type,
            "occurred": None if record.occurred is None else rfc3339(record.occurred),
            "scheduled": None if record.scheduled is None else rfc3339(record.scheduled),
            "cin": record.cin,
            "identifiers": [{"authority": authority, "number": number} for authority, _, number in numbers],
            "source": record.source,
        }
    )


def read_custody(value: bytes) -> CustodyRecord:
    """A custody record from its JSON. Raises Refusal `bad-custody`; its place is the first invalid field."""
    values = json_object(value)
    if values is None:
        raise Refusal("bad-custody", "", NOT_AN_OBJECT)
    row = Row(1, values)
    record = _record(row)
    if record is None:
        raise Refusal("bad-custody", row.faults[0].field, row.faults[0].reason)
    return record


def load_custody(data: bytes, mapping: Mapping[str, str] | None = None, source: str = "file") -> Loaded[CustodyRecord]:
    """The records of a custody file, and its faults (`parsers.records.tables.rows_of` describes the formats).

    `source` is the source of records without one.
    """
    table = rows_of(data, FIELDS, mapping)
    records: list[CustodyRecord] = []
    for row in table.rows:
        record = _record(row, source)
        if record is not None:
            records.append(record)
    return loaded(table, records, rejected=frozenset())


def _record(row: Row, source: str = "") -> CustodyRecord | None:
    kind = row.word("kind", KINDS)
    if not kind and not row.text("kind"):
        row.fault("kind", "missing")
    cin = row.cin("cin")
    identifiers = tuple(patient_key(each.authority, each.number) for each in row.identifiers("identifiers"))
    if not identifiers and not row.text("cin") and not row.items("identifiers"):
        row.fault("identifiers", "missing, and no cin either")
    occurred, scheduled = row.instant("occurred"), row.instant("scheduled")
    wanted = _TIME_OF.get(kind)
    if wanted and not row.text(wanted):
        row.fault(wanted, f"missing (a record of kind {kind} needs it)")
    record = CustodyRecord(
        record_id=row.text("record_id"),
        kind=kind,
        occurred=occurred,
        scheduled=scheduled,
        facility=row.text("facility"),
        facility_type=row.word("facility_type", FACILITY_TYPES),
        cin=cin,
        identifiers=identifiers,
        source=row.text("source") or source,
    )
    if kind == "deleted" and not record.record_id:
        row.fault("record_id", "missing (required to delete a record)")
    if row.faults:
        return None
    return record if record.record_id else msgspec.structs.replace(record, record_id=_own_id(record))


def _own_id(record: CustodyRecord) -> str:
    """The ID of a record without one: a hash of its content, so that a repeat changes nothing."""
    content = (record.key, record.kind, record.facility, record.occurred, record.scheduled)
    return "r_" + sha256(repr(content).encode()).hexdigest()[:20]
