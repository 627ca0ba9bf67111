"""Documents of the member stage (candidates, watches, transitions, alerts, counts, archived visits), as JSON.

These Structs are the one definition of the documents: they encode them, and `schemas/` is generated from them
(docs/records.md#ecmcandidatesv1). Times are RFC 3339 with California's offset, days YYYY-MM-DD.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from parsers.records.visits import MessageDocument

LIVE_STATUSES: Final = ("raised", "amended")
"""Statuses of a live candidate or watch; the others are how it ended."""


class Rule(msgspec.Struct, frozen=True, gc=False):
    """The rule that was applied, its version, the content hash of the rule set, and where the rule comes from."""

    id: str
    version: str
    ruleset: str
    source: str


class Trigger(msgspec.Struct, frozen=True, gc=False):
    """The transition that opened the candidate."""

    kind: str
    transition_id: str
    occurred: str
    facility: str


class Window(msgspec.Struct, frozen=True, gc=False, rename={"start": "from", "end": "to"}):
    """The look-back, both days included. Where it reaches back beyond `complete_since`, counts are a floor."""

    start: str
    end: str
    months: int
    complete_since: str | None


class Counts(msgspec.Struct, frozen=True, gc=False):
    """What was counted in the window, and what the rule requires of it (any one)."""

    ed: int
    inpatient: int
    snf: int
    release: int
    required: dict[str, int]


class Evidence(msgspec.Struct, frozen=True, gc=False, rename={"patient_class": "class"}):
    """One visit (or release: class custody) near the window, and the one reason for which it counts or does not."""

    visit: str
    patient_class: str
    facility: str
    arrived: str | None
    departed: str | None
    counted: bool
    reason: str
    messages: tuple[MessageDocument, ...]


class Finding(msgspec.Struct, frozen=True, gc=False):
    """One programme that excludes ECM: clear, suspected or verified, by the roster row received at `as_of`."""

    programme: str
    finding: str
    as_of: str


class SupportHint(msgspec.Struct, frozen=True, gc=False):
    """A community support worth asking for."""

    id: str
    why: str


class RouteDocument(msgspec.Struct, frozen=True, gc=False):
    """How the member's plan takes the referral."""

    plan: str
    channel: str
    note: str
    source: str


class Due(msgspec.Struct, frozen=True, gc=False):
    """Days by which somebody should have acted: the plan's decision, the follow-up visit after a discharge."""

    decision: str | None
    followup_visit: str | None


class Response(msgspec.Struct, frozen=True, gc=False):
    """What care management answered last."""

    status: str
    actor: str
    time: str
    reason: str


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A referral candidate, whole. `status`: raised, amended, lapsed, withdrawn, closed."""

    candidate_id: str
    revision: int
    status: str
    state: str
    member_id: str
    plan: str
    county: str
    population: str
    population_name: str
    rule: Rule
    trigger: Trigger | None
    window: Window
    counts: Counts
    evidence: tuple[Evidence, ...]
    exclusions: tuple[Finding, ...]
    suspected: tuple[str, ...]
    impaired: bool
    conditions: tuple[str, ...]
    community_supports: tuple[SupportHint, ...]
    route: RouteDocument
    due: Due
    disposition: Response | None
    opened_by: str | None
    supersedes: str | None
    superseded_by: str | None
    reason: str | None
    as_of: str
    received: str


class Watch(msgspec.Struct, frozen=True, kw_only=True):
    """A member near a threshold, whole; a tombstone follows when that is over."""

    watch_id: str
    revision: int
    status: str
    state: str
    member_id: str
    plan: str
    county: str
    population: str
    population_name: str
    rule: Rule
    window: Window
    counts: Counts
    evidence: tuple[Evidence, ...]
    conditions: tuple[str, ...]
    impaired: bool
    opened_by: str | None
    as_of: str
    received: str


class Transition(msgspec.Struct, frozen=True, kw_only=True, rename={"origin": "from"}):
    """A transition of care, asserted or retracted. `messages` are those known when this revision was written."""

    transition_id: str
    revision: int
    status: str
    kind: str
    member_id: str
    occurred: str
    origin: str
    to: str
    facility: str
    visit: str
    confidence: str
    scheduled: str | None
    messages: tuple[MessageDocument, ...]
    received: str


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """A transition of a member in ECM, for the lead care manager, who is due to know of it within 24 hours."""

    alert_id: str
    member_id: str
    transition: Transition
    ecm_provider: str
    due: str


class UtilizationWindow(msgspec.Struct, frozen=True, gc=False):
    """Counted visits of one window by class."""

    ed: int
    inpatient: int
    snf: int
    observation: int


class Utilization(msgspec.Struct, frozen=True, kw_only=True):
    """How often a member used care. `windows`: 30d, 90d, 6mo, 12mo; `evidence`: the visits counted in the longest."""

    member_id: str
    revision: int
    as_of: str
    complete_since: str | None
    windows: dict[str, UtilizationWindow]
    evidence: tuple[str, ...]
    received: str


class Archived(msgspec.Struct, frozen=True, kw_only=True, rename={"patient_class": "class"}):
    """A visit older than every look-back, with the messages that its member's row no longer names.

    `revision` is the visit's; a later one replaces the record, a tombstone says that the visit is whole in the row
    again or was withdrawn. `archived`: when it was moved.
    """

    archive_id: str
    revision: int
    member_id: str
    patient: str
    visit: str
    status: str
    patient_class: str
    facility: str
    arrived: str | None
    departed: str | None
    disposition_group: str
    diagnoses: tuple[str, ...]
    messages: tuple[MessageDocument, ...]
    archived: str
    received: str


DOCUMENTS: Final[dict[str, type[msgspec.Struct]]] = {
    "candidate": Candidate,
    "watch": Watch,
    "transition": Transition,
    "alert": Alert,
    "utilization": Utilization,
    "archive": Archived,
}
"""The published documents by the name of their schema."""
_HISTORY: Final = frozenset({"revision", "received", "as_of", "supersedes"})


def comparable(document: dict[str, Any]) -> dict[str, Any]:
    """A decoded document without what depends on its history: revisions, times of receipt, log coordinates.

    Two runs over the same facts agree on the last document of every live key, once comparable (docs/semantics.md#laws).
    """
    plain = {name: value for name, value in document.items() if name not in _HISTORY}
    if plain.get("status") in LIVE_STATUSES:
        plain["status"] = "live"
    if "transition_id" in plain:
        # A transition has the messages that were known when its revision was written.
        plain.pop("messages", None)
    if "exclusions" in plain:
        plain["exclusions"] = [{**finding, "as_of": ""} for finding in plain["exclusions"]]
    if "rule" in plain:
        plain["rule"] = {**plain["rule"], "ruleset": ""}
    if "evidence" in plain and plain["evidence"] and isinstance(plain["evidence"][0], dict):
        plain["evidence"] = [
            {**line, "messages": [{**message, "at": ""} for message in line["messages"]]} for line in plain["evidence"]
        ]
    return plain
