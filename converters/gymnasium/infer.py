"""Spaces for servers that do not say theirs, inferred from the JSON Schemas of `GET /schema`.

Total but honest: whatever a schema says gets a space that holds every value it allows (the table is in
`docs/gymnasium.md`). JSON Schema alone rarely makes a trainable space; each can be overridden.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from gymnasium import Space, spaces

from converters.gymnasium.spaces import UnicodeText
from interop.errors import CannotCarry, ProtocolError

MAX_TEXT = 1 << 20
"""Longest text where a schema says none, in characters."""
MAX_DISCRETE = 1 << 31
_FRAME_FIELDS = ("done", "reward", "metadata")

Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Inferred:
    """Spaces and what turns their values into JSON and back."""

    observation_space: Space[Any]
    action_space: Space[Any]
    encode_action: Callable[[Any], Mapping[str, Any]]
    decode_observation: Callable[[Mapping[str, Any]], Any]


@dataclass(frozen=True, slots=True)
class _Node:
    """A space, its values to JSON, and JSON to its values."""

    space: Space[Any]
    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]


class Labels(spaces.Discrete):
    """The values of an enum: an index into `labels`, the JSON values in the schema's order."""

    def __init__(self, labels: list[Any]) -> None:
        super().__init__(len(labels))
        self.labels = labels

    def __repr__(self) -> str:
        return f"Labels({self.labels})"


def infer(schema: Schema) -> Inferred:
    """The spaces of the body of `GET /schema`.

    An action with one required field is that field alone; the optional ones keep the server's defaults. An action that
    is one of several objects is its JSON as text. An observation
    with one field, beside `done`, `reward` and `metadata`, is that field alone.
    """
    action, observation = schema["action"], schema.get("observation", {})
    encode, action_node = _action(action)
    fields = _fields(observation)
    if len(fields) == 1:
        (name,) = fields
        node = _field(observation, name, observation)
        return Inferred(node.space, action_node.space, encode, lambda o: node.decode(o.get(name, _MISSING)))
    node = _object(observation, fields, observation)
    return Inferred(node.space, action_node.space, encode, node.decode)


def text_space() -> Space[Any]:
    """The space of text mode: any text."""
    return UnicodeText(MAX_TEXT)


def text_observation(observation: Mapping[str, Any]) -> str:
    """An observation as text: its one text field, else the object as JSON."""
    fields = {key: value for key, value in observation.items() if key not in _FRAME_FIELDS}
    texts = [value for value in fields.values() if isinstance(value, str)]
    if len(texts) == 1 and len(fields) == 1:
        return texts[0]
    return json.dumps(fields, ensure_ascii=False)


def text_action(schema: Schema) -> Callable[[Any], Mapping[str, Any]]:
    """Makes an action of a text: the one required field of the action schema, or the action as JSON."""
    action = schema["action"]
    required = [name for name in action.get("required", []) if name != "metadata"]
    if len(required) != 1:

        def from_json(text: Any) -> Mapping[str, Any]:
            try:
                parsed = json.loads(text)
            except ValueError as exc:
                raise CannotCarry("/action", text, f"it is not JSON ({exc})", _way_out(action)) from None
            if not isinstance(parsed, dict):
                raise CannotCarry("/action", text, "it is not a JSON object", _way_out(action))
            return parsed

        return from_json
    (name,) = required
    is_text = _resolve(action.get("properties", {}).get(name, {}), action).get("type") == "string"

    def fill(text: Any) -> Mapping[str, Any]:
        if is_text:
            return {name: text}
        try:
            return {name: json.loads(text)}
        except ValueError:
            return {name: text}  # the server says what is wrong with it

    return fill


def _way_out(action: Schema) -> str:
    if not _fields(action) and ("oneOf" in action or "anyOf" in action):
        return "The action is one of several objects; write it as JSON."
    return f"The action has the fields {', '.join(_fields(action)) or 'none'}; write them as a JSON object."


_MISSING: Any = object()


def _action(schema: Schema) -> tuple[Callable[[Any], Mapping[str, Any]], _Node]:
    fields = _fields(schema)
    if not fields and ("oneOf" in schema or "anyOf" in schema):  # no space has objects of different fields
        encode = text_action({"action": schema})
        return encode, _Node(text_space(), encode, json.dumps)
    required = [name for name in schema.get("required", []) if name in fields]
    if len(required) == 1:
        (name,) = required
        node = _node(schema["properties"][name], schema)
        return lambda value: {name: node.encode(value)}, node
    node = _object(schema, fields, schema)
    return cast(Callable[[Any], Mapping[str, Any]], node.encode), node


def _fields(schema: Schema) -> list[str]:
    return [name for name in schema.get("properties", {}) if name not in _FRAME_FIELDS]


def _object(schema: Schema, fields: list[str], root: Schema) -> _Node:
    nodes = {name: _field(schema, name, root) for name in fields}
    return _Node(
        spaces.Dict({name: node.space for name, node in nodes.items()}),
        lambda value: {name: node.encode(value[name]) for name, node in nodes.items()},
        lambda data: {name: node.decode(data.get(name, _MISSING)) for name, node in nodes.items()},
    )


def _field(schema: Schema, name: str, root: Schema) -> _Node:
    """A field of an object, which may be missing unless it is required or has a default."""
    inner = schema["properties"][name]
    node = _node(inner, root)
    if name in schema.get("required", []):
        return _present(node, name)
    if "default" in inner:
        default = inner["default"]
        return _Node(node.space, node.encode, lambda v: node.decode(default if v is _MISSING else v))
    if _is_nullable(inner):
        return _Node(node.space, node.encode, lambda v: node.decode(None if v is _MISSING else v))
    optional = _nullable(node)
    return _Node(optional.space, optional.encode, lambda v: optional.decode(None if v is _MISSING else v))


def _present(node: _Node, name: str) -> _Node:
    def decode(value: Any) -> Any:
        if value is _MISSING:
            raise ProtocolError(f"the observation has no field {name!r}, which the server's schema requires")
        return node.decode(value)

    return _Node(node.space, node.encode, decode)


def _node(schema: Any, root: Schema) -> _Node:
    schema = _resolve(schema, root)
    if "const" in schema:
        return _labels([schema["const"]])
    if "enum" in schema:
        return _labels(list(schema["enum"]))
    options = schema.get("anyOf") or schema.get("oneOf")
    if options:
        return _union([option for option in options if option.get("type") != "null"], options, root)
    kind = schema.get("type")
    if isinstance(kind, list):
        kinds = [{**schema, "type": name} for name in kind]
        return _union([option for option in kinds if option["type"] != "null"], kinds, root)
    match kind:
        case "string":
            return _string(schema)
        case "boolean":
            return _Node(spaces.Discrete(2), bool, lambda value: np.int64(bool(value)))
        case "integer":
            return _integer(schema)
        case "number":
            return _number(schema)
        case "array":
            return _array(schema, root)
        case "object" if schema.get("properties"):
            return _object(schema, list(schema["properties"]), root)
    return _json_text()


def _labels(labels: list[Any]) -> _Node:
    space = Labels(labels)

    def encode(index: Any) -> Any:
        if not space.contains(index):  # -1 would be the last label
            raise CannotCarry("/action", index, f"it is not in {space}", f"Take an index from 0 to {len(labels) - 1}.")
        return labels[int(index)]

    return _Node(space, encode, lambda value: np.int64(labels.index(value)))


def _union(options: list[Any], all_options: list[Any], root: Schema) -> _Node:
    if len(options) != 1:
        return _json_text()
    node = _node(options[0], root)
    return _nullable(node) if len(all_options) > 1 else node


def _nullable(node: _Node) -> _Node:
    """None is `(0, 0)`, a value is `(1, value)`."""
    return _Node(
        spaces.OneOf((spaces.Discrete(1), node.space)),
        lambda value: None if int(value[0]) == 0 else node.encode(value[1]),
        lambda value: (np.int64(0), np.int64(0)) if value is None else (np.int64(1), node.decode(value)),
    )


def _string(schema: Schema) -> _Node:
    space = UnicodeText(schema.get("maxLength", MAX_TEXT), min_length=schema.get("minLength", 0))
    return _Node(space, str, str)


def _integer(schema: Schema) -> _Node:
    low, high = _bounds(schema, 1)
    if math.isfinite(low) and math.isfinite(high) and 0 < high - low + 1 <= MAX_DISCRETE:
        discrete = spaces.Discrete(int(high - low + 1), start=int(low))
        return _Node(discrete, int, np.int64)
    limits = np.iinfo(np.int64)
    box = spaces.Box(
        # No bound is sampled from; the dtype's limit as a bound is not.
        np.int64(low) if low > limits.min else -np.inf,
        np.int64(high) if high < limits.max else np.inf,
        (),
        np.int64,
    )
    return _Node(box, int, lambda value: np.array(value, np.int64))


def _number(schema: Schema) -> _Node:
    low, high = _bounds(schema, 0)
    box = spaces.Box(low, high, (), np.float64)
    # Official servers write NaN and the infinities as null.
    return _Node(box, float, lambda value: np.array(np.nan if value is None else value, np.float64))


def _array(schema: Schema, root: Schema) -> _Node:
    if "prefixItems" in schema:
        return _fixed([_node(item, root) for item in schema["prefixItems"]])
    node = _node(schema.get("items", {}), root)
    length = schema.get("minItems")
    if length is not None and length == schema.get("maxItems") and isinstance(node.space, spaces.Box):
        inner = node.space
        shape = (length, *inner.shape)
        low, high = (np.broadcast_to(bound, shape) for bound in (inner.low, inner.high))
        box = spaces.Box(low, high, shape, inner.dtype.type)
        for name in ("bounded_below", "bounded_above"):
            setattr(box, name, np.broadcast_to(getattr(inner, name), shape).copy())
        return _Node(box, lambda value: np.asarray(value).tolist(), lambda value: np.array(value, inner.dtype))
    if length is not None and length == schema.get("maxItems"):
        return _fixed([_node(schema.get("items", {}), root) for _ in range(length)])
    return _Node(
        spaces.Sequence(node.space),
        lambda value: [node.encode(item) for item in value],
        lambda value: tuple(node.decode(item) for item in value),
    )


def _fixed(nodes: list[_Node]) -> _Node:
    return _Node(
        spaces.Tuple([node.space for node in nodes]),
        lambda value: [node.encode(item) for node, item in zip(nodes, value, strict=True)],
        lambda value: tuple(node.decode(item) for node, item in zip(nodes, value, strict=True)),
    )


def _json_text() -> _Node:
    """Anything else: JSON as text. A text that is no JSON is itself, and the server says what is wrong with it."""

    def encode(text: str) -> Any:
        try:
            return json.loads(text)
        except ValueError:
            return text

    return _Node(UnicodeText(MAX_TEXT), encode, lambda v: json.dumps(None if v is _MISSING else v))


def _bounds(schema: Schema, step: int) -> tuple[float, float]:
    low = schema.get("minimum", -math.inf)
    high = schema.get("maximum", math.inf)
    if "exclusiveMinimum" in schema:
        low = max(low, schema["exclusiveMinimum"] + step)
    if "exclusiveMaximum" in schema:
        high = min(high, schema["exclusiveMaximum"] - step)
    return low, high


def _is_nullable(schema: Schema) -> bool:
    return any(option.get("type") == "null" for option in schema.get("anyOf", []))


def _resolve(schema: Any, root: Schema) -> Schema:
    for _ in range(32):  # a chain of references; a longer one is a cycle
        if not isinstance(schema, dict):
            return {}
        reference = schema.get("$ref")
        if isinstance(reference, str) and reference.startswith("#/"):
            target: Any = root
            for part in reference[2:].split("/"):
                target = target.get(part.replace("~1", "/").replace("~0", "~"), {})
            schema = target
        elif len(schema.get("allOf", ())) == 1:
            schema = {**schema, **schema["allOf"][0], "allOf": []}
        else:
            return schema
    return {}
