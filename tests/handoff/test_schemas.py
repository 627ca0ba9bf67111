"""Published schemas: the same as the Structs, true of what is written, and not broken by a change."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agents.topics import ALERTS, ARCHIVE, CANDIDATES, TRANSITIONS, UTILIZATION, WATCHLIST
from handoff.schemas import broken_by, schemas, write
from parsers.records.documents import DOCUMENTS
from tests.support.member import Member, a_release, a_visit, at

COMMITTED = Path(__file__).parents[2] / "schemas"
OF_TOPIC = {
    CANDIDATES: "candidate",
    WATCHLIST: "watch",
    TRANSITIONS: "transition",
    ALERTS: "alert",
    UTILIZATION: "utilization",
    ARCHIVE: "archive",
}


def test_the_committed_schemas_are_what_the_structs_say(tmp_path: Path) -> None:
    written = write(tmp_path / "new")
    assert {path.name for path in COMMITTED.glob("*.v1.json")} >= {path.name for path in written}
    for path in written:
        assert path.read_text() == (COMMITTED / path.name).read_text(), f"{path.name}: run `python -m handoff.schemas`"


def test_every_document_reads_back_by_its_struct() -> None:
    member = Member(archive_at=1)
    member.roster(ecm={"status": "enrolled", "from": "2026-07-01", "provider": "Care Org"})
    member.tell(a_visit("old", "2023-03-01", received=at("2026-01-01")))
    for number in range(5):
        member.tell(a_visit(f"e{number}", f"2026-03-{number + 1:02}", diagnoses=("I10",)))
    member.tell(a_release("R1", "2026-04-01"), a_visit("x", "2026-07-02"))
    seen = set()
    for emit in member.emits:
        if emit.value is not None:
            kind = DOCUMENTS[OF_TOPIC[emit.topic]]
            strict = msgspec.json.decode(emit.value, type=msgspec.defstruct("Strict", [], bases=(kind,), kw_only=True))
            assert json.loads(msgspec.json.encode(strict)) == json.loads(emit.value)
            seen.add(OF_TOPIC[emit.topic])
    assert seen == set(DOCUMENTS)


def test_a_schema_does_not_break_itself() -> None:
    for schema in schemas().values():
        assert broken_by(schema, copy.deepcopy(schema)) == []


def _candidate() -> dict[str, Any]:
    return copy.deepcopy(schemas()["candidate.v1.json"])


def test_a_new_property_breaks_nothing() -> None:
    new = _candidate()
    new["$defs"]["Candidate"]["properties"]["more"] = {"type": "string"}
    new["$defs"]["Candidate"]["required"].append("more")
    assert broken_by(_candidate(), new) == []


@pytest.mark.parametrize(
    ("where", "name", "change", "fault"),
    [
        ("Candidate", "plan", None, ".plan: gone"),
        ("Candidate", "plan", {"type": "integer"}, ".plan: may now be integer"),
        ("Candidate", "plan", {"anyOf": [{"type": "string"}, {"type": "null"}]}, ".plan: may now be null"),
        ("Evidence", "class", None, ".evidence[].class: gone"),
        ("MessageDocument", "at", {"type": "integer"}, ".evidence[].messages[].at: may now be integer"),
        ("Trigger", "kind", None, ".trigger.kind: gone"),
    ],
)
def test_what_a_reader_would_trip_over(where: str, name: str, change: dict[str, Any] | None, fault: str) -> None:
    new = _candidate()
    properties = new["$defs"][where]["properties"]
    if change is None:
        del properties[name]
    else:
        properties[name] = change
    assert fault in broken_by(_candidate(), new)


def test_what_is_no_longer_always_there() -> None:
    new = _candidate()
    new["$defs"]["Candidate"]["required"].remove("county")
    assert broken_by(_candidate(), new) == [".county: no longer always there"]


def test_a_map_is_looked_into() -> None:
    old = copy.deepcopy(schemas()["utilization.v1.json"])
    new = copy.deepcopy(old)
    del new["$defs"]["UtilizationWindow"]["properties"]["snf"]
    assert broken_by(old, new) == [".windows[].snf: gone"]
