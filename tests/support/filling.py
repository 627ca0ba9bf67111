"""A value of any type, every field of it set and no two alike: what a row looks like when nothing of it is left out."""

from __future__ import annotations

from itertools import count
from typing import Any

import msgspec
from msgspec import inspect


def filled(kind: type[msgspec.Struct]) -> Any:
    """A struct of that type. The same type gives the same value; another field, type or order of fields, another."""
    return _value(inspect.type_info(kind), count(1))


def _value(kind: inspect.Type, numbers: count[int]) -> Any:
    match kind:
        case inspect.StructType(cls, fields):
            return cls(**{field.name: _value(field.type, numbers) for field in fields})
        case inspect.UnionType(types):
            return _value(next(each for each in types if not isinstance(each, inspect.NoneType)), numbers)
        case inspect.DictType(key, value):
            return {_value(key, numbers): _value(value, numbers)}
        case inspect.TupleType(each):
            return tuple(_value(part, numbers) for part in each)
        case inspect.VarTupleType() | inspect.CollectionType():
            return (_value(kind.item_type, numbers),)
        case inspect.BoolType():
            return True
        case inspect.IntType():
            return next(numbers)
        case inspect.BytesType():
            return f"b{next(numbers)}".encode()
        case inspect.StrType():
            return f"t{next(numbers)}"
    raise AssertionError(f"no value for {kind}")
