"""Whole systems side by side: each takes free ports, since two that want the usual ones could see them free at once."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def free_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    for section in ("MLLP", "HTTP", "CONSOLE"):
        monkeypatch.setenv(f"HANDOFF_{section}__PORT", "0")
