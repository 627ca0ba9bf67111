"""The view as Prometheus metrics, computed at each scrape.

Offsets and lags carry the names and labels of kafka_exporter, seconds those of kafka-lag-exporter, so dashboards made
for either work unchanged. What is not known has no sample: never -1, and no lag from a reading that is old.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from console.lag_status import State
from console.view import ConsoleView, GroupView

_OLD_SECONDS: Final = 60.0


class ViewMetrics(Collector):
    """Collects from the current view. Labels carry groups, topics, senders and codes, never a person."""

    def __init__(self, current: Callable[[], ConsoleView]) -> None:
        self._current = current

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not read."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All families at one moment."""
        view = self._current()
        if view.reading_age is not None:
            yield GaugeMetricFamily(
                "handoff_console_reading_age_seconds", "Age of the last lag reading", value=view.reading_age
            )
            if view.reading_age < _OLD_SECONDS:
                yield from _lag(view.groups)
        changes = CounterMetricFamily(
            "handoff_candidates", "Revisions of candidates that the topic holds", labels=["population", "status"]
        )
        for population, status, count in view.changes_total:
            changes.add_metric([population, status], count)
        yield changes
        yield _gauge(
            "handoff_candidates_standing",
            "Candidates by the status they have now",
            ["population", "status"],
            (([v.population, status], count) for v in view.candidates for status, count in v.statuses.items()),
        )
        letters = CounterMetricFamily("handoff_dead_letters", "Dead letters that the topic holds", labels=["code"])
        for code in sorted({view.code for view in view.letters}):
            letters.add_metric([code], sum(view.count for view in view.letters if view.code == code))
        yield letters
        yield _gauge(
            "handoff_sender_silence_seconds",
            "Since the sender's last message",
            ["sender"],
            (([feed.sender], feed.silence) for feed in view.feeds if feed.silence is not None),
        )


def _lag(groups: Iterable[GroupView]) -> Iterator[Metric]:
    groups = tuple(groups)
    every = [(group.group, topic, part) for group in groups for topic in group.topics for part in topic.partitions]
    by_part, by_topic = ["consumergroup", "topic", "partition"], ["consumergroup", "topic"]
    yield _gauge(
        "kafka_consumergroup_lag",
        "Records between the group's position and the end",
        by_part,
        (([group, topic.topic, str(part.partition)], part.lag) for group, topic, part in every),
    )
    yield _gauge(
        "kafka_consumergroup_lag_sum",
        "Lag over all partitions of a topic",
        by_topic,
        (([group.group, topic.topic], topic.lag) for group in groups for topic in group.topics),
    )
    yield _gauge(
        "kafka_consumergroup_current_offset",
        "The group's committed position",
        by_part,
        (
            ([group, topic.topic, str(part.partition)], part.committed)
            for group, topic, part in every
            if part.committed is not None
        ),
    )
    yield _gauge(
        "kafka_consumergroup_members",
        "Workers in the group",
        ["consumergroup"],
        (([group.group], group.members) for group in groups if group.members is not None),
    )
    ends = {(topic.topic, str(part.partition)): part.end for _, topic, part in every}
    yield _gauge(
        "kafka_topic_partition_current_offset",
        "The end of the partition",
        ["topic", "partition"],
        (([topic, number], end) for (topic, number), end in ends.items()),
    )
    yield _gauge(
        "kafka_consumergroup_group_lag_seconds",
        "Age of the oldest record that is not committed",
        ["group", "topic", "partition"],
        (([group, topic.topic, str(part.partition)], part.seconds) for group, topic, part in every),
    )
    yield _gauge(
        "kafka_consumergroup_group_max_lag_seconds",
        "The most of these over a group",
        ["group"],
        (([group.group], group.seconds) for group in groups),
    )
    yield _gauge(
        "handoff_consumergroup_state",
        "1 for the state that the group is in",
        ["consumergroup", "state"],
        (([group.group, state.value], float(group.state is state)) for group in groups for state in State),
    )


def _gauge(name: str, text: str, labels: list[str], samples: Iterable[tuple[list[str], float]]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family
