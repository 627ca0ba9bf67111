"""Reading the YAML files that declare things (topics, senders, rules): every fault at once, each with its line."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from domain.errors import BadDeclaration

Place = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)


class Document(NamedTuple):
    """A YAML document as data, with the line (from 1) of every key and item."""

    name: str
    data: Any
    lines: dict[Place, int]

    def fault(self, place: Place, what: str) -> str:
        """`file:line: the.place: what`, with the line of the nearest enclosing thing that the file does have."""
        known = place
        while known and known not in self.lines:
            known = known[:-1]
        where = ".".join(str(part) for part in place)
        return f"{self.name}:{self.lines.get(known, 1)}: {where + ': ' if where else ''}{what}"

    def into(self, model: type[Model], data: Any = None) -> Model:
        """The data as `model`, or `data` where this document completes another. Raises BadDeclaration with every fault
        that pydantic finds, at the line of this document where it has one.
        """
        try:
            return model.model_validate(self.data if data is None else data)
        except ValidationError as error:
            faults = (self.fault(item["loc"], _wording(item["type"], item["msg"])) for item in error.errors())
            raise BadDeclaration(tuple(faults)) from error


def _wording(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return "unknown key"
    return message.removeprefix("Value error, ")


def read_declaration(path: Path, name: str = "") -> Document:
    """A file's document, called `name` in faults (its file name by default).

    Raises BadDeclaration when it cannot be read, is no YAML, or gives a key twice.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadDeclaration((f"{name or path.name}: cannot be read ({type(error).__name__})",)) from error
    return parse_declaration(content, name or path.name)


def parse_declaration(content: str | bytes, name: str) -> Document:
    """The document in `content`, which is called `name` in faults. Raises BadDeclaration."""
    try:
        text = content if isinstance(content, str) else content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadDeclaration((f"{name}: cannot be read: not UTF-8",)) from error
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        reading = _Reading(loader, name)
        data = None if root is None else reading.value(root, ())
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise BadDeclaration((f"{name}:{line}: cannot be read: no YAML: {error.problem}",)) from error
    finally:
        loader.dispose()
    if reading.faults:
        raise BadDeclaration(tuple(reading.faults))
    return Document(name, data, reading.lines)


class _Reading:
    """Builds the data of nodes, noting lines and keys given twice (which YAML libraries let the last one win)."""

    def __init__(self, loader: yaml.SafeLoader, name: str) -> None:
        self._loader = loader
        self._name = name
        self.lines: dict[Place, int] = {}
        self.faults: list[str] = []

    def value(self, node: Node, place: Place) -> Any:
        self.lines.setdefault(place, node.start_mark.line + 1)
        if isinstance(node, MappingNode):
            return self._mapping(node, place)
        if isinstance(node, SequenceNode):
            return [self.value(item, (*place, index)) for index, item in enumerate(node.value)]
        return self._loader.construct_object(node)

    def _mapping(self, node: MappingNode, place: Place) -> dict[Hashable, Any]:
        self._loader.flatten_mapping(node)
        found: dict[Hashable, Any] = {}
        for key_node, value_node in node.value:
            key = self._loader.construct_object(key_node, deep=True) if isinstance(key_node, ScalarNode) else None
            line = key_node.start_mark.line + 1
            if not isinstance(key, str | int):
                self.faults.append(f"{self._name}:{line}: a key must be a word")
                continue
            here = (*place, key)
            if key in found:
                self.faults.append(f"{self._name}:{line}: {'.'.join(map(str, here))}: given twice")
                continue
            self.lines[here] = line
            found[key] = self.value(value_node, here)
        return found
