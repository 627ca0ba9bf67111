"""Feeds the batch oracle (visits.sql, owners.sql, batch.sql): reads with the product's reader, and folds nothing.

What SQL is asked for is everything after reading: which statements hold, what a visit is, whose it is, what counts.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from domain.patient.events import DELETED, When
from domain.times import instant
from parsers.hl7.adt import read_adt
from parsers.hl7.profiles import Profiles
from simulator.county import County
from simulator.world import OFFSETS, day_of
from tests.support.replaying import PROFILES, RULES

PARTS = {
    name: Path(__file__).with_name(name).read_text(encoding="utf-8")
    for name in ("visits.sql", "owners.sql", "batch.sql")
}
"""The oracle's SQL, in the order in which it is run."""
VALUE_SETS = Path(__file__).parents[2] / "rules" / "value_sets"
EPOCH = date(1970, 1, 1).toordinal()
TEXT, NUMBER, FLAG, TEXTS = "VARCHAR", "BIGINT", "BOOLEAN", "VARCHAR[]"

TABLES: dict[str, dict[str, str]] = {
    "said": {
        **dict.fromkeys(("patient", "trigger", "control", "cin", "visit", "prior", "class", "facility"), TEXT),
        **dict.fromkeys(("admission_type", "disposition", "account", "born", "name", "sex"), TEXT),
        **dict.fromkeys(("recorded", "built", "sequence", "occurred", "begun", "ended", "died"), NUMBER),
        "diagnoses": TEXTS,
        "shared": FLAG,
    },
    "pairs": {
        **dict.fromkeys(("survivor", "retired", "unit", "former", "control"), TEXT),
        **dict.fromkeys(("recorded", "built", "sequence"), NUMBER),
    },
    "numbers": {"patient": TEXT, "member": TEXT},
    "alike": {"patient": TEXT, "member": TEXT},
    "roster": {
        **dict.fromkeys(("member", "ecm", "born_on", "name", "sex"), TEXT),
        **dict.fromkeys(("born", "ecm_from", "ecm_to"), NUMBER),
        "aid_codes": TEXTS,
    },
    "enrolled": {"member": TEXT, "plan": TEXT, "county": TEXT, "begins": NUMBER, "ends": NUMBER},
    "programmes": {"member": TEXT, "id": TEXT, "begins": NUMBER, "ends": NUMBER, "verified": FLAG},
    "excludes": {"id": TEXT, "begins": NUMBER, "ends": NUMBER},
    "served": {"county": TEXT, "population": TEXT, "day": NUMBER},
    "released": {"member": TEXT, "record": TEXT, "moment": NUMBER, "facility_type": TEXT},
    "codes": {"name": TEXT, "prefix": TEXT},
    "clock": {"begins": NUMBER, "offset_ms": NUMBER},
    "end_at": {"now": NUMBER, "today": NUMBER},
}


class Batch:
    """The oracle's answer for one county."""

    def __init__(self, county: County, folder: Path, parts: Iterable[str] = tuple(PARTS.values())) -> None:
        self.base = duckdb.connect(config={"threads": 2})
        for name, rows in _rows(county).items():
            self._load(name, rows, folder)
        for part in parts:
            self.base.execute(part)

    def visits(self) -> dict[str, dict[str, Any]]:
        """Visit key -> member, status, class, start, departed, disposition of every visit that some member has."""
        names = ("visit", "member", "status", "class", "facility", "arrived", "admitted", "departed", "disposition")
        rows = self.base.execute(f"select {', '.join(names)} from visits").fetchall()
        return {row[0]: dict(zip(names, row, strict=True)) for row in rows}

    def counts(self) -> dict[tuple[str, int], dict[str, int]]:
        """(member, months) -> what is counted up to the end; members with nothing are left out."""
        rows = self.base.execute("select member, months, ed, inpatient, snf from counts").fetchall()
        return {(row[0], row[1]): dict(zip(("ed", "inpatient", "snf"), row[2:], strict=True)) for row in rows}

    def candidates(self) -> dict[tuple[str, str], set[str]]:
        """(member, population) -> keys of what may have opened it, of all that are live."""
        rows = self.base.execute("select member, population, openers from candidates").fetchall()
        return {(row[0], row[1]): set(row[2]) for row in rows}

    def refusals(self) -> dict[str, str]:
        """Patient -> why nobody has the visits, of those with a number that is refused."""
        return dict(self.base.execute("select patient, reason from refusals").fetchall())

    def _load(self, name: str, rows: Iterable[Mapping[str, Any]], folder: Path) -> None:
        columns = TABLES[name]
        self.base.execute(f"create table {name} ({', '.join(f'{each} {kind}' for each, kind in columns.items())})")
        path = folder / f"{name}.jsonl"
        path.write_bytes(b"\n".join(msgspec.json.encode(row) for row in rows))
        if path.stat().st_size:
            read = "read_json(?, format='newline_delimited', columns=?)"
            self.base.execute(f"insert into {name} select {', '.join(columns)} from {read}", [str(path), columns])


def _rows(county: County) -> dict[str, list[dict[str, Any]]]:
    said, pairs = _read(county, PROFILES)
    end = county.world.end
    return {
        "said": said,
        "pairs": pairs,
        "numbers": [
            {"patient": f"{each['authority']}|{each['number']}", "member": row["member_id"]}
            for row in county.roster
            for each in row["identifiers"]
        ],
        "alike": _alike(county, PROFILES),
        "roster": [_member(row) for row in county.roster],
        "enrolled": [
            {
                "member": row["member_id"],
                "plan": span["plan"],
                "county": span["county"],
                "begins": _day(span["from"]),
                "ends": _day(span["to"]),
            }
            for row in county.roster
            for span in spans_of(row)
        ],
        "programmes": [
            {
                "member": row["member_id"],
                "id": each["id"],
                "begins": _day(each["from"]),
                "ends": _day(each["to"]),
                "verified": each["verified"],
            }
            for row in county.roster
            for each in row["programmes"]
        ],
        "excludes": [
            {"id": each.id, "begins": _epoch(each.valid_from), "ends": _epoch(each.valid_to)}
            for each in RULES.exclusions
        ],
        "served": _served({span["county"] for row in county.roster for span in spans_of(row)}),
        "released": [
            {
                "member": row["cin"],
                "record": row["record_id"],
                "moment": instant(row["occurred"]),
                "facility_type": row["facility_type"],
            }
            for row in county.custody
            if row["kind"] == "released"
        ],
        "codes": list(_codes()),
        "clock": [
            {"begins": begins, "offset_ms": offset}
            for begins, offset in zip(OFFSETS.changes, OFFSETS.offsets, strict=True)
        ],
        "end_at": [{"now": end, "today": day_of(end) - EPOCH}],
    }


def _read(county: County, profiles: Profiles) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    said: list[dict[str, Any]] = []
    pairs: list[dict[str, Any]] = []
    for message in county.messages:
        event = read_adt(message.hl7.encode(), profiles.named(message.sender))
        visit = event.visit
        when = {
            "control": event.control_id,
            "recorded": event.recorded,
            "built": event.built,
            "sequence": -1 if event.sequence is None else event.sequence,
        }
        row: dict[str, Any] = when | {
            "patient": event.patient,
            "trigger": event.trigger,
            "cin": event.cin,
            "born": event.birth_date,
            "name": _name(event.family_name, event.given_name),
            "sex": event.sex,
            "died": -1 if event.died == DELETED else event.died.at if isinstance(event.died, When) else None,
            "occurred": None if event.occurred is None else event.occurred.at,
        }
        if visit is not None:
            row |= {
                "visit": visit.key,
                "shared": not visit.numbered,
                "prior": visit.prior_visit,
                "account": visit.account,
                "class": visit.patient_class,
                "facility": visit.facility,
                "admission_type": visit.admission_type,
                "disposition": visit.disposition,
                "begun": visit.admitted.at if isinstance(visit.admitted, When) else None,
                "ended": visit.departed.at if isinstance(visit.departed, When) else None,
                "diagnoses": visit.diagnoses,
            }
        said.append(row)
        pairs += [
            when | {"survivor": merge.survivor, "retired": merge.other, "unit": merge.unit, "former": merge.former}
            for merge in event.merges
        ]
        if event.partner is not None:
            unit = {"A24": "link", "A37": "unlink"}[event.trigger]
            pairs.append(when | {"survivor": event.patient, "retired": event.partner, "unit": unit})
    return said, pairs


def _name(family: str | None, given: str | None) -> str:
    return f"{family or ''}, {given or ''}".upper()


def _alike(county: County, profiles: Profiles) -> list[dict[str, Any]]:
    """Patients whose name, birth date and one of sex, ZIP and phone are those of one member, and of no other."""
    members: dict[tuple[str, ...], set[str]] = {}
    for row in county.roster:
        family, given = row["name"].upper().split(", ", 1)
        for more in ("sex", "zip", "phone"):
            if row.get(more):
                members.setdefault((family, given, row["birth_date"], more, row[more]), set()).add(row["member_id"])
    found: dict[str, set[str]] = {}
    for message in county.messages:
        event = read_adt(message.hl7.encode(), profiles.named(message.sender))
        name = ((event.family_name or "").upper(), (event.given_name or "").upper(), event.birth_date or "")
        for more, value in (("sex", event.sex), ("zip", event.zip), ("phone", event.phone)):
            known = members.get((*name, more, value or ""), set())
            if len(known) == 1:
                found.setdefault(event.patient, set()).update(known)
    return [{"patient": patient, "member": min(known)} for patient, known in found.items() if len(known) == 1]


def spans_of(row: dict[str, Any]) -> list[dict[str, Any]]:
    """The spans of enrollment of a roster row."""
    one = {"plan": row["plan"], "county": row["county"], "from": row["enrolled_from"], "to": row["enrolled_to"]}
    return row.get("enrolment") or [one]


def _member(row: dict[str, Any]) -> dict[str, Any]:
    ecm = row["ecm"] or {}
    return {
        "member": row["member_id"],
        "born": _day(row["birth_date"]),
        "born_on": row["birth_date"],
        "name": row["name"].upper(),
        "sex": row["sex"],
        "aid_codes": row["aid_codes"],
        "ecm": ecm.get("status", ""),
        "ecm_from": _day(ecm.get("from")),
        "ecm_to": _day(ecm.get("to")),
    }


def _served(counties: Iterable[str]) -> list[dict[str, Any]]:
    declared = {(line.county, line.population): line.day - EPOCH for line in RULES.go_live}
    populations = {population for _, population in declared}
    return [
        {"county": county, "population": each, "day": declared.get((county, each), declared.get(("*", each)))}
        for county in counties
        for each in populations
    ]


def _codes() -> Iterable[dict[str, Any]]:
    for path in sorted(VALUE_SETS.glob("*.csv")):
        with path.open(newline="", encoding="utf-8") as lines:
            for row in csv.DictReader(lines):
                yield {"name": path.stem, "prefix": row["code"].replace(".", "").upper()}


def _day(text: str | None) -> int | None:
    return None if text is None else date.fromisoformat(text).toordinal() - EPOCH


def _epoch(day: int | None) -> int | None:
    return None if day is None else day - EPOCH
