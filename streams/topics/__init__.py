"""The topics that handoff needs: declared in topics.yaml, planned and applied to a cluster, checked at start-up."""

from streams.topics.cluster import apply, check_topics, cluster_state
from streams.topics.declared import Topic, Topics, load_topics, parse_topics
from streams.topics.export import kafka_topics_commands, strimzi
from streams.topics.planning import ClusterTopic, Plan, plan

__all__ = [
    "ClusterTopic",
    "Plan",
    "Topic",
    "Topics",
    "apply",
    "check_topics",
    "cluster_state",
    "kafka_topics_commands",
    "load_topics",
    "parse_topics",
    "plan",
    "strimzi",
]
