"""The page in a real browser: it lives, folds, falls back, fits, and breaks none of its own rules."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from console.config import Topics
from tests.console.browser import Browser, chromium
from tests.console.processes import ConsoleProcess
from tests.support.kafka import TopicNames, make_topics, wait_for

PROGRAM = chromium()
pytestmark = [
    pytest.mark.kafka,
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason="no Chromium on this machine"),
]
LIVE = "document.getElementById('link').textContent === 'live'"


@pytest.fixture
def console(kafka: Any, topic_names: TopicNames, tmp_path: Path) -> Iterator[ConsoleProcess]:
    """A console on topics of this test's own, with one sender."""
    topics = {field: topic_names(field) for field in Topics.__struct_fields__}
    make_topics(kafka.bootstrap, {name: (1, {}) for name in topics.values()})
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    producer.produce(topics["raw"], b"MSH", headers=[("sender", b"genhosp")])
    producer.flush(20)
    groups = {"handoff.reconcile": [topics["raw"]], "handoff.refer": [topics["candidates"]]}
    with ConsoleProcess.on(tmp_path, kafka.bootstrap, groups, topics) as process:
        process.wait_ready()
        wait_for(lambda: bool(process.state()["counted"]), what="the counts")
        yield process


def raise_candidate(bootstrap: str, topic: str, name: str) -> None:
    """A candidate appears."""
    producer = Producer({"bootstrap.servers": bootstrap})
    document = {"candidate_id": name, "status": "raised", "population": "2a", "revision": 1}
    producer.produce(topic, json.dumps(document).encode(), name.encode())
    producer.flush(20)


def test_the_page_follows_what_happens(
    kafka: Any, topic_names: TopicNames, console: ConsoleProcess, tmp_path: Path
) -> None:
    assert PROGRAM is not None
    with Browser(PROGRAM, tmp_path / "profile") as browser:
        browser.open(console.address)
        browser.wait(LIVE)
        browser.value("document.querySelector('details').open = true")
        assert "c_feed0000beef" not in browser.value("document.body.innerText")
        raise_candidate(kafka.bootstrap, topic_names("candidates"), "c_feed0000beef")
        browser.wait("document.getElementById('latest').innerText.includes('c_feed0000beef')")
        assert browser.value("document.querySelector('details').open"), "what was unfolded stays so"
        assert browser.value("document.querySelectorAll('details[open] table tr').length") == 2
        for width in (1280, 390):
            browser.call(
                "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600
            )
            assert browser.value("document.documentElement.scrollWidth") <= width, "nothing sticks out"
        light = browser.value("getComputedStyle(document.body).backgroundColor")
        browser.colours("dark")
        browser.wait(f"getComputedStyle(document.body).backgroundColor !== '{light}'")
        assert browser.faults == []


def test_a_console_that_is_gone_leaves_no_frozen_figures(console: ConsoleProcess, tmp_path: Path) -> None:
    assert PROGRAM is not None
    with Browser(PROGRAM, tmp_path / "profile") as browser:
        browser.open(console.address)
        browser.wait(LIVE)
        assert console.end()[0] == 0
        browser.wait("document.documentElement.classList.contains('stale')", 30)
        assert browser.value("document.getElementById('link').textContent").startswith("no answer for")


def test_without_events_the_page_asks(console: ConsoleProcess, tmp_path: Path) -> None:
    assert PROGRAM is not None
    with Browser(PROGRAM, tmp_path / "profile") as browser:
        browser.call("Network.enable")
        browser.call("Network.setBlockedURLs", urls=["*/events"])
        browser.open(console.address)
        browser.wait("document.getElementById('link').textContent === 'every 4 s'")


def test_without_scripts_the_page_is_whole(console: ConsoleProcess, tmp_path: Path) -> None:
    assert PROGRAM is not None
    with Browser(PROGRAM, tmp_path / "profile") as browser:
        browser.call("Emulation.setScriptExecutionDisabled", value=True)
        browser.open(console.address)
        text = browser.value("document.body.innerText")
        assert "genhosp" in text
        assert "handoff.reconcile" in text
