"""The console as a process: it comes up before anything is read, tells nobody's data, and goes at once."""

from __future__ import annotations

import json
import socket
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from console.config import Topics
from tests.console.processes import ConsoleProcess
from tests.support.kafka import TopicNames, make_topics, wait_for

COMMAND = (sys.executable, "-m", "handoff", "console")
AWAY = {"HANDOFF_KAFKA__BOOTSTRAP": "127.0.0.1:1"}
CANARIES = ("91234567A", "FLORES", "Marisol", "MRN-660142", "555-0142", "1979-04-12", "Sunrise Canary Lane")


def own_topics(topic_names: TopicNames) -> dict[str, str]:
    """Every topic that the console follows, under names of this test's own."""
    return {field: topic_names(field) for field in Topics.__struct_fields__}


@pytest.mark.kafka
def test_no_person_reaches_page_json_metrics_or_log(kafka: Any, topic_names: TopicNames, tmp_path: Path) -> None:
    topics, group = own_topics(topic_names), topic_names("group")
    make_topics(kafka.bootstrap, {name: (1, {}) for name in topics.values()})
    everywhere = " ".join(CANARIES)
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    adt = f"MSH|^~\\&|A|B|||20261123||ADT^A01|{CANARIES[3]}\rPID|||{CANARIES[3]}||FLORES^Marisol||19790412".encode()
    headers = [("sender", b"genhosp"), ("control-id", CANARIES[3].encode()), ("received", b"1795000000000")]
    hostile = [("sender", CANARIES[1].encode()), ("code", CANARIES[0].encode()), ("place", b"Marisol"), ("stage", b"x")]
    document = dict.fromkeys(("member_id", "name", "candidate_id", "status", "population", "reason"), everywhere)
    for index, name in enumerate(topics.values()):
        producer.produce(name, adt, CANARIES[3].encode(), headers=headers)
        producer.produce(name, adt, CANARIES[0].encode(), headers=hostile)
        producer.produce(name, json.dumps({**document, "revision": index}).encode(), CANARIES[0].encode())
        for canary in CANARIES:
            single = dict.fromkeys(document, canary)
            producer.produce(name, json.dumps(single).encode(), canary.encode(), headers=[("sender", canary.encode())])
    good = {"candidate_id": "c_0123456789abcdef", "status": "raised", "population": "2a", "revision": 1}
    producer.produce(topics["candidates"], json.dumps({**good, "member_id": CANARIES[0]}).encode(), b"c_0")
    producer.flush(20)
    with ConsoleProcess.on(tmp_path, kafka.bootstrap, {group: [topics["raw"]]}, topics) as console:
        console.wait_ready()
        wait_for(lambda: bool(console.state()["counted"]), what="the counts")
        state = console.state()
        assert [c["candidate_id"] for c in state["latest"]].count("c_0123456789abcdef") == 1
        assert {"genhosp", "other"} <= {feed["sender"] for feed in state["feeds"]}
        told = [console.get(path)[1] for path in ("/", "/sections", "/api/state", "/metrics", "/readyz", "/livez")]
        told += [console.get(path, health=True)[1] for path in ("/metrics", "/readyz")]
        assert all(told)
        assert "c_0123456789abcdef" in told[0]
        code, _ = console.end()
        assert code == 0
        told.append(console.log.read_text())
    for canary in (*CANARIES, "FLORES^Marisol", "19790412"):
        assert not [text for text in told if canary.lower() in text.lower()], canary


@pytest.mark.kafka
def test_it_joins_no_group_of_the_workers_and_commits_nothing(
    kafka: Any, topic_names: TopicNames, tmp_path: Path
) -> None:
    from confluent_kafka.admin import AdminClient

    topics, group = own_topics(topic_names), topic_names("group")
    make_topics(kafka.bootstrap, {name: (1, {}) for name in topics.values()})
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    with ConsoleProcess.on(tmp_path, kafka.bootstrap, {group: [topics["raw"]]}, topics) as console:
        console.wait_ready()
        wait_for(lambda: bool(console.state()["counted"]), what="the counts")
        groups = {found.group_id for found in admin.list_consumer_groups(request_timeout=20).result(20).valid}
    assert not {group, "handoff-console"} & groups


def test_it_answers_without_kafka_and_says_so(tmp_path: Path) -> None:
    with ConsoleProcess(tmp_path, COMMAND, AWAY) as console:
        wait_for(lambda: console.get("/livez", health=True)[0] == 200, 60, "the health port")
        wait_for(lambda: "Kafka does not answer" in console.get("/")[1], 60, "the page")
        assert console.get("/livez")[0] == 200
        assert console.get("/readyz")[0] == 503
        assert console.get("/readyz", health=True)[0] == 503
        code, seconds = console.end()
    assert code == 0, console.log.read_text()
    assert seconds < 3


def test_an_open_event_stream_does_not_hold_it(tmp_path: Path) -> None:
    with ConsoleProcess(tmp_path, COMMAND, AWAY) as console:
        wait_for(lambda: console.get("/livez")[0] == 200, 60, "the page")
        with urllib.request.urlopen(console.address + "events", timeout=20) as stream:
            assert stream.readline().startswith(b"data: {")
            code, seconds = console.end()
            stream.read()  # raises IncompleteRead when the stream is cut instead of ended
    assert code == 0, console.log.read_text()
    assert seconds < 3


def test_a_token_from_the_settings_guards_the_page_and_stays_out_of_the_log(tmp_path: Path) -> None:
    with ConsoleProcess(tmp_path, COMMAND, {**AWAY, "HANDOFF_CONSOLE__TOKEN": "t0ken-canary"}) as console:
        wait_for(lambda: console.get("/livez")[0] == 200, 60, "the page")
        assert console.get("/")[0] == 401
        assert console.get("/?token=t0ken-canary")[0] == 401  # this client keeps no cookies
        asked = urllib.request.Request(console.address, headers={"Authorization": "Bearer t0ken-canary"})
        with urllib.request.urlopen(asked, timeout=5) as answer:
            assert answer.status == 200
        assert console.end()[0] == 0
    assert "canary" not in console.log.read_text()


def test_a_port_that_is_taken_is_bad_input(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with ConsoleProcess(tmp_path, COMMAND, {**AWAY, "HANDOFF_CONSOLE__PORT": str(port)}) as console:
            assert console.wait() == 2
    assert f"127.0.0.1:{port} cannot be listened on" in console.log.read_text()


def test_no_kafka_named_is_bad_input(tmp_path: Path) -> None:
    with ConsoleProcess(tmp_path, COMMAND) as console:
        assert console.wait() == 2
    assert "HANDOFF_KAFKA__BOOTSTRAP" in console.log.read_text()
