"""JSON Schema of a space's plain values, for people, prompts and validators. Terse: a model may read it every turn."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from gymnasium import Space
from gymnasium import spaces as S

from converters.gymnasium.arrays import SAFE
from converters.gymnasium.keys import key_to_json
from converters.gymnasium.stand_ins import UnicodeText

Schema = dict[str, Any]

_MAX_PATTERN: Final = 80
_BIG: Final[Schema] = {"type": "string", "pattern": "^-?[0-9]{16,20}$"}  # an integer past 2**53 - 1, by its digits


def json_schema(space: Space[Any]) -> Schema:
    """JSON Schema (draft 2020-12) of the plain form of the space's elements (`ValueCodec.encode`, without `types`)."""
    for kind, schema in _SCHEMAS.items():
        if isinstance(space, kind):
            result: Schema = schema(space)
            return result
    return {}


def _array(shape: Sequence[int], items: Schema) -> Schema:
    for index, side in reversed(list(enumerate(shape))):
        hollow = side == 0 or 0 in shape[index + 1 :]
        counts = {"maxItems": 0} if side == 0 else {"minItems": side, "maxItems": side}
        items = {"type": "array", **({} if hollow and side == 0 else {"items": items}), **counts}
    return items


def _box(space: S.Box[Any]) -> Schema:
    return _array(space.shape, _element(space.dtype, space.low, space.high))


def _element(dtype: np.dtype[Any], low: Any, high: Any) -> Schema:
    if dtype.kind == "b":
        return {"type": "boolean"}
    if not low.size:
        return {"type": "number" if dtype.kind == "f" else "integer"}
    if dtype.kind == "f":
        return _real(low.min(), high.max())
    return _integer(int(low.min()), int(high.max()))


def _real(low: Any, high: Any) -> Schema:
    schema: Schema = {"type": "number"}
    specials = ["NaN"]
    if np.isfinite(low):
        schema["minimum"] = shortest(low)
    else:
        specials.append("-Infinity")
    if np.isfinite(high):
        schema["maximum"] = shortest(high)
    else:
        specials.append("Infinity")
    return {"anyOf": [schema, {"enum": specials}]} if len(specials) > 1 else schema


def _integer(low: int, high: int) -> Schema:
    schema: Schema = {"type": "integer"}
    if abs(low) <= SAFE:
        schema["minimum"] = low
    if abs(high) <= SAFE:
        schema["maximum"] = high
    return schema if low >= -SAFE and high <= SAFE else {"anyOf": [schema, _BIG]}


def shortest(value: Any) -> float:
    """The float whose digits are the shortest that read back as the same NumPy float."""
    return float(str(np.float32(value))) if value.dtype.itemsize < 8 else float(value)


def _multi_discrete(space: S.MultiDiscrete[Any]) -> Schema:
    if not space.nvec.size:
        return _array(space.shape, {"type": "integer"})
    last = [int(start) + int(count) - 1 for start, count in zip(space.start.flat, space.nvec.flat, strict=True)]
    return _array(space.shape, _integer(int(space.start.min()), max(last)))


def _text(space: S.Text) -> Schema:
    schema: Schema = {"type": "string"}
    if space.min_length:
        schema["minLength"] = space.min_length
    schema["maxLength"] = space.max_length
    pattern = f"^[{_ranges(space.characters)}]*$"
    if not isinstance(space, UnicodeText) and space.characters and len(pattern) <= _MAX_PATTERN:
        schema["pattern"] = pattern
    return schema


def _ranges(characters: str) -> str:
    """The characters (sorted) as the inside of a regular expression's class."""
    runs: list[list[str]] = []
    for character in characters:
        if "\ud800" <= character <= "\udfff":
            return character * _MAX_PATTERN  # no JSON text has it, so no pattern
        if runs and ord(character) == ord(runs[-1][1]) + 1:
            runs[-1][1] = character
        else:
            runs.append([character, character])
    parts = []
    for first, last in runs:
        between = "-" if ord(last) > ord(first) + 1 else ""
        parts.append(_escape(first) + (between + _escape(last) if last != first else ""))
    return "".join(parts)


def _escape(character: str) -> str:
    return re.sub(r"([\\\]\[^-])", r"\\\1", character)


def _tuple(space: S.Tuple[Any]) -> Schema:
    return _fixed([json_schema(subspace) for subspace in space.spaces])


def _fixed(items: list[Schema]) -> Schema:
    if not items:
        return {"type": "array", "maxItems": 0}
    return {"type": "array", "prefixItems": items, "items": False, "minItems": len(items)}


def _dict(space: S.Dict) -> Schema:
    return _mapping({key: json_schema(subspace) for key, subspace in space.spaces.items()})


def _mapping(schemas: dict[Any, Schema]) -> Schema:
    keys = [key_to_json(key) for key in schemas]
    if all(type(key) is str for key in keys):
        properties = dict(zip(keys, schemas.values(), strict=True))
        return {"type": "object", "properties": properties, "required": keys, "additionalProperties": False}
    pairs = [_fixed([{"const": key}, schema]) for key, schema in zip(keys, schemas.values(), strict=True)]
    return {"type": "array", "items": {"anyOf": pairs}, "minItems": len(keys), "maxItems": len(keys)}


def _sequence(space: S.Sequence) -> Schema:
    return _batch(space.feature_space) if space.stack else {"type": "array", "items": json_schema(space.feature_space)}


def _batch(space: Space[Any]) -> Schema:
    if isinstance(space, S.Tuple):
        return _fixed([_batch(subspace) for subspace in space.spaces])
    if isinstance(space, S.Dict):
        return _mapping({key: _batch(subspace) for key, subspace in space.spaces.items()})
    return {"type": "array", "items": json_schema(space)}


def _graph(space: S.Graph) -> Schema:
    properties = {"nodes": _batch(space.node_space)}
    if space.edge_space is not None:
        link = _array((2,), {"type": "integer", "minimum": 0})
        properties |= {"edges": _batch(space.edge_space), "edge_links": {"type": "array", "items": link}}
    return {"type": "object", "properties": properties, "required": ["nodes"], "additionalProperties": False}


def _one_of(space: S.OneOf[Any]) -> Schema:
    return {"anyOf": [_fixed([{"const": i}, json_schema(subspace)]) for i, subspace in enumerate(space.spaces)]}


_SCHEMAS: Final[dict[type, Any]] = {
    S.Box: _box,
    S.Discrete: lambda space: _integer(int(space.start), int(space.start) + int(space.n) - 1),
    S.MultiDiscrete: _multi_discrete,
    S.MultiBinary: lambda space: _array(space.shape, {"enum": [0, 1]}),
    S.Text: _text,
    S.Tuple: _tuple,
    S.Dict: _dict,
    S.Sequence: _sequence,
    S.Graph: _graph,
    S.OneOf: _one_of,
}
