"""Actions for any server: valid, boundary and invalid ones, derived from the action schema it publishes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any, NamedTuple

from jsonschema import Draft202012Validator
from referencing import Registry

Schema = Mapping[str, Any]
_DEPTH = 8
_NONSENSE = (TypeError, ValueError, LookupError, AttributeError, RecursionError)
"""What a schema that makes no sense raises somewhere; what was derived until then counts."""
_WRONG: tuple[Any, ...] = ("not a number", {"not": "fitting"}, ["not", "fitting"], 123456789, None)


class Invalid(NamedTuple):
    """An action that does not fit the schema, and what is wrong with it: `missing`, `extra`, `type`,
    `range`, or the whole `form`."""

    action: dict[str, Any]
    wrong: str
    key: str


def valid(schema: Schema, limit: int = 12) -> list[dict[str, Any]]:
    """Actions that fit a schema, the simplest first, then those that change one field (bounds, other enum values).

    Returns:
        At most `limit` distinct objects; none where the schema describes no object that can be derived.
    """
    found: list[dict[str, Any]] = []
    with suppress(*_NONSENSE):
        for candidate in _objects(schema, schema, 0):
            if isinstance(candidate, dict) and candidate not in found and fits(schema, candidate):
                found.append(candidate)
            if len(found) == limit:
                break
    return found


def invalid(schema: Schema, base: Mapping[str, Any], limit: int = 8) -> list[Invalid]:
    """Actions next to a valid one that do not fit the schema."""
    found: list[Invalid] = []
    with suppress(*_NONSENSE):
        found.extend(islice(_invalid(schema, dict(base)), limit))
    other = Invalid({"no_such_field": 1}, "form", "no_such_field")
    return found or [other] * (not fits(schema, other.action))


def fits(schema: Schema, value: Any) -> bool:
    """Whether a value validates; a schema that is none fits everything."""
    try:
        return bool(Draft202012Validator(schema, registry=Registry()).is_valid(value))
    except Exception:  # what a broken schema raises is anybody's guess; that it is broken is a finding elsewhere
        return True


def _invalid(schema: Schema, base: dict[str, Any]) -> Iterator[Invalid]:
    top = resolve(schema, schema)
    properties = top.get("properties", {})
    candidates = [Invalid(_without(base, key), "missing", key) for key in top.get("required", [])]
    candidates.append(Invalid({**base, "no_such_field": 1}, "extra", "no_such_field"))
    for key, inner in properties.items():
        candidates += [Invalid({**base, key: wrong}, "type", key) for wrong in _WRONG[:3]]
        candidates += [Invalid({**base, key: wrong}, "range", key) for wrong in _outside(resolve(inner, schema))]
    seen: set[tuple[str, str]] = set()
    for it in candidates:
        if (it.wrong, it.key) not in seen and not fits(schema, it.action):
            seen.add((it.wrong, it.key))
            yield it


def _without(base: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in base.items() if name != key}


def _outside(schema: Schema) -> Iterator[Any]:
    for key, step in (("maximum", 1), ("minimum", -1)):
        if isinstance(schema.get(key), (int, float)):
            yield schema[key] + step
    if "enum" in schema or "const" in schema:
        yield "no such value"


def resolve(schema: Any, root: Schema) -> Schema:
    """A schema without a `$ref` at its top, as far as the reference leads inside the document."""
    for _ in range(_DEPTH):
        ref = schema.get("$ref") if isinstance(schema, Mapping) else None
        if not isinstance(ref, str):
            break
        target: Any = root
        for part in ref.removeprefix("#/").split("/"):
            target = target.get(part.replace("~1", "/").replace("~0", "~"), {}) if isinstance(target, Mapping) else {}
        schema = {**target, **{k: v for k, v in schema.items() if k != "$ref"}} if isinstance(target, Mapping) else {}
    return schema if isinstance(schema, Mapping) else {}


def _objects(schema: Schema, root: Schema, depth: int) -> Iterator[Any]:
    """Values of a schema, the simplest first."""
    schema = resolve(schema, root)
    if depth > _DEPTH:
        return
    seen: list[str] = []
    for value in _values(schema, root, depth):
        text = json.dumps(value, sort_keys=True, default=str)
        if text not in seen:
            seen.append(text)
            yield value


def _values(schema: Schema, root: Schema, depth: int) -> Iterator[Any]:
    if "const" in schema:
        yield schema["const"]
        return
    if "enum" in schema:
        yield from schema["enum"]
        return
    yield from schema.get("examples", []) if isinstance(schema.get("examples"), list) else []
    if "default" in schema and schema["default"] is not None:
        yield schema["default"]
    for key in ("oneOf", "anyOf"):
        for option in schema.get(key, []):
            yield from islice(_objects({**_plain(schema), **resolve(option, root)}, root, depth + 1), 3)
    if schema.get("allOf"):
        merged: dict[str, Any] = _plain(schema)
        for part in schema["allOf"]:
            inner = resolve(part, root)
            merged = {**merged, **inner, "properties": {**merged.get("properties", {}), **inner.get("properties", {})}}
        yield from _objects(merged, root, depth + 1)
    types = schema.get("type", "object" if "properties" in schema else None)
    for type in types if isinstance(types, list) else [types]:
        yield from _of_type(type, schema, root, depth)


def _plain(schema: Schema) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key not in ("oneOf", "anyOf", "allOf", "default")}


def _of_type(type: Any, schema: Schema, root: Schema, depth: int) -> Iterator[Any]:
    match type:
        case "object":
            yield from _of_object(schema, root, depth)
        case "array":
            yield from _of_array(schema, root, depth)
        case "integer" | "number":
            yield from _of_number(type, schema)
        case "string":
            low, high = schema.get("minLength", 0), schema.get("maxLength", 1 << 16)
            yield from (text for text in ("a", "hello", "a" * low, "a" * min(high, 64)) if low <= len(text) <= high)
        case "boolean":
            yield from (False, True)
        case "null":
            yield None


def _of_number(type: str, schema: Schema) -> Iterator[Any]:
    low, high = schema.get("minimum"), schema.get("maximum")
    low = schema["exclusiveMinimum"] + 1 if low is None and "exclusiveMinimum" in schema else low
    high = schema["exclusiveMaximum"] - 1 if high is None and "exclusiveMaximum" in schema else high
    step = schema.get("multipleOf", 1)
    for value in (0, step, low, high, 0.5 if type == "number" else None):
        if value is not None and (low is None or value >= low) and (high is None or value <= high):
            yield value


def _of_array(schema: Schema, root: Schema, depth: int) -> Iterator[Any]:
    fixed = [next(_objects(part, root, depth + 1), None) for part in schema.get("prefixItems", [])]
    items = schema.get("items")
    length = max(schema.get("minItems", len(fixed)), len(fixed))
    if isinstance(items, Mapping) and items:
        for item in islice(_objects(items, root, depth + 1), 3):
            yield fixed + [item] * (length - len(fixed))
        if not length and schema.get("maxItems", 1):
            yield [next(_objects(items, root, depth + 1), None)]
    else:
        yield fixed + [0] * (length - len(fixed))


def _of_object(schema: Schema, root: Schema, depth: int) -> Iterator[Any]:
    properties = schema.get("properties", {})
    required = [key for key in schema.get("required", []) if key in properties]
    base = {key: next(_objects(properties[key], root, depth + 1), None) for key in required}
    # The field that says which kind of action it is stands in the way if it is left out.
    kinds = {key: inner["const"] for key, inner in properties.items() if "const" in inner}
    yield {**kinds, **base}
    yield base
    for key, inner in properties.items():
        for value in islice(_objects(inner, root, depth + 1), 4):
            yield {**kinds, **base, key: value}
