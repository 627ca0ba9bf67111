"""The graph of processes and topics agrees with the stages and with topics.yaml."""

from __future__ import annotations

from pathlib import Path

from agents import reconcile, refer
from agents.graph import NODES, RECONCILE, REFER, STAGES, describe, groups, mermaid
from handoff.declarations.rules import load_rules
from parsers.hl7.profiles import Profiles
from streams.topics import load_topics

ROOT = Path(__file__).parents[2]
DECLARED = load_topics(ROOT / "topics.yaml").for_environment("dev", {})
PEOPLE = {"operator"}


def test_every_declared_producer_and_consumer_is_in_the_graph_and_the_reverse() -> None:
    state = {node.changelog: node.name for node in NODES if node.changelog}
    for topic in DECLARED:
        writers = {node.name for node in NODES if topic.name in node.writes or state.get(topic.name) == node.name}
        readers = {node.name for node in NODES if topic.name in node.reads or state.get(topic.name) == node.name}
        assert writers == set(topic.producers) - PEOPLE, topic.name
        assert readers == set(topic.consumers) - PEOPLE, topic.name
    declared = {topic.name for topic in DECLARED}
    assert {topic for node in NODES for topic in (*node.reads, *node.writes)} | set(state) == declared


def test_the_stages_read_and_write_what_the_graph_says() -> None:
    patient, member = reconcile.stage(Profiles(())), refer.stage(load_rules(ROOT / "rules"))
    for stage, node in ((patient, RECONCILE), (member, REFER)):
        written = {*stage.outputs, *stage.foreign, stage.dead_letters, *([stage.clock] if stage.ticks else [])}
        assert (stage.name, set(stage.inputs), stage.changelog) == (node.name, set(node.reads), node.changelog)
        assert written == set(node.writes)


def test_groups_are_named_after_the_stages() -> None:
    assert list(groups("app")) == [f"app.{stage.name}" for stage in STAGES]


def test_the_pictures_name_every_topic() -> None:
    for topic in DECLARED:
        assert topic.name in describe()
        assert topic.name in mermaid() or topic.name.endswith("changelog.v1")
