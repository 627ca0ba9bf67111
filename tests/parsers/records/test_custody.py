"""Custody records: rows to JSON and back, times in California, faults by line."""

from __future__ import annotations

import json

import pytest

from domain.errors import Refusal
from domain.times import instant
from parsers.records.custody import encode_custody, load_custody, read_custody

HEADER = "record_id,kind,facility,facility_type,occurred,scheduled,cin,identifiers\n"


def test_a_csv_row_becomes_a_record_with_california_times() -> None:
    rows = (
        "B1,Booked,LA Twin Towers,jail,2026-01-15 08:30,,91234567A,LASD|55;CDCR|9\n"
        "B2,scheduled,LA Twin Towers,jail,,2026-07-01,91234567A,\n"
        "B3,released,LA Twin Towers,jail,2026-07-01T09:00:00-07:00,,91234567A,\n"
    )
    loaded = load_custody((HEADER + rows).encode(), source="mif")
    assert loaded.faults == ()
    booked, scheduled, released = loaded.documents
    assert booked.occurred == instant("2026-01-15T08:30:00-08:00")
    assert scheduled.scheduled == instant("2026-07-01T00:00:00-07:00")
    assert released.occurred == instant("2026-07-01T16:00:00+00:00")
    assert (booked.key, scheduled.key, booked.source) == ("LASD|55", "CIN|91234567A", "mif")
    assert json.loads(encode_custody(booked)) == {
        "record_id": "B1",
        "kind": "booked",
        "facility": "LA Twin Towers",
        "facility_type": "jail",
        "occurred": "2026-01-15T08:30:00-08:00",
        "scheduled": None,
        "cin": "91234567A",
        "identifiers": [{"authority": "LASD", "number": "55"}, {"authority": "CDCR", "number": "9"}],
        "source": "mif",
    }
    assert all(read_custody(encode_custody(each)) == each for each in loaded.documents)


def test_a_record_without_an_id_gets_the_same_one_each_time() -> None:
    row = b"kind,occurred,cin\nreleased,2026-07-01,91234567A\n"
    (first,), (again,) = load_custody(row).documents, load_custody(row).documents
    assert first == again
    assert first.record_id
    (other,) = load_custody(row.replace(b"07-01", b"07-02")).documents
    assert other.record_id != first.record_id


def test_every_bad_row_is_listed() -> None:
    rows = (
        "B1,freed,J,jail,2026-07-01,,91234567A,\n"  # 2: no such kind
        "B2,released,J,jail,,,91234567A,\n"  # 3: no time
        "B3,released,J,jail,2026-13-01,,91234567A,\n"  # 4: no such time
        "B4,released,J,jail,2026-07-01,,91234567B,\n"  # 5: bad letter
        "B5,released,J,jail,2026-07-01,,,\n"  # 6: nobody
        "B6,released,J,castle,2026-07-01,,91234567A,\n"  # 7
        ",deleted,J,jail,,,91234567A,\n"  # 8: which one?
        "B8,released,J,jail,2026-07-01,,,LASD\n"  # 9: half an identifier
    )
    loaded = load_custody((HEADER + rows).encode())
    assert [(fault.line, fault.field) for fault in loaded.faults] == [
        (2, "kind"),
        (3, "occurred"),
        (4, "occurred"),
        (5, "cin"),
        (6, "identifiers"),
        (7, "facility_type"),
        (8, "record_id"),
        (9, "identifiers"),
    ]
    assert loaded.documents == ()


def test_a_record_is_taken_back_by_its_id_alone() -> None:
    (record,) = load_custody((HEADER + "B1,deleted,,,,,,LASD|55\n").encode()).documents
    assert (record.kind, record.occurred, record.key) == ("deleted", None, "LASD|55")


@pytest.mark.parametrize("value", [b"", b"7", b"{}", b'{"kind":"released","cin":"91234567A"}'])
def test_a_value_that_is_no_custody_record_is_refused(value: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        read_custody(value)
    assert refused.value.code == "bad-custody"


def test_a_time_before_there_were_any_records_is_a_fault_and_an_empty_file_too() -> None:
    assert [
        fault.field for fault in load_custody((HEADER + "B1,released,J,jail,1700-01-01,,,LASD|5\n").encode()).faults
    ] == ["occurred"]
    assert [fault.reason for fault in load_custody(HEADER.encode()).faults] == ["no rows"]


@pytest.mark.parametrize("field", ["record_id", "facility", "source", "identifiers"])
def test_a_value_that_is_too_long_to_copy_is_a_fault(field: str) -> None:
    row: dict[str, object] = {"kind": "deleted", "record_id": "R1", "cin": "91234567A"}
    row[field] = ["GENHOSP|" + "x" * 200] if field == "identifiers" else "x" * 200
    with pytest.raises(Refusal) as refused:
        read_custody(json.dumps(row).encode())
    assert (refused.value.code, refused.value.place) == ("bad-custody", field)
