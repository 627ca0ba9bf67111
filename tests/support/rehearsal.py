"""A replay in memory for tests: documents in as a feed gives them, the last output documents out."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from agents.documents import settled
from agents.reconcile import CUSTODY, RAW
from agents.stage import Emit
from domain.rules import RuleSet
from domain.times import instant
from handoff.declarations.rules import load_rules
from handoff.declarations.senders import load_senders
from handoff.replay import Replay
from parsers.adt import patient_key_of
from parsers.custody import encode_custody, read_custody
from parsers.profiles import Profiles
from parsers.roster import encode_roster, read_roster
from simulator.places import SENDERS

ROOT = Path(__file__).parents[2]


@lru_cache
def rules() -> RuleSet:
    return load_rules(ROOT / "rules")


@lru_cache
def profiles() -> Profiles:
    return load_senders(SENDERS)


class Rehearsal:
    """Feed it, then ask for the documents that stand."""

    def __init__(self) -> None:
        self.emits: list[tuple[str, Emit]] = []
        self.run = Replay(profiles(), rules(), lambda topic, emit: self.emits.append((topic, emit)))

    def roster(self, document: dict[str, Any], received: int) -> None:
        read = read_roster(msgspec.json.encode(document))
        self.run.put("members.roster.v1", read.member_id, encode_roster(read), received)

    def custody(self, document: dict[str, Any], received: int) -> None:
        record = read_custody(msgspec.json.encode(document))
        self.run.put(CUSTODY, record.key, encode_custody(record), received)

    def message(self, document: dict[str, Any]) -> None:
        raw = document["hl7"].encode()
        key = patient_key_of(raw, profiles().named(document["sender"])) or "none"
        self.run.put(RAW, key, raw, instant(document["received"]), document["sender"])

    def messages(self, documents: Iterable[dict[str, Any]]) -> None:
        for document in documents:
            self.message(document)

    def records(self, topic: str) -> list[dict[str, Any]]:
        """Every document of a topic in order, tombstones left out."""
        return [json.loads(emit.value) for name, emit in self.emits if name == topic and emit.value is not None]

    def last(self, topic: str) -> dict[str, dict[str, Any]]:
        """The last document of each key (of each transition), tombstoned keys gone."""
        found: dict[str, dict[str, Any]] = {}
        for name, emit in self.emits:
            if name != topic:
                continue
            key = (emit.key or b"").decode()
            if emit.value is None:
                found.pop(key, None)
                continue
            document = json.loads(emit.value)
            found[document.get("transition_id", key)] = document
        return found

    def standing(self) -> dict[str, dict[str, dict[str, Any]]]:
        """What stands at the end, history aside (law 4)."""
        topics = ("ecm.candidates.v1", "ecm.watchlist.v1", "member.transitions.v1", "member.utilization.v1")
        told = {topic: {k: settled(d) for k, d in self.last(topic).items()} for topic in topics}
        return {
            topic: {k: d for k, d in documents.items() if d.get("status", "live") in ("live", "asserted")}
            for topic, documents in told.items()
        }
