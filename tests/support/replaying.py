"""Runs a county or a story through the real decisions, in memory, and keeps what came out last under each key."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from agents.runtime.contract import Emit
from domain.times import MINUTE, instant
from handoff.declarations.rules import load_rules
from handoff.declarations.senders import load_senders
from handoff.replay import Replay
from parsers.hl7.adt import patient_key_of
from parsers.hl7.profiles import Profiles
from parsers.records.custody import encode_custody, load_custody
from parsers.records.documents import LIVE_STATUSES
from parsers.records.roster_documents import encode_roster
from parsers.records.roster_file import load_roster
from simulator.county import County
from simulator.places import SENDERS
from tests.support.scenarios import Scenario

PROFILES = load_senders(SENDERS)
RULES = load_rules(Path(__file__).parents[2] / "rules")
LIVE = LIVE_STATUSES

Heard = tuple[int, str, dict[str, Any]]
"""(received, roster | custody | message, document)."""


class Played:
    """What stands after `heard` was decided in its order and the clock went on to `end` (ms UTC).

    Messages are read with `profiles`: the county's own unless published otherwise.
    """

    def __init__(self, heard: Iterable[Heard], end: int, profiles: Profiles = PROFILES) -> None:
        self._profiles = profiles
        self.candidates: dict[str, dict[str, Any]] = {}
        self.watches: dict[str, dict[str, Any]] = {}
        self.transitions: dict[str, dict[str, Any]] = {}
        self.utilization: dict[str, dict[str, Any]] = {}
        self.unattributed: dict[str, str] = {}
        """Patient key -> reason."""
        self.alerts: list[dict[str, Any]] = []
        self.replay = Replay(profiles, RULES, self._take)
        for received, kind, document in heard:
            getattr(self, f"_{kind}")(received, document)
        self.replay.finish(end)

    def counts(self, member: str, months: int) -> dict[str, int]:
        """What is counted for a member over so many months: ed, inpatient, snf."""
        window = self.utilization[member]["windows"][f"{months}mo"] if member in self.utilization else {}
        return {name: window.get(name, 0) for name in ("ed", "inpatient", "snf")}

    def live_watches(self) -> set[tuple[str, str]]:
        """(member, population) of all that stand on the watch list."""
        return {(each["member_id"], each["population"]) for each in self.watches.values() if each["status"] in LIVE}

    def _take(self, topic: str, emit: Emit) -> None:
        key = (emit.key or b"").decode()
        document = json.loads(emit.value) if emit.value and topic != "adt.dead-letters.v1" else None
        match topic:
            case "ecm.alerts.v1":
                self.alerts.append(document)
            case "member.transitions.v1":
                self.transitions[document["transition_id"]] = document
            case "adt.unattributed.v1" if document is None:
                self.unattributed.pop(key, None)
            case "adt.unattributed.v1":
                self.unattributed[key] = document["reason"]
            case "ecm.candidates.v1" | "ecm.watchlist.v1" | "member.utilization.v1":
                table = {"ecm.candidates.v1": self.candidates, "ecm.watchlist.v1": self.watches}.get(topic)
                table = self.utilization if table is None else table
                if document is None:
                    table.pop(key, None)
                else:
                    table[key] = document

    def _roster(self, received: int, document: dict[str, Any]) -> None:
        (row,) = load_roster(msgspec.json.encode(document)).documents
        self.replay.put("members.roster.v1", row.member_id, encode_roster(row), received)

    def _custody(self, received: int, document: dict[str, Any]) -> None:
        (record,) = load_custody(msgspec.json.encode(document)).documents
        self.replay.put("custody.raw.v1", record.key, encode_custody(record), received)

    def _message(self, received: int, document: dict[str, Any]) -> None:
        raw, sender = document["hl7"].encode(), document["sender"]
        key = patient_key_of(raw, self._profiles.named(sender)) or f"{sender}|"
        self.replay.put("adt.raw.v1", key, raw, received, sender)


def play_county(county: County) -> Played:
    """A county: its roster first, then messages and custody records as they are received."""
    start, end = county.messages[0].received, county.world.end
    heard: list[Heard] = [(start, "roster", row) for row in county.roster]
    dated: list[Heard] = [
        (instant(row["occurred"]) + MINUTE if row["occurred"] else end - MINUTE, "custody", row)
        for row in county.custody
    ]
    dated += [(each.received, "message", {"hl7": each.hl7, "sender": each.sender}) for each in county.messages]
    return Played([*heard, *sorted(dated, key=lambda each: each[0])], end)


def play_scenario(story: Scenario) -> Played:
    """A story, as it is published."""
    return Played([(line.received, line.kind, line.document) for line in story.timeline()], story.end)
