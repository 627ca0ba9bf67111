"""A whole patient stage in memory: records in, rows and emits out, links fed back until it is quiet."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from agents.directory import Directory, MemoryTexts
from agents.directory_records import read_entry, resolved, take
from agents.reconcile.decide import LINKS, TEST_KEY, stage
from agents.runtime.chunk import decide_chunk
from agents.runtime.contract import Emit, Record, Stage
from agents.runtime.store import MemoryStore
from agents.topics import ADT_RAW, IDENTITY_FACTS
from domain.snapshots import CustodySnapshot, VisitSnapshot
from parsers.hl7.profiles import Profiles, SenderProfile
from parsers.records.visits import decode_snapshot
from tests.support.member import changed

HOSPITAL = SenderProfile(name="general", authority="GENHOSP")
JAIL = SenderProfile(name="jail", authority="JAIL", facility_type="jail")


class PatientStage:
    """Runs `agents.reconcile` with one record a chunk (or all at once), as the engine would."""

    def __init__(self, lookups: dict[str, str | None] | None = None, *, away: bool = False) -> None:
        self.stage: Stage = stage(Profiles([HOSPITAL, JAIL]))
        self.rows = MemoryStore()
        self.emits: list[Emit] = []
        self.lookups = None if away else (lookups or {})
        self.offset = 0
        self.faults: list[str] = []
        self.directory = Directory(MemoryTexts(), TEST_KEY)
        """Resolves the groups of merged patients; the roster is played by `lookups`."""

    def take(self, topic: str, key: str, value: bytes, received: int = 1_000) -> list[Emit]:
        """One record, and whatever links follow from it."""
        self.offset += 1
        sender = b"jail" if key.startswith("JAIL") else b"general"
        headers = {"sender": sender, "received": str(received).encode()}
        record = Record(topic, 0, self.offset, key.encode(), value, received, headers)
        result = decide_chunk(self.stage, self.rows, [record], lookups=self.lookups)
        self.rows.apply_committed(result)
        self.faults += [fault.code for fault in result.faults]
        self.emits += result.emits
        out = list(result.emits)
        for emit in result.emits:
            if emit.topic == LINKS:
                assert emit.key is not None
                assert emit.value is not None
                assert self.offset < 5_000, "the links never end"
                out += self.take(LINKS, emit.key.decode(), emit.value, received)
            elif emit.topic == IDENTITY_FACTS:
                facts = Record(emit.topic, 0, 0, emit.key, emit.value, received, dict(emit.headers))
                for link in [*take(self.directory, read_entry(facts, TEST_KEY)), *resolved(self.directory, received)]:
                    self.emits.append(link)
                    out += self.take(LINKS, (link.key or b"").decode(), link.value or b"", received)
        return out

    def message(self, key: str, hl7: str, received: int = 1_000) -> list[Emit]:
        """One ADT message (segments separated by newlines here)."""
        return self.take(ADT_RAW, key, hl7.strip().replace("\n", "\r").encode(), received)

    def published(self, emits: Iterable[Emit] | None = None) -> list[tuple[str, VisitSnapshot | CustodySnapshot]]:
        """(member, snapshot) of all that was published."""
        chosen = self.emits if emits is None else emits
        return [decode_snapshot(e.value) for e in chosen if e.topic == "member.visits.v1" and e.value is not None]

    def ledgers(self) -> dict[str, dict[tuple[str, str], VisitSnapshot | CustodySnapshot]]:
        """Member -> what stands with them, as the member stage would hold it; revision, receipt and offsets aside."""
        held: dict[str, dict[tuple[str, str], VisitSnapshot | CustodySnapshot]] = {}
        for member, snapshot in self.published():
            name = snapshot.record_id if isinstance(snapshot, CustodySnapshot) else snapshot.key
            ledger = held.setdefault(member, {})
            about = snapshot if isinstance(snapshot, CustodySnapshot) else snapshot.visit
            if about.status == "withdrawn":
                ledger.pop((snapshot.patient, name), None)
            else:
                sources = tuple(msgspec.structs.replace(source, at="") for source in about.messages)
                ledger[snapshot.patient, name] = changed(snapshot, revision=0, received=0, messages=sources)
        return {member: ledger for member, ledger in held.items() if ledger}
