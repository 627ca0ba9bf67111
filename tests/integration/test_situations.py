"""Every situation over MLLP through the live system: it ends as the same messages do in memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from handoff.demo import run
from handoff.settings import load_settings
from handoff.system import System
from parsers.records.documents import LIVE_STATUSES
from streams.kafka.read import documents, latest, snapshot
from tests.support.adt_scenarios import differences
from tests.support.cases import Case, cases, scenarios


@pytest.mark.kafka
def test_every_situation_ends_in_the_live_system_as_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = [case.of_its_own(number) for number, case in enumerate([*scenarios(), *cases()], 100)]
    with System(tmp_path / "data", load_settings(), console=False, quick=True) as system:
        monkeypatch.setenv("HANDOFF_KAFKA__BOOTSTRAP", system.addresses["bootstrap"])
        kafka = system.kafka_settings
        run.feed_roster(kafka, b"\n".join(msgspec.json.encode(row) for case in everything for row in case.roster))
        sent = run.send_messages(system, [raw for case in everything for raw in case.shuffled(1)], 1)
        assert set(sent.codes) == {"AA"}
        run.drain(system, 120.0)
        now = run.now_ms()
        run.tick(kafka, now)
        run.drain(system, 60.0)
        found = _outcomes(system, everything)
        assert not list(latest(kafka, "adt.dead-letters.v1"))
    wrong = {}
    for case in everything:
        expected = case.play(case.messages, now)
        expected["visits"] = [visit for visit in expected["visits"] if visit[1]]
        compared = {name: expected[name] for name in found[case.name]}
        if different := differences(compared, found[case.name]):
            wrong[case.name] = different
    assert wrong == {}


def _outcomes(system: System, everything: list[Case]) -> dict[str, dict[str, Any]]:
    """Case -> what the live topics end with, in the form of `outcome`."""
    kafka = system.kafka_settings
    case_of = {member: case.name for case in everything for member in case.members()}
    found: dict[str, dict[str, Any]] = {
        case.name: {"live": [], "transitions": {}, "visits": [], "ed6": {}, "inpatient6": {}, "snf6": {}}
        for case in everything
    }
    for each in documents(kafka, "ecm.candidates.v1").values():
        if each["status"] in LIVE_STATUSES:
            found[case_of[each["member_id"]]]["live"].append([each["member_id"], each["population"]])
    transitions: dict[str, dict[str, Any]] = {}
    visits: dict[tuple[str, str, str], dict[str, Any]] = {}
    for record in snapshot(kafka, ["member.transitions.v1", "member.visits.v1"]):
        value = json.loads(record.value or b"{}")
        if "transition_id" in value:
            transitions[value["transition_id"]] = value
        elif "class" in value:
            visits[(record.key or b"").decode(), value["patient"], value["visit"]] = value
    for each in transitions.values():
        if each["status"] == "asserted":
            kinds = found[case_of[each["member_id"]]]["transitions"]
            kinds[each["kind"]] = kinds.get(each["kind"], 0) + 1
    for (member, _, visit), each in visits.items():
        if each["status"] != "withdrawn":
            found[case_of[member]]["visits"].append([visit, member, each["status"], each["class"]])
    for member, each in documents(kafka, "member.utilization.v1").items():
        window = each["windows"]["6mo"]
        for name, field in (("ed6", "ed"), ("inpatient6", "inpatient"), ("snf6", "snf")):
            found[case_of[member]][name][member] = window.get(field, 0)
    for outcome in found.values():
        outcome["live"].sort()
        outcome["visits"].sort()
    return found
