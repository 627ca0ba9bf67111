"""Counters that more than one kind of process keeps."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter

DEAD_LETTERS: Final = Counter("handoff_dead_letters", "Records set aside", ["code"])
