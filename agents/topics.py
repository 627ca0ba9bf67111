"""The names of all topics (docs/records.md describes each; topics.yaml declares them)."""

from __future__ import annotations

from typing import Final

ADT_RAW: Final = "adt.raw.v1"
CUSTODY_RAW: Final = "custody.raw.v1"
ROSTER: Final = "members.roster.v1"
DISPOSITIONS: Final = "ecm.dispositions.v1"
LINKS: Final = "identity.links.v1"
IDENTITY_FACTS: Final = "identity.facts.v1"
UNATTRIBUTED: Final = "adt.unattributed.v1"
DEAD_LETTERS: Final = "adt.dead-letters.v1"
VISITS: Final = "member.visits.v1"
TICKS: Final = "clock.ticks.v1"
TRANSITIONS: Final = "member.transitions.v1"
UTILIZATION: Final = "member.utilization.v1"
CANDIDATES: Final = "ecm.candidates.v1"
WATCHLIST: Final = "ecm.watchlist.v1"
ALERTS: Final = "ecm.alerts.v1"
ARCHIVE: Final = "member.archive.v1"
RECONCILE_CHANGELOG: Final = "handoff.reconcile.changelog.v1"
REFER_CHANGELOG: Final = "handoff.refer.changelog.v1"
