"""JSON Schemas of what the member stage publishes, generated from the Structs that write it.

`schemas/*.json` is committed; a test keeps it equal to the Structs, and `broken_by` lists what a consumer
of an older schema would trip over. Run as a module to write the files anew.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

import msgspec

from parsers.records.documents import DOCUMENTS

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def schemas() -> dict[str, dict[str, Any]]:
    """The schema of each document by file name."""
    return {f"{name}.v1.json": {"$schema": DIALECT, **msgspec.json.schema(kind)} for name, kind in DOCUMENTS.items()}


def write(directory: Path) -> list[Path]:
    """Write all schemas into `directory`; returns the files."""
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for name, schema in schemas().items():
        path = directory / name
        path.write_text(json.dumps(schema, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        written.append(path)
    return written


def broken_by(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What someone who reads documents by the `old` schema could not rely on in those of the `new` one.

    A property that went away or is no longer always there, and a type that a reader did not have to expect.
    """
    return _compare("", old, old, new, new)


def _compare(
    place: str, old: dict[str, Any], old_root: dict[str, Any], new: dict[str, Any], new_root: dict[str, Any]
) -> list[str]:
    old, new = _resolve(old, old_root), _resolve(new, new_root)
    faults: list[str] = []
    more = _types(new, new_root) - _types(old, old_root)
    if more:
        faults.append(f"{place or '.'}: may now be {', '.join(sorted(more))}")
    for name, kind in old.get("properties", {}).items():
        inside = f"{place}.{name}"
        if name not in new.get("properties", {}):
            faults.append(f"{inside}: gone")
            continue
        if name in old.get("required", ()) and name not in new.get("required", ()):
            faults.append(f"{inside}: no longer always there")
        faults += _compare(inside, kind, old_root, new["properties"][name], new_root)
    for part in ("items", "additionalProperties"):
        if isinstance(old.get(part), dict) and isinstance(new.get(part), dict):
            faults += _compare(f"{place}[]", old[part], old_root, new[part], new_root)
    return faults


def _resolve(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    """Follow references; of "this or null", take this."""
    while "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    options = [option for option in schema.get("anyOf", ()) if option.get("type") != "null"]
    if len(options) == 1 and "$ref" in options[0]:
        return {**_resolve(options[0], root), "anyOf": schema["anyOf"]}
    return schema


def _types(schema: dict[str, Any], root: dict[str, Any]) -> set[str]:
    if "anyOf" in schema:
        return {kind for option in schema["anyOf"] for kind in _types(_resolve(option, root), root)}
    return {schema["type"]} if "type" in schema else set()


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else "schemas"))
