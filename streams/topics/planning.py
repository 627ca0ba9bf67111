"""What would have to change in a cluster. Pure: declared topics and the cluster's state in, a plan out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from streams.topics.declared import Topic


class ClusterTopic(msgspec.Struct, frozen=True):
    """A topic as the cluster has it. `configs` are its effective settings, `own` the names set on the topic itself."""

    partitions: int
    replication: int
    configs: Mapping[str, str]
    own: frozenset[str] = frozenset()


class Change(msgspec.Struct, frozen=True):
    """A setting to set, or with `wanted` None to return to the cluster's default."""

    setting: str
    present: str | None
    wanted: str | None


class Update(msgspec.Struct, frozen=True):
    """A topic whose settings differ."""

    topic: str
    changes: tuple[Change, ...]


class Plan(msgspec.Struct, frozen=True):
    """What `apply` would do, what it refuses to do, and topics that are not declared (left alone)."""

    create: tuple[Topic, ...]
    update: tuple[Update, ...]
    refused: tuple[str, ...]
    extra: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        return not (self.create or self.update or self.refused)

    @property
    def summary(self) -> str:
        return f"Plan: {len(self.create)} to create, {len(self.update)} to update, 0 to delete."

    def lines(self) -> Iterator[str]:
        """The plan as text: + creates, ~ updates, ! refusals, ? undeclared topics, then the summary."""
        for topic in self.create:
            yield f"+ {topic.name} ({topic.partitions} partitions, replication {topic.replication})"
            for setting, value in sorted(topic.configs.items()):
                yield f"    {setting} = {value}"
        for update in self.update:
            yield f"~ {update.topic}"
            for change in update.changes:
                wanted = "the cluster's default" if change.wanted is None else change.wanted
                yield f"    {change.setting}: {change.present} -> {wanted}"
        for refusal in self.refused:
            yield f"! {refusal}"
        for name in self.extra:
            yield f"? {name} is not declared; it is left alone"
        yield self.summary


def plan(topics: Iterable[Topic], state: Mapping[str, ClusterTopic]) -> Plan:
    """The difference between what is declared and what is. Nothing is ever deleted."""
    create: list[Topic] = []
    update: list[Update] = []
    refused: list[str] = []
    declared: set[str] = set()
    for topic in topics:
        declared.add(topic.name)
        present = state.get(topic.name)
        if present is None:
            create.append(topic)
            continue
        refused += _refusals(topic, present)
        changes = tuple(_changes(topic, present))
        if changes:
            update.append(Update(topic.name, changes))
    extra = sorted(name for name in state if name not in declared and not name.startswith("__"))
    return Plan(tuple(create), tuple(update), tuple(refused), tuple(extra))


def _refusals(topic: Topic, present: ClusterTopic) -> Iterator[str]:
    if topic.partitions > present.partitions:
        yield (
            f"{topic.name}: {present.partitions} partitions cannot become {topic.partitions}: keys would move to other "
            "partitions, away from their rows. Declare a new version of the topic instead."
        )
    elif topic.partitions < present.partitions:
        yield f"{topic.name}: {present.partitions} partitions cannot become {topic.partitions}: Kafka removes none."
    if topic.replication != present.replication:
        yield (
            f"{topic.name}: replication {present.replication} cannot become {topic.replication} from here: "
            "reassign its replicas with the cluster's own tools."
        )


def _changes(topic: Topic, present: ClusterTopic) -> Iterator[Change]:
    for setting, wanted in topic.configs.items():
        found = present.configs.get(setting)
        if _normalized(found) != _normalized(wanted):
            yield Change(setting, found, wanted)
    for setting in sorted(present.own - topic.configs.keys()):
        yield Change(setting, present.configs.get(setting), None)


def _normalized(value: str | None) -> str | None:
    """A value with its list in order: Kafka keeps lists as they were given, and the order has no meaning."""
    return None if value is None else ",".join(sorted(value.split(",")))
