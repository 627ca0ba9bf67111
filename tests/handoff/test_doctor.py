"""The doctor finds what is missing, says what to do, exits as promised, and shows no secret."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from confluent_kafka.admin import AdminClient
from typer.testing import CliRunner

from handoff.commands.doctor import doctor
from handoff.embedded.process import free_ports
from handoff.embedded.redis import EmbeddedRedis
from streams.topics import apply, cluster_state, load_topics, plan
from tests.conftest import HasBootstrap

app = typer.Typer()
app.command()(doctor)
TOPICS = """\
version: 1
defaults: {{partitions: 2, replication: 1}}
environments: {{dev: {{}}}}
roles: {{one: writes and reads}}
topics:
  {name}.v1:
    description: something
    owner: one
    classification: ops
    key: {{field: id}}
    producers: [one]
    consumers: [one]
"""


@pytest.fixture(autouse=True)
def nothing_runs_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HANDOFF_DATA", str(tmp_path / "data"))


def ask(code: int) -> dict[str, tuple[bool | None, str]]:
    told = CliRunner().invoke(app, ["--json"])
    assert told.exit_code == code, told.output
    findings: list[dict[str, Any]] = json.loads(told.stdout)["findings"]
    return {finding["what"]: (finding["ok"], finding["told"]) for finding in findings}


@pytest.mark.kafka
def test_a_cluster_without_its_topics_and_then_with_them(
    kafka: HasBootstrap, redis_server: EmbeddedRedis, tmp_path: Path, topic_names: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "topics.yaml"
    file.write_text(TOPICS.format(name=f"d{topic_names.suffix}"))
    monkeypatch.setenv("HANDOFF_PATHS__TOPICS", str(file))
    monkeypatch.setenv("HANDOFF_KAFKA__BOOTSTRAP", kafka.bootstrap)
    monkeypatch.setenv("HANDOFF_REDIS__URL", redis_server.url)
    found = ask(1)
    assert found["Kafka"] == (True, "1 brokers answer")
    assert found["Redis"] == (True, "answers")
    assert found["topics"] == (False, "Plan: 1 to create, 0 to update, 0 to delete. Run `handoff topics apply`.")

    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    apply(admin, plan(load_topics(file).for_environment("dev"), cluster_state(admin)))
    assert ask(0)["topics"] == (True, "as declared")


def test_what_does_not_answer_is_said_with_the_setting_to_look_at(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = free_ports(2)
    monkeypatch.setenv("HANDOFF_KAFKA__BOOTSTRAP", f"127.0.0.1:{one}")
    monkeypatch.setenv("HANDOFF_REDIS__URL", f"redis://:canary-secret@127.0.0.1:{two}/0")
    monkeypatch.setattr("handoff.commands.doctor.SECONDS", 1.0)
    found = ask(1)
    assert found["Kafka"][0] is False
    assert "HANDOFF_KAFKA__*" in found["Kafka"][1]
    assert found["Redis"][0] is False
    assert "HANDOFF_REDIS__URL" in found["Redis"][1]
    assert "canary" not in CliRunner().invoke(app, []).output


def test_without_addresses_the_embedded_ones_are_looked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kafka: HasBootstrap
) -> None:
    monkeypatch.delenv("HANDOFF_KAFKA__BOOTSTRAP", raising=False)
    found = ask(0)
    assert found["Java"][0] is True
    assert found["Kafka jars"][0] is True
    assert "redis-server" in found["Redis"][1]
    monkeypatch.setenv("HANDOFF_CACHE", str(tmp_path))
    assert ask(0)["Kafka jars"][0] is None


def test_every_bad_file_and_setting_is_listed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HANDOFF_PATHS__TOPICS", str(tmp_path / "none.yaml"))
    monkeypatch.setenv("HANDOFF_PATHS__SENDERS", str(tmp_path))
    found = ask(1)
    assert found["topics.yaml"][0] is False
    assert found["senders"][0] is False
    monkeypatch.setenv("HANDOFF_WORK__SLOTS", "0")
    monkeypatch.setenv("HANDOFF_HTTP__HOST", "0.0.0.0")
    told = CliRunner().invoke(app, [])
    assert told.exit_code == 2
    assert "HANDOFF_WORK__SLOTS" in told.output
    assert "HANDOFF_HTTP" in told.output
