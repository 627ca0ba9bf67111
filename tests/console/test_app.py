"""The routes: who is let in, what every answer carries, what is shown."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from threading import Event

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

import console.app
from console.app import Probes, build
from console.overview import Overview
from console.view import ConsoleView
from tests.console.overviews import NOW, history, overview
from tests.console.test_tallies import TOPICS, candidate, record, tallied

PATHS = ("/", "/api/state", "/sections", "/metrics", "/static/console.css", "/static/console.js", "/static/icon.svg")
WELL = Probes(lambda: (True, {}), lambda: (True, {}))


def client(
    shown: Overview | Callable[[], ConsoleView] | None = None, token: str | None = None, **more: bool
) -> TestClient:
    """A client of the app over an overview at NOW."""
    known = shown or overview()
    look = (lambda: known.view(NOW)) if isinstance(known, Overview) else known
    return TestClient(build(look, WELL, Event(), token, **more), base_url="http://127.0.0.1:8585")


@pytest.mark.parametrize("path", [*PATHS, "/nowhere"])
def test_every_answer_is_guarded_by_its_headers(path: str) -> None:
    headers = client().get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("path", PATHS)
def test_reads_only(path: str) -> None:
    known = client()
    assert known.get(path).status_code == 200
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert known.request(method, path).status_code == 405


@pytest.mark.parametrize("path", [*PATHS, "/events", "/nowhere"])
def test_a_token_is_asked_for(path: str) -> None:
    known = client(token="right")
    assert known.get(path).status_code == 401
    assert known.get(path, headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert known.get(path, headers={"Authorization": "Basic right"}).status_code == 401
    assert known.get(path + "?token=wrong").status_code == 401
    assert known.get(path, headers={"Cookie": "handoff_console=right"}).status_code == 401
    assert known.get(path, headers={"Cookie": "handoff_console="}).status_code == 401


def test_a_bearer_is_let_in() -> None:
    assert client(token="right").get("/api/state", headers={"Authorization": "Bearer right"}).status_code == 200


def test_a_token_in_the_address_becomes_a_cookie_and_leaves_the_address() -> None:
    known = client(token="right")
    answer = known.get("/?token=right&x=1", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, ".?x=1")
    cookie = answer.headers["set-cookie"]
    assert "right" not in cookie
    assert {"httponly", "samesite=lax"} <= {part.strip().lower() for part in cookie.split(";")}
    assert "secure" not in cookie.lower()
    assert known.get("/").status_code == 200
    secured = client(token="right", secure=True).get("/?token=right", follow_redirects=False)
    assert "secure" in secured.headers["set-cookie"].lower()


def test_probes_need_no_token() -> None:
    known = client(token="right")
    assert known.get("/livez").status_code == 200
    assert known.get("/readyz").status_code == 200


def test_probes_tell_the_truth() -> None:
    ill = Probes(lambda: (True, {"lag": True}), lambda: (False, {"read": False}))
    known = TestClient(build(lambda: overview().view(NOW), ill, Event()), base_url="http://localhost")
    assert known.get("/livez").status_code == 200
    answer = known.get("/readyz")
    assert (answer.status_code, answer.json()) == (503, {"read": False})


@pytest.mark.parametrize(("host", "status"), [("localhost:1", 200), ("[::1]:8585", 200), ("console.evil.example", 421)])
def test_without_a_token_only_this_machine_is_answered(host: str, status: int) -> None:
    assert client().get("/api/state", headers={"Host": host}).status_code == status


def test_the_first_paint_needs_no_script() -> None:
    page = client(overview(history([4000] * 20, [100] * 20, members=0))).get("/").text
    assert "records wait and no worker reads" in page
    assert "member.visits.v1" in page
    assert '<noscript><meta http-equiv="refresh"' in page
    assert not re.search(r"<script(?![^>]*\bsrc=)|\bstyle=|\son\w+=|https?://", page)


def test_nothing_is_loaded_from_elsewhere() -> None:
    known = client()
    page = known.get("/").text
    assets = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(assets) == 3
    for asset in assets:
        assert known.get(f"/{asset}").status_code == 200
    for asset in ("console.css", "console.js"):
        assert not re.search(r"https?:|@import|url\(", known.get(f"/static/{asset}").text)


def test_the_sections_are_the_parts_of_the_page() -> None:
    known = client()
    page = known.get("/").text
    for name, html in known.get("/sections").json().items():
        if html:
            assert f'id="{name}"' in page
            assert html in page


def test_names_are_escaped() -> None:
    kept = history([0], [1])
    hostile = overview(kept).view(NOW)
    group = msgspec.structs.replace(hostile.groups[0], group="<b>&", why="<i>")
    page = client(lambda: msgspec.structs.replace(hostile, groups=(group,), says=("<u>",))).get("/").text
    assert "<b>" not in page
    assert "<i>" not in page
    assert "<u>" not in page
    assert "&lt;b&gt;&amp;" in page


def test_events_send_all_once_then_what_changed_and_end_when_we_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console.app, "EVERY_SECONDS", 0.6)
    stopping = Event()
    looks = 0

    def look() -> ConsoleView:
        nonlocal looks
        looks += 1
        if looks == 3:
            stopping.set()
        return overview().view(NOW + 1000 * looks)

    known = TestClient(build(look, WELL, stopping), base_url="http://127.0.0.1")
    answer = known.get("/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    first, second, *_ = [json.loads(event[6:]) for event in answer.text.split("\n\n") if event]
    assert {"title", "figures", "feeds", "latest"} <= set(first)
    assert set(second) == {"figures"}


def test_metrics_have_the_names_and_labels_of_the_exporters() -> None:
    tallies = tallied(
        candidate("c_aaaaaaaaaaaa", "raised"),
        candidate("c_aaaaaaaaaaaa", "amended", 2),
        record(TOPICS.dead_letters, headers={"sender": "genhosp", "code": "no-patient", "stage": "gateway"}, at=NOW),
        record(TOPICS.dead_letters, headers={"sender": "oc_jail", "code": "no-patient", "stage": "gateway"}, at=NOW),
        record(TOPICS.raw, headers={"sender": "genhosp", "received": str(NOW - 7000)}),
    )
    kept = history([50] * 20, [None] * 20, seconds=4.0)
    text = client(overview(kept, tallies)).get("/metrics").text
    found = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    part = (("consumergroup", "handoff.refer"), ("partition", "0"), ("topic", "member.visits.v1"))
    assert found["kafka_consumergroup_lag", part] == 50
    assert found["kafka_consumergroup_lag_sum", (part[0], part[2])] == 50
    assert found["kafka_topic_partition_current_offset", part[1:]] == 50
    seconds = ("group", "handoff.refer"), *part[1:]
    assert found["kafka_consumergroup_group_lag_seconds", seconds] == 4.0
    assert found["handoff_candidates_total", (("population", "2a"), ("status", "raised"))] == 1
    assert found["handoff_candidates_total", (("population", "2a"), ("status", "amended"))] == 1
    assert found["handoff_candidates_standing", (("population", "2a"), ("status", "raised"))] == 0
    assert found["handoff_dead_letters_total", (("code", "no-patient"),)] == 2
    assert found["handoff_sender_silence_seconds", (("sender", "genhosp"),)] == 0
    assert found["handoff_consumergroup_state", (("consumergroup", "handoff.refer"), ("state", "OK"))] == 1
    assert not any(name == "kafka_consumergroup_current_offset" for name, _ in found), "never committed: no sample"
    assert all(value >= 0 for value in found.values())


def test_an_old_reading_is_no_metric() -> None:
    text = client(lambda: overview().view(NOW + 61_000)).get("/metrics").text
    assert "handoff_console_reading_age_seconds 61.0" in text
    assert "\nkafka_consumergroup_lag{" not in text


def test_an_open_stream_too_many_is_told_to_ask_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console.app, "STREAMS", 0)
    assert client().get("/events").status_code == 503
