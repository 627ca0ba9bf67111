"""topics.yaml: its shape, its rules, and the topics of one environment."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from domain.errors import BadDeclaration
from streams.topics.units import TOPIC_CONFIGS, kafka_value
from streams.yaml_lines import Document, Place, parse_declaration, read_declaration

Configs = dict[str, str | int | float | bool]
_NAME: Final = re.compile(r"[a-z][a-z0-9.-]*\.v[1-9][0-9]*")


class Topic(msgspec.Struct, frozen=True):
    """One topic of an environment. `configs` are in Kafka's units: milliseconds and bytes."""

    name: str
    partitions: int
    replication: int
    configs: Mapping[str, str]
    copartition: str | None
    classification: str
    producers: tuple[str, ...]
    consumers: tuple[str, ...]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Key(_Strict):
    field: str
    copartition: str | None = None


class _Defaults(_Strict):
    partitions: int = Field(ge=1, le=1000)
    replication: int = Field(ge=1, le=9)
    configs: Configs = {}


class _Environment(_Strict):
    partitions: int | None = Field(default=None, ge=1, le=1000)
    replication: int | None = Field(default=None, ge=1, le=9)
    configs: Configs = {}


class _Topic(_Strict):
    description: str
    owner: str
    classification: Literal["phi", "ops"]
    key: _Key
    partitions: int | None = Field(default=None, ge=1, le=1000)
    configs: Configs = {}
    producers: tuple[str, ...] = Field(min_length=1)
    consumers: tuple[str, ...] = Field(min_length=1)


class _File(_Strict):
    version: Literal[1]
    defaults: _Defaults
    environments: dict[str, _Environment] = Field(min_length=1)
    roles: dict[str, str]
    topics: dict[str, _Topic] = Field(min_length=1)


class Topics:
    """The whole declaration, already checked."""

    def __init__(self, file: _File) -> None:
        self._file = file

    @property
    def environments(self) -> tuple[str, ...]:
        return tuple(self._file.environments)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._file.topics)

    def describe(self, name: str) -> str:
        """A topic's one-line description."""
        return self._file.topics[name].description

    def for_environment(self, name: str, names: Mapping[str, str] | None = None) -> tuple[Topic, ...]:
        """Every topic as that environment has it, called as `names` says where it was moved to another version.

        Raises BadDeclaration for an environment that is not declared.
        """
        if name not in self._file.environments:
            raise BadDeclaration((f"no environment {name!r}: topics.yaml has {', '.join(self.environments)}",))
        found = tuple(_resolved(self._file, name, topic) for topic in self._file.topics)
        if not names:
            return found
        return tuple(msgspec.structs.replace(topic, name=names.get(topic.name, topic.name)) for topic in found)


def load_topics(path: Path) -> Topics:
    """The declaration in a file. Raises BadDeclaration with every fault and its line."""
    return _checked(read_declaration(path))


def parse_topics(text: str, name: str = "topics.yaml") -> Topics:
    """The declaration in a text. Raises BadDeclaration with every fault and its line."""
    return _checked(parse_declaration(text, name))


def _checked(document: Document) -> Topics:
    file = document.into(_File)
    faults = [document.fault(place, what) for place, what in (*_config_faults(file), *_topic_faults(file))]
    if not faults:
        faults = [document.fault(place, what) for place, what in _resolved_faults(file)]
    if faults:
        raise BadDeclaration(tuple(faults))
    return Topics(file)


def _config_faults(file: _File) -> Iterator[tuple[Place, str]]:
    places: list[tuple[Place, Configs]] = [(("defaults",), file.defaults.configs)]
    places += [(("environments", name), environment.configs) for name, environment in file.environments.items()]
    places += [(("topics", name), topic.configs) for name, topic in file.topics.items()]
    for place, configs in places:
        for setting, written in configs.items():
            here = (*place, "configs", setting)
            if setting not in TOPIC_CONFIGS:
                yield here, "Kafka has no such topic setting"
                continue
            try:
                kafka_value(setting, written)
            except ValueError as error:
                yield here, str(error)


def _topic_faults(file: _File) -> Iterator[tuple[Place, str]]:
    for name, topic in file.topics.items():
        here: Place = ("topics", name)
        if not _NAME.fullmatch(name):
            yield here, "a topic is named in lower case and ends in its version (.v1)"
        for key, roles in (("owner", (topic.owner,)), ("producers", topic.producers), ("consumers", topic.consumers)):
            for role in roles:
                if role not in file.roles:
                    yield (*here, key), f"{role!r} is none of the roles"


def _resolved_faults(file: _File) -> Iterator[tuple[Place, str]]:
    """What can be wrong only once defaults and environment are put together."""
    for environment in file.environments:
        groups: dict[str, Topic] = {}
        for name in file.topics:
            topic = _resolved(file, environment, name)
            here: Place = ("topics", name)
            if ".changelog." in name and topic.configs.get("cleanup.policy") != "compact":
                yield here, f"a changelog must have cleanup.policy compact ({environment})"
            if int(topic.configs.get("min.insync.replicas", "1")) > topic.replication:
                yield here, f"min.insync.replicas is above the replication of {topic.replication} ({environment})"
            if topic.copartition is None:
                continue
            first = groups.setdefault(topic.copartition, topic)
            if first.partitions != topic.partitions:
                yield (
                    here,
                    f"{topic.partitions} partitions, but {first.name} of the same co-partition group "
                    f"{topic.copartition!r} has {first.partitions} ({environment})",
                )


def _resolved(file: _File, environment_name: str, name: str) -> Topic:
    topic, environment = file.topics[name], file.environments[environment_name]
    written = {**file.defaults.configs, **environment.configs, **topic.configs}
    return Topic(
        name=name,
        partitions=topic.partitions or environment.partitions or file.defaults.partitions,
        replication=environment.replication or file.defaults.replication,
        configs={setting: kafka_value(setting, value) for setting, value in written.items()},
        copartition=topic.key.copartition,
        classification=topic.classification,
        producers=topic.producers,
        consumers=topic.consumers,
    )
