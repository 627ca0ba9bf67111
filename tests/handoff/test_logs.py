"""Logs: one JSON object a line, on whatever standard error is at that time."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator

import pytest
import structlog

from handoff.logs import configure


@pytest.fixture
def own_configuration() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.mark.usefixtures("own_configuration")
def test_a_logger_outlives_the_stream_it_first_wrote_to(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", first)
    configure()
    log = structlog.get_logger("test")
    log.info("stored", at="adt.raw.v1/0/7")
    assert json.loads(first.getvalue())["at"] == "adt.raw.v1/0/7"
    first.close()
    monkeypatch.setattr(sys, "stderr", second)
    log.info("stored", at="adt.raw.v1/0/8")
    assert json.loads(second.getvalue())["at"] == "adt.raw.v1/0/8"
