"""topics.yaml: every fault with its line, what a plan says, and that a real cluster ends up as declared."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import yaml
from confluent_kafka.admin import AdminClient, ConfigResource
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from domain.errors import BadDeclaration
from handoff.commands.topics import topics_app
from streams.kafka.settings import KafkaSettings
from streams.topics import (
    ClusterTopic,
    Topic,
    apply,
    check_topics,
    cluster_state,
    kafka_topics_commands,
    load_topics,
    parse_topics,
    plan,
    strimzi,
)
from streams.topics.units import TOPIC_CONFIGS, kafka_value
from tests.conftest import HasBootstrap
from tests.support.kafka import TopicNames, make_topics

FILE = Path(__file__).parents[2] / "topics.yaml"
DOCUMENT = """\
version: 1
defaults: {partitions: 4, replication: 1, configs: {cleanup.policy: delete}}
environments: {dev: {}, prod: {replication: 3}}
roles: {one: writes, two: reads}
topics:
  a.v1: &a
    description: something
    owner: one
    classification: ops
    key: {field: id, copartition: g}
    configs: {retention.ms: 30d}
    producers: [one]
    consumers: [two]
  b.v1: *a
"""


def faults_of(text: str) -> tuple[str, ...]:
    with pytest.raises(BadDeclaration) as caught:
        parse_topics(text, "t.yaml")
    return caught.value.faults


def test_the_file_in_the_repository_holds_what_the_stages_rely_on() -> None:
    topics = load_topics(FILE)
    groups: dict[str, set[str]] = {}
    for environment in topics.environments:
        for topic in topics.for_environment(environment):
            if topic.copartition:
                groups.setdefault(topic.copartition, set()).add(topic.name)
                if ".changelog." not in topic.name:
                    assert topic.configs["message.timestamp.type"] == "LogAppendTime"
    assert groups == {
        "patient": {"adt.raw.v1", "custody.raw.v1", "identity.links.v1", "handoff.reconcile.changelog.v1"},
        "member": {
            "members.roster.v1",
            "member.visits.v1",
            "clock.ticks.v1",
            "ecm.dispositions.v1",
            "handoff.refer.changelog.v1",
        },
    }
    assert {topic.partitions for topic in topics.for_environment("dev")} == {4}
    assert {topic.replication for topic in topics.for_environment("prod")} == {3}


def test_units_become_kafkas_numbers() -> None:
    (topic, _) = parse_topics(DOCUMENT).for_environment("prod")
    assert topic.configs == {"cleanup.policy": "delete", "retention.ms": "2592000000"}
    assert topic.replication == 3
    assert [kafka_value("segment.bytes", size) for size in ("64MiB", "512KiB", 7, "-1")] == [
        "67108864",
        "524288",
        "7",
        "-1",
    ]
    assert kafka_value("preallocate", True) == "true"
    assert kafka_value("cleanup.policy", "compact, delete") == "compact,delete"


@given(st.integers(1, 400), st.sampled_from("smhd"))
def test_a_duration_says_the_same_in_every_unit(number: int, unit: str) -> None:
    seconds = {"s": 1, "m": 60, "h": 3600, "d": 86400}[unit]
    assert kafka_value("retention.ms", f"{number}{unit}") == kafka_value("retention.ms", f"{number * seconds}s")


@pytest.mark.parametrize(
    ("old", "new", "line", "what"),
    [
        ("owner: one", "owner: nobody", 8, "'nobody' is none of the roles"),
        ("owner: one", "ownr: one", 8, "unknown key"),
        ("30d", "30 fortnights", 11, "is not a duration"),
        ("retention.ms: 30d", "segment.bytes: 5d", 11, "is not a size"),
        ("retention.ms", "retention.m", 11, "no such topic setting"),
        ("  b.v1: *a", "  a.v1: *a", 14, "given twice"),
        ("  b.v1: *a", "  B: *a", 14, "ends in its version"),
        ("  b.v1: *a", "  b.changelog.v1: *a", 14, "must have cleanup.policy compact"),
        ("  b.v1: *a", "  b.v1:\n    <<: *a\n    partitions: 5", 14, "of the same co-partition group"),
        ("partitions: 4,", "partitions: 0,", 2, "greater than or equal to 1"),
        ("{cleanup.policy: delete}", "{min.insync.replicas: 2}", 6, "above the replication of 1"),
        ("version: 1", "version: 2", 1, "Input should be 1"),
        ("dev: {}", "dev: [", 3, "no YAML"),
        ("roles: {one: writes, two: reads}", "? [a]\n: b", 4, "a key must be a word"),
    ],
)
def test_a_fault_is_named_with_its_line(old: str, new: str, line: int, what: str) -> None:
    assert DOCUMENT.count(old) == 1
    faults = faults_of(DOCUMENT.replace(old, new))
    assert any(fault.startswith(f"t.yaml:{line}: ") and what in fault for fault in faults), faults


def test_all_faults_come_at_once() -> None:
    text = DOCUMENT.replace("classification: ops", "classification: secret").replace("version: 1", "version: 2")
    assert len(faults_of(text + "more: 1\n")) == 4  # a and b share the classification
    with pytest.raises(BadDeclaration, match="no environment 'test'"):
        parse_topics(DOCUMENT).for_environment("test")


def test_a_file_that_cannot_be_read_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(BadDeclaration, match="cannot be read"):
        load_topics(tmp_path / "none.yaml")
    (tmp_path / "empty.yaml").touch()
    with pytest.raises(BadDeclaration, match=r"empty\.yaml:1"):
        load_topics(tmp_path / "empty.yaml")


def topic(name: str, partitions: int = 4, **configs: str) -> Topic:
    settings = {key.replace("_", "."): value for key, value in configs.items()}
    return Topic(name, partitions, 1, settings, None, "ops", ("one",), ("two",))


def present(
    partitions: int = 4, replication: int = 1, own: frozenset[str] = frozenset(), **configs: str
) -> ClusterTopic:
    return ClusterTopic(partitions, replication, {k.replace("_", "."): v for k, v in configs.items()}, own)


def test_a_plan_creates_updates_refuses_and_never_deletes() -> None:
    planned = plan(
        [topic("new.v1"), topic("same.v1", cleanup_policy="compact,delete"), topic("old.v1", retention_ms="2")],
        {
            "same.v1": present(cleanup_policy="delete,compact"),
            "old.v1": present(retention_ms="1", segment_ms="9", own=frozenset({"retention.ms", "segment.ms"})),
            "someone.elses": present(),
            "__consumer_offsets": present(),
        },
    )
    assert list(planned.lines()) == [
        "+ new.v1 (4 partitions, replication 1)",
        "~ old.v1",
        "    retention.ms: 1 -> 2",
        "    segment.ms: 9 -> the cluster's default",
        "? someone.elses is not declared; it is left alone",
        "Plan: 1 to create, 1 to update, 0 to delete.",
    ]
    assert not planned.is_empty
    assert plan([topic("same.v1")], {"same.v1": present()}).is_empty


@pytest.mark.parametrize(
    ("cluster", "why"),
    [
        (present(partitions=3), "keys would move"),
        (present(partitions=5), "Kafka removes none"),
        (present(replication=3), "reassign"),
    ],
)
def test_what_would_lose_or_move_data_is_refused(cluster: ClusterTopic, why: str) -> None:
    planned = plan([topic("t.v1")], {"t.v1": cluster})
    assert [why in refusal for refusal in planned.refused] == [True]
    with pytest.raises(ValueError, match="refusals"):
        apply(AdminClient({"bootstrap.servers": "127.0.0.1:1", "log_level": 0}), planned)


def test_exports_say_the_same_as_the_file(tmp_path: Path) -> None:
    topics = load_topics(FILE).for_environment("prod")
    documents = list(yaml.safe_load_all(strimzi(topics, "main")))
    assert [(d["metadata"]["name"], d["spec"]["partitions"], d["spec"]["config"]) for d in documents] == [
        (t.name, t.partitions, t.configs) for t in topics
    ]
    fake = tmp_path / "kafka-topics.sh"
    fake.write_text('#!/bin/sh\nprintf "%s\\n" "$*"\n')
    fake.chmod(0o755)
    told = subprocess.run(
        ["sh", "-c", kafka_topics_commands(topics, str(fake))],
        env={"BOOTSTRAP": "b:1", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    ).stdout.splitlines()
    assert len(told) == len(topics)
    for line, declared in zip(told, topics, strict=True):
        assert line.startswith(f"--bootstrap-server b:1 --create --if-not-exists --topic {declared.name} ")
        assert line.count("--config ") == len(declared.configs)


# On a real cluster


@pytest.fixture
def admin(kafka: HasBootstrap) -> AdminClient:
    return AdminClient({"bootstrap.servers": kafka.bootstrap})


@pytest.fixture
def ours(topic_names: TopicNames, admin: AdminClient) -> Iterator[tuple[Topic, ...]]:
    """The repository's topics in dev, under names of this test; removed afterwards."""
    topics = load_topics(FILE).for_environment("dev")
    renamed = tuple(msgspec.structs.replace(each, name=topic_names(each.name)) for each in topics)
    yield renamed
    for future in admin.delete_topics([each.name for each in renamed], operation_timeout=20).values():
        future.exception(30)


@pytest.mark.kafka
def test_kafka_knows_every_setting_that_we_let_through(admin: AdminClient, ours: tuple[Topic, ...]) -> None:
    apply(admin, plan(ours, cluster_state(admin)))
    resource = ConfigResource(ConfigResource.Type.TOPIC, ours[0].name)
    known = admin.describe_configs([resource])[resource].result(20)
    assert known.keys() == TOPIC_CONFIGS
    again = plan(ours, cluster_state(admin))
    assert again.is_empty, list(again.lines())


@pytest.mark.kafka
def test_a_drifted_topic_is_set_back(kafka: HasBootstrap, admin: AdminClient, topic_names: TopicNames) -> None:
    name = topic_names("t.v1")
    make_topics(kafka.bootstrap, {name: (4, {"retention.ms": "1000", "segment.ms": "60000"})})
    wanted = [topic(name, cleanup_policy="compact")]
    mine = {name: cluster_state(admin)[name]}
    assert mine[name].own == {"retention.ms", "segment.ms"}
    apply(admin, plan(wanted, mine))
    after = cluster_state(admin)[name]
    assert after.own == {"cleanup.policy"}
    assert plan(wanted, {name: after}).is_empty


@pytest.mark.kafka
def test_a_process_is_told_all_that_is_wrong_with_its_topics(kafka: HasBootstrap, topic_names: TopicNames) -> None:
    a, b, log, gone = (topic_names(name) for name in ("a.v1", "b.v1", "log.v1", "gone.v1"))
    make_topics(
        kafka.bootstrap,
        {
            a: (2, {"message.timestamp.type": "LogAppendTime"}),
            b: (3, {}),
            log: (2, {"cleanup.policy": "compact,delete"}),
        },
    )
    settings = KafkaSettings(bootstrap=kafka.bootstrap)
    assert check_topics(settings, [a, b, log], [[a, log]], append_time=[a]) == []
    faults = check_topics(settings, [gone], [[a, b]], compacted=[log], append_time=[a, b])
    assert [fault.split()[0:2] for fault in faults] == [
        ["topic", gone],
        ["co-partitioned", "topics"],
        ["topic", log],
        ["topic", b],
    ]


@pytest.mark.kafka
def test_the_commands_exit_as_promised(
    kafka: HasBootstrap, tmp_path: Path, topic_names: TopicNames, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HANDOFF_KAFKA__BOOTSTRAP", kafka.bootstrap)
    runner = CliRunner()
    name = f"x{topic_names.suffix}.v1"
    file = tmp_path / "topics.yaml"
    file.write_text(DOCUMENT.replace("  b.v1: *a\n", "").replace("a.v1", name))

    told = runner.invoke(topics_app, ["plan", "--file", str(file)])
    assert (told.exit_code, told.stdout.splitlines()[0]) == (0, f"+ {name} (4 partitions, replication 1)")
    assert told.stdout.splitlines()[-1] == "Plan: 1 to create, 0 to update, 0 to delete."
    assert runner.invoke(topics_app, ["apply", "--file", str(file)]).exit_code == 0
    told = runner.invoke(topics_app, ["plan", "--file", str(file), "--json"])
    assert json.loads(told.stdout)["summary"] == "Plan: 0 to create, 0 to update, 0 to delete."

    file.write_text(file.read_text().replace("partitions: 4", "partitions: 8"))
    refused = runner.invoke(topics_app, ["apply", "--file", str(file)])
    assert refused.exit_code == 1
    assert f"! {name}: 4 partitions cannot become 8" in refused.stdout

    assert runner.invoke(topics_app, ["plan", "--file", str(file), "--env", "none"]).exit_code == 2
    file.write_text(file.read_text().replace("owner", "ownr"))
    bad = runner.invoke(topics_app, ["validate", "--file", str(file)])
    assert bad.exit_code == 2
    assert "topics.yaml:8:" in bad.stderr


def test_validate_and_export_need_no_cluster() -> None:
    runner = CliRunner()
    assert "18 topics" in runner.invoke(topics_app, ["validate"]).stdout
    assert json.loads(runner.invoke(topics_app, ["validate", "--json"]).stdout)["environments"] == ["dev", "prod"]
    assert runner.invoke(topics_app, ["export"]).stdout.count("kind: KafkaTopic") == 17
    assert runner.invoke(topics_app, ["export", "--to", "kafka-topics"]).stdout.count("--create") == 17
    assert len(json.loads(runner.invoke(topics_app, ["export", "--json", "--env", "prod"]).stdout)) == 17
