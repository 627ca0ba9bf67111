"""`listen`: what the settings say reaches the gateway. (The gateway itself: tests/gateway.)"""

from __future__ import annotations

from typing import Any

import pytest
from typer.testing import CliRunner

from handoff.cli import app
from handoff.commands import listen


@pytest.mark.parametrize(("setting", "refuse"), [(None, False), ("take", False), ("refuse", True)])
def test_unknown_senders_are_treated_as_set(setting: str | None, refuse: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[Any] = []

    async def serve(*given: Any) -> int:
        served.extend(given)
        return 0

    monkeypatch.setattr(listen, "serve", serve)
    monkeypatch.setenv("HANDOFF_KAFKA__BOOTSTRAP", "127.0.0.1:1")
    if setting:
        monkeypatch.setenv("HANDOFF_MLLP__UNKNOWN_SENDERS", setting)
    assert CliRunner().invoke(app, ["listen"]).exit_code == 0
    profiles = served[2]
    assert profiles.refuse_unknown is refuse
