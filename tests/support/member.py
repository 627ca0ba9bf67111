"""A member stage in memory for one member: facts in at chosen times, documents out."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from agents.refer import stage
from agents.refer.archive import ARCHIVE_AT
from agents.runtime.contract import Context, Doubtful, Emit, Record
from agents.topics import ALERTS, CANDIDATES, DISPOSITIONS, ROSTER, TICKS, TRANSITIONS, UTILIZATION, VISITS, WATCHLIST
from domain.member.row import MemberRow
from domain.rules.rulebook import Rulebook
from domain.rules.ruleset import RuleSet
from domain.snapshots import CustodySnapshot, Source, Visit, VisitSnapshot
from domain.times import CALIFORNIA
from handoff.declarations.rules import load_rules
from parsers.records.documents import comparable
from parsers.records.visits import encode_snapshot

MEMBER = "91234567A"
HOME = Path(__file__).parents[2]


@lru_cache(maxsize=1)
def the_rules() -> RuleSet:
    """The rule set of this repository."""
    return load_rules(HOME / "rules")


@lru_cache(maxsize=1)
def the_book() -> Rulebook:
    """The same, ready for judging."""
    return Rulebook(the_rules())


def at(text: str) -> int:
    """Ms UTC of a California time: "2026-03-01" (noon) or "2026-03-01 10:30"."""
    moment = datetime.fromisoformat(text if len(text) > 10 else f"{text} 12:00").replace(tzinfo=CALIFORNIA)
    return round(moment.timestamp() * 1000)


def a_visit(key: str, arrived: str, kind: str = "emergency", **fields: Any) -> VisitSnapshot:
    """A visit snapshot; times as text, departure an hour after arrival unless given (None: still there)."""
    start = at(arrived)
    departed = fields.pop("departed", "")
    left = start + 3_600_000 if departed == "" else None if departed is None else at(departed)
    admitted = fields.pop("admitted", None)
    flags = fields.pop("flags", ())
    patient = fields.pop("patient", "GENHOSP|100")
    base: dict[str, Any] = {
        "patient": patient,
        "key": f"GENHOSP|{key}",
        "revision": 1,
        "status": "open" if left is None else "closed",
        "patient_class": kind,
        "received": fields.pop("received", left or start),
        "arrived": start,
        "admitted": at(admitted) if admitted else (start if kind == "inpatient" else None),
        "departed": left,
        "facility": "General",
        "facility_type": "hospital",
        "admission_type": "1",
        "disposition": "" if left is None else "01",
        "disposition_group": "" if left is None else "HOME",
        "flags": flags,
        "messages": (Source("general", f"M{key}", "adt.raw.v1/0/1"),),
    }
    base.update(fields)
    return snapshot_of(**base)


def snapshot_of(
    patient: str, key: str, revision: int, received: int, *, weak: bool = False, **visit: Any
) -> VisitSnapshot:
    """A visit snapshot from the fields of its visit."""
    return VisitSnapshot(patient, key, revision, received, Visit(**visit), weak)


def a_release(key: str, when: str, kind: str = "released", **fields: Any) -> CustodySnapshot:
    """A custody snapshot."""
    base: dict[str, Any] = {
        "patient": "JAIL|7",
        "record_id": key,
        "revision": 1,
        "status": "asserted",
        "kind": kind,
        "received": at(when),
        "occurred": at(when),
        "facility": "County Jail",
        "facility_type": "jail",
        "messages": (Source("mif", key, "custody.raw.v1/0/1"),),
    }
    base.update(fields)
    return CustodySnapshot(**base)


def a_roster(**fields: Any) -> dict[str, Any]:
    """A roster row of an adult in Los Angeles. `enrolment` replaces the fields of the one span."""
    row = {
        "member_id": MEMBER,
        "cin": MEMBER,
        "birth_date": "1980-01-01",
        "plan": "lacare",
        "county": "Los Angeles",
        "enrolled_from": "2020-01-01",
        "aid_codes": ["M1"],
        "name": "Ana Invented",
        "phone": "213-555-0101",
        **fields,
    }
    of_one_span = ("plan", "county", "enrolled_from", "enrolled_to") if fields.get("enrolment") else ()
    return {name: value for name, value in row.items() if name not in of_one_span}


class Member:
    """The member stage of one member. `now` is the partition's clock and moves on with what is taken."""

    def __init__(self, rules: RuleSet | None = None, *, source: str = "handoff", archive_at: int = ARCHIVE_AT) -> None:
        self.stage = stage(rules or the_rules(), source=source, archive_at=archive_at)
        self.row: MemberRow | None = None
        self.now = 0
        self.emits: list[Emit] = []
        self.offset = 0
        self.doubts: list[str] = []
        """Codes of records that were refused and kept."""

    def take(self, topic: str, value: bytes | None, received: int, key: str = MEMBER) -> list[Emit]:
        """One record."""
        self.now = max(self.now, received)
        self.offset += 1
        record = Record(topic, 0, self.offset, key.encode(), value, received, {"received": str(received).encode()})
        try:
            self.row, emits = self.stage.decide(self.row, record, Context(self.now))
        except Doubtful as doubt:
            self.row, emits = doubt.row, doubt.emits
            self.doubts.append(doubt.code)
        if self.row is not None:
            # A row must survive the changelog, and be written when it was changed by being due.
            assert self.stage.decode(self.stage.encode(self.row)) == self.row
        self.emits += emits
        return emits

    def roster(self, received: str = "2020-01-01", **fields: Any) -> list[Emit]:
        """A roster row."""
        return self.take(ROSTER, json.dumps(a_roster(**fields)).encode(), at(received))

    def left_roster(self, received: str) -> list[Emit]:
        """The roster's tombstone."""
        return self.take(ROSTER, None, at(received))

    def tell(self, *snapshots: VisitSnapshot | CustodySnapshot) -> list[Emit]:
        """Snapshots, at their time of receipt."""
        return [
            emit
            for snapshot in snapshots
            for emit in self.take(VISITS, encode_snapshot(snapshot, MEMBER), snapshot.received)
        ]

    def answer(self, candidate: str, status: str, when: str, **fields: Any) -> list[Emit]:
        """What care management answered."""
        time = datetime.fromtimestamp(at(when) / 1000, tz=CALIFORNIA).isoformat()
        value = {"candidate_id": candidate, "status": status, "time": time, "actor": "care-team", **fields}
        return self.take(DISPOSITIONS, json.dumps(value).encode(), at(when))

    def tick(self, when: str | int) -> list[Emit]:
        """The time moves on: one tick if the row is due, and again while it is due."""
        now = when if isinstance(when, int) else at(when)
        emits: list[Emit] = []
        for _ in range(3):
            due = None if self.row is None else self.stage.next_due(self.row)
            if due is None or due > now:
                break
            emits += self.take(TICKS, json.dumps({"at": now}).encode(), now)
        else:
            raise AssertionError("a tick leaves the row due")
        self.now = max(self.now, now)
        return emits

    def last(self, topic: str, emits: Iterable[Emit] | None = None) -> dict[str, dict[str, Any]]:
        """The last document of each name on a topic."""
        found: dict[str, dict[str, Any]] = {}
        for emit in self.emits if emits is None else emits:
            if emit.topic != topic:
                continue
            subject = dict(emit.headers)["ce_subject"].decode()
            if emit.value is None:
                found.pop(subject, None)
            else:
                found[subject] = json.loads(emit.value)
        return found

    def candidates(self) -> list[dict[str, Any]]:
        """The last document of each candidate."""
        return list(self.last(CANDIDATES).values())

    def live(self) -> list[dict[str, Any]]:
        """The candidates that stand."""
        return [c for c in self.candidates() if c["status"] in ("raised", "amended")]

    def watches(self) -> list[dict[str, Any]]:
        """The watches that stand."""
        return list(self.last(WATCHLIST).values())

    def transitions(self) -> list[tuple[str, str]]:
        """(kind, status) of each transition, in order of time."""
        last = sorted(self.last(TRANSITIONS).values(), key=lambda t: (t["occurred"], t["kind"]))
        return [(t["kind"], t["status"]) for t in last]

    def alerts(self) -> list[dict[str, Any]]:
        """All alerts, in order."""
        return [json.loads(emit.value or b"") for emit in self.emits if emit.topic == ALERTS]

    def utilization(self) -> dict[str, Any] | None:
        """The last counts."""
        return next(iter(self.last(UTILIZATION).values()), None)

    def eligibility(self) -> dict[str, Any]:
        """What stands on all topics, history aside: what must not depend on the order of events."""
        return {
            "candidates": {c["candidate_id"]: comparable(c) for c in self.live()},
            "watches": {w["watch_id"]: comparable(w) for w in self.watches()},
            "transitions": {
                t["transition_id"]: comparable(t) for t in self.last(TRANSITIONS).values() if t["status"] == "asserted"
            },
            "utilization": comparable(self.utilization() or {}),
        }


def revised(snapshot: Any, **changes: Any) -> Any:
    """The snapshot's next revision."""
    return changed(snapshot, revision=snapshot.revision + 1, **changes)


def changed(snapshot: Any, **changes: Any) -> Any:
    """The snapshot with some of its fields, or of its visit's, changed."""
    if isinstance(snapshot, VisitSnapshot):
        inside = {name: changes.pop(name) for name in [*changes] if name in Visit.__struct_fields__}
        changes["visit"] = msgspec.structs.replace(snapshot.visit, **inside)
    return msgspec.structs.replace(snapshot, **changes)


def recount(candidate: dict[str, Any]) -> dict[str, int]:
    """Law 7: a candidate's own evidence, counted by somebody who knows nothing else."""
    columns = {
        "emergency": "ed",
        "observation": "ed",
        "inpatient": "inpatient",
        "newborn": "inpatient",
        "obstetrics": "inpatient",
        "snf": "snf",
        "custody": "release",
    }
    counts = dict.fromkeys(("ed", "inpatient", "snf", "release"), 0)
    for line in candidate["evidence"]:
        assert line["counted"] == (line["reason"] == "counted")
        if line["counted"]:
            counts[columns[line["class"]]] += 1
    return counts
