"""Situations as inputs: the scenarios written as ADT messages, and a folder of cases where there is one.

Each can be given a hospital and members of its own, so that one system can take all of them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from handoff.declarations.senders import load_senders
from handoff.inputs import messages
from parsers.hl7.envelope import read_envelope
from parsers.records.roster_documents import encode_roster
from parsers.records.roster_file import load_roster
from tests.support.adt_scenarios import FOLDER, SENDERS, load_adt_scenario, mixed, outcome
from tests.support.replaying import Heard, Played

CASES: Final = Path(os.environ.get("HANDOFF_CASES", "../shared/cases"))
"""Folders with `in.hl7`, `roster.csv` and `expected.json`; tests go without them where they are missing."""
_CIN: Final = re.compile(rb"9[0-9]{7}[A-HJ-NP-RT-Z]")


class Case(msgspec.Struct, frozen=True):
    """Messages in the order in which they were sent, and rows of the roster."""

    name: str
    messages: list[bytes]
    roster: list[dict[str, Any]]

    def of_its_own(self, number: int) -> Case:
        """The same with authorities, visit numbers and CINs that no other number has."""
        tag = b"%03d" % number

        def text(value: bytes) -> bytes:
            value = re.sub(rb"\b(GENHOSP|OTHERHOSP|REHAB)\b", rb"\g<1>" + tag, value)
            return _CIN.sub(lambda cin: cin[0][:1] + tag + cin[0][4:], value)

        roster = [msgspec.json.decode(text(msgspec.json.encode(row))) for row in self.roster]
        return Case(self.name, [text(raw) for raw in self.messages], roster)

    def members(self) -> list[str]:
        """The member IDs of the roster."""
        return [row["member_id"] for row in self.roster]

    def shuffled(self, seed: int) -> list[bytes]:
        """The messages in another order, each of some twice."""
        return mixed(self.messages, seed)

    def play(self, sent: list[bytes], now: int) -> dict[str, Any]:
        """What the messages amount to at `now` (ms UTC), all received then, in their order."""
        heard: list[Heard] = [(now, "roster", row) for row in self.roster]
        profiles = load_senders(SENDERS)
        for raw in sent:
            header = read_envelope(raw)
            sender = profiles.choose(header.sending_app, header.sending_facility).name
            heard.append((now, "message", {"hl7": raw.decode(), "sender": sender}))
        return outcome(Played(heard, now, profiles), {member: member for member in self.members()})


def scenarios() -> Iterator[Case]:
    """The scenarios of the default sender without custody records."""
    for path in sorted(FOLDER.glob("*.yaml")):
        scenario = load_adt_scenario(path)
        if not scenario.profile and not scenario.custody and all(s == "default" for s, _ in scenario.as_is()):
            yield Case(path.stem, [raw for _, raw in scenario.as_is()], scenario.roster())


def cases() -> Iterator[Case]:
    """The cases of the folder, if it is there."""
    for folder in sorted(CASES.iterdir()) if CASES.is_dir() else ():
        if (folder / "in.hl7").exists() and not (folder / "custody.csv").exists():
            rows = load_roster((folder / "roster.csv").read_bytes()).documents
            roster = [msgspec.json.decode(encode_roster(row)) for row in rows]
            yield Case(folder.name, [message.raw for message in messages([str(folder / "in.hl7")])], roster)
