"""JSON Schemas in a line, for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_DEPTH = 3
_NAMES = 8


def short(schema: Any, root: Mapping[str, Any] | None = None, depth: int = 0) -> str:
    """A schema in a line: `{action*: integer 0..1}`, where `*` marks what is required."""
    if not isinstance(schema, Mapping):
        return "any" if schema is True else "none"
    if depth > 2 * _DEPTH:
        return "..."
    root = schema if root is None else root
    schema = _resolve(schema, root)
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " | ".join(json.dumps(value, ensure_ascii=False) for value in schema["enum"][:_NAMES])
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " | ".join(dict.fromkeys(short(option, root, depth + 1) for option in schema[key]))
    kind = schema.get("type")
    if isinstance(kind, list):
        return " | ".join(short({**schema, "type": one}, root, depth) for one in kind)
    if kind == "object" or "properties" in schema:
        return _object(schema, root, depth)
    if kind == "array":
        return _array(schema, root, depth)
    return f"{kind or 'any'}{_bounds(schema)}"


def _object(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> str:
    properties = schema.get("properties", {})
    if not properties or depth >= _DEPTH:
        return "object"
    required = schema.get("required", ())
    fields = [
        f"{name}{'*' if name in required else ''}: {short(value, root, depth + 1)}"
        for name, value in list(properties.items())[:_NAMES]
    ]
    return "{" + ", ".join(fields + ["..."] * (len(properties) > _NAMES)) + "}"


def _array(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> str:
    if "prefixItems" in schema:
        return "[" + ", ".join(short(item, root, depth + 1) for item in schema["prefixItems"][:_NAMES]) + "]"
    low, high = schema.get("minItems"), schema.get("maxItems")
    count = "" if low is None and high is None else f"{low}" if low == high else f"{low or 0}..{_end(high)}"
    return f"[{short(schema.get('items', True), root, depth + 1)}]{' x ' + count if count else ''}"


def _bounds(schema: Mapping[str, Any]) -> str:
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    return "" if low is None and high is None else f" {'' if low is None else low}..{_end(high)}"


def _end(value: Any) -> str:
    return "" if value is None else f"{value}"


def _resolve(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    for _ in range(8):  # a chain of references, which may be a ring
        reference = schema.get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#"):
            break
        found: Any = root
        for segment in reference.split("/")[1:]:
            found = found.get(segment, {}) if isinstance(found, Mapping) else {}
        schema = found if isinstance(found, Mapping) else {}
    return schema
