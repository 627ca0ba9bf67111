"""The one reader of declarations (topics.yaml, rules/, senders/, mappings): every fault at once, each with its line."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from yaml.nodes import MappingNode, Node, ScalarNode

from domain.errors import BadDeclaration

Place = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)
_COLLECTIONS: Final = frozenset({"tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"})
_MOST_VALUES: Final = 1_000_000
"""Far above any declaration; a page of aliases of aliases can stand for more values than memory holds."""


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
        """The data as `model`; `data` in its place where this document completes another one.

        Raises BadDeclaration with every fault that pydantic finds, each at the nearest line of this document.
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
    try:
        loader = yaml.SafeLoader(text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise BadDeclaration((f"{name}:{line}: cannot be read: no YAML: {error.reason}",)) from error
    try:
        root = loader.get_single_node()
        reading = _Reading(loader, name)
        data = None if root is None else reading.value(root, ())
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise BadDeclaration((f"{name}:{line}: cannot be read: no YAML: {error.problem}",)) from error
    except (RecursionError, _TooMany) as error:
        raise BadDeclaration((f"{name}:1: cannot be read: too deep or too large (an alias of itself?)",)) from error
    finally:
        loader.dispose()
    if reading.faults:
        raise BadDeclaration(tuple(reading.faults))
    return Document(name, data, reading.lines)


class _TooMany(Exception):
    """A document with more values than any declaration has: aliases of aliases, most likely."""


class _Reading:
    """Builds the data of nodes, noting lines and keys given twice (which YAML libraries let the last one win)."""

    def __init__(self, loader: yaml.SafeLoader, name: str) -> None:
        self._loader = loader
        self._name = name
        self._own: dict[int, frozenset[int]] = {}
        """By ID of a mapping's node: the IDs of the keys that it has itself, before merges (`<<`) are expanded."""
        self._values = 0
        self.lines: dict[Place, int] = {}
        self.faults: list[str] = []

    def value(self, node: Node, place: Place) -> Any:
        """The data of `node`, which is at `place` in the document. Raises _TooMany and RecursionError."""
        self._values += 1
        if self._values > _MOST_VALUES:
            raise _TooMany
        self.lines.setdefault(place, node.start_mark.line + 1)
        if isinstance(node, ScalarNode):
            return self._scalar(node, place)
        if node.tag not in _COLLECTIONS:
            return self._fault(node, place, f"no such type: {node.tag}")
        if isinstance(node, MappingNode):
            return self._mapping(node, place)
        return [self.value(item, (*place, index)) for index, item in enumerate(node.value)]

    def _scalar(self, node: ScalarNode, place: Place) -> Any:
        try:
            return self._loader.construct_object(node)
        except (ValueError, AttributeError):  # 2024-13-45 looks like a date, and `!!int x` claims to be a number
            return self._fault(node, place, f"{node.value} is no {node.tag.rpartition(':')[2]}")

    def _mapping(self, node: MappingNode, place: Place) -> dict[Hashable, Any]:
        own = self._own.setdefault(id(node), frozenset(id(key) for key, _ in node.value))
        self._loader.flatten_mapping(node)
        found: dict[Hashable, Any] = {}
        merged: set[Hashable] = set()
        for key_node, value_node in node.value:
            key = self._scalar(key_node, place) if isinstance(key_node, ScalarNode) else None
            if not isinstance(key, str | int):
                self._fault(key_node, (), "a key must be a word")
                continue
            here = (*place, key)
            if key in found and key not in merged:
                self._fault(key_node, here, "given twice")
                continue
            if id(key_node) in own:
                merged.discard(key)
            else:
                merged.add(key)
            self.lines[here] = key_node.start_mark.line + 1
            found[key] = self.value(value_node, here)
        return found

    def _fault(self, node: Node, place: Place, what: str) -> None:
        where = ".".join(map(str, place))
        self.faults.append(f"{self._name}:{node.start_mark.line + 1}: {where + ': ' if where else ''}{what}")
