"""The declared topics for those who make topics with other tools."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

import yaml

from streams.topics.declared import Topic


def strimzi(topics: Iterable[Topic], cluster: str) -> str:
    """KafkaTopic resources of the Strimzi operator, one YAML document each, for the Kafka resource named `cluster`."""
    documents = [
        {
            "apiVersion": "kafka.strimzi.io/v1",
            "kind": "KafkaTopic",
            "metadata": {"name": topic.name, "labels": {"strimzi.io/cluster": cluster}},
            "spec": {
                "partitions": topic.partitions,
                "replicas": topic.replication,
                "config": dict(sorted(topic.configs.items())),
            },
        }
        for topic in topics
    ]
    return yaml.safe_dump_all(documents, sort_keys=False)


def kafka_topics_commands(topics: Iterable[Topic], program: str = "kafka-topics.sh") -> str:
    """A shell script of `kafka-topics --create` commands; the address comes from $BOOTSTRAP."""
    lines = ["#!/bin/sh", "set -eu"]
    for topic in topics:
        configs = " ".join(f"--config {shlex.quote(f'{key}={value}')}" for key, value in sorted(topic.configs.items()))
        lines.append(
            f'{program} --bootstrap-server "$BOOTSTRAP" --create --if-not-exists --topic {shlex.quote(topic.name)} '
            f"--partitions {topic.partitions} --replication-factor {topic.replication} {configs}"
        )
    return "\n".join(lines) + "\n"
