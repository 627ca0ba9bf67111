"""Counters that more than one kind of process keeps."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge

DEAD_LETTERS: Final = Counter("handoff_dead_letters", "Records set aside", ["code"])
CONNECTIONS: Final = Gauge("handoff_connections", "Open connections: mllp, http, console, health", ["listener"])
TURNED_AWAY: Final = Counter("handoff_turned_away", "Connections closed at once, over a limit", ["listener", "why"])
CUT_OFF: Final = Counter("handoff_cut_off", "Connections ended for taking too long", ["listener", "why"])
ACCEPT_FAULTS: Final = Counter("handoff_accept_faults", "Failed accepts: out of descriptors or memory", ["listener"])
