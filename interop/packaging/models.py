"""Pydantic models, as Python text, of the JSON Schemas that an environment describes itself by.

A model accepts all that its schema accepts; what pydantic has no words for is left open (`Any`), never narrowed.
"""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

Schema = Mapping[str, Any]

_PLAIN = {"integer": "int", "number": "float", "string": "str", "boolean": "bool", "null": "None"}
_LIMITS = {
    "integer": {"minimum": "ge", "maximum": "le", "exclusiveMinimum": "gt", "exclusiveMaximum": "lt"},
    "number": {"minimum": "ge", "maximum": "le", "exclusiveMinimum": "gt", "exclusiveMaximum": "lt"},
    "string": {"minLength": "min_length", "maxLength": "max_length"},
    "array": {"minItems": "min_length", "maxItems": "max_length"},
}
_INHERITED = {
    "Action": {"metadata"},
    "Observation": {"done", "reward", "metadata"},
    "State": {"episode_id", "step_count"},
}
"""Fields that openenv's own models have."""
_DEPTH = 16


@dataclass
class Module:
    """The classes of a module, in the order in which they are defined.

    Attributes:
        classes: Their texts by their names.
    """

    classes: dict[str, str] = field(default_factory=dict)
    _taken: set[str] = field(default_factory=set)

    def add(self, name: str, base: str, schema: Schema, doc: str) -> None:
        """Define a model: an object's schema as a class of this name, which derives from `base`."""
        top = _resolved(schema, schema)
        self.reserve(name)
        lines = _Fields(self, name, schema).lines(top, _INHERITED.get(base, set()))
        self._define(name, base, top, doc, lines)

    def reserve(self, name: str) -> str:
        """A name for a class that no other one has: this one, or with a number."""
        found, number = name, 1
        while found in self._taken:
            number += 1
            found = f"{name}{number}"
        self._taken.add(found)
        return found

    def _define(self, name: str, base: str, schema: Schema, doc: str, lines: Iterable[str]) -> None:
        # An object's further keys are allowed where nothing forbids them.
        extra = "forbid" if schema.get("additionalProperties") is False else "allow"
        body = [
            f'    """{prose(doc)}"""',
            "",
            f'    model_config = ConfigDict(extra="{extra}", populate_by_name=True)',
        ]
        fields = [f"    {line}" for line in lines]
        text = "\n".join([f"class {name}({base}):", *body, *([""] if fields else []), *fields])
        self.classes[name] = text

    def __str__(self) -> str:
        return "\n\n\n".join(self.classes.values())


@dataclass
class _Fields:
    """The fields of a class, and the classes that they need."""

    module: Module
    name: str
    root: Schema
    _defined: dict[str, str] = field(default_factory=dict)

    def lines(self, schema: Schema, skipped: Iterable[str] = ()) -> list[str]:
        """A line for each property."""
        needed = set(schema.get("required", ()))
        names = [name for name in schema.get("properties", {}) if name not in set(skipped)]
        return [self._line(name, schema["properties"][name], name in needed) for name in names]

    def _line(self, name: str, schema: Any, needed: bool) -> str:
        kind = self._kind(schema, f"{self.name}{_camel(name)}", 0)
        arguments = []
        if not needed:
            default = schema.get("default") if isinstance(schema, Mapping) else None
            arguments.append(f"default={default!r}")
            if default is None and "None" not in kind.split(" | ") and kind != "Any":
                kind += " | None"
        safe = _safe(name)
        if safe != name:
            arguments.append(f"alias={json.dumps(name)}")
        said = schema.get("description") if isinstance(schema, Mapping) else None
        if said:
            arguments.append(f"description={json.dumps(' '.join(str(said).split()), ensure_ascii=False)}")
        if not arguments:
            return f"{safe}: {kind}"
        if len(arguments) == 1 and arguments[0].startswith("default="):
            return f"{safe}: {kind} = {arguments[0].removeprefix('default=')}"
        return f"{safe}: {kind} = Field({', '.join(arguments)})"

    def _kind(self, schema: Any, name: str, depth: int) -> str:
        """The annotation of a schema; `name` is that of a class it may need."""
        if not isinstance(schema, Mapping) or depth > _DEPTH:
            return "Any"
        if "$ref" in schema:
            return self._referred(schema["$ref"], depth)
        if "const" in schema or "enum" in schema:
            return _literal(schema["enum"] if "enum" in schema else [schema["const"]])
        for key in ("anyOf", "oneOf"):
            if key in schema:
                return _union(self._kind(it, f"{name}{i or ''}", depth + 1) for i, it in enumerate(schema[key]))
        kinds = schema.get("type")
        if isinstance(kinds, list):
            return _union(self._kind({**schema, "type": kind}, name, depth + 1) for kind in kinds)
        if kinds == "array":
            return _limited(self._array(schema, name, depth), schema, "array")
        if kinds == "object":
            return self._object(schema, name, depth)
        return _limited(_PLAIN[kinds], schema, kinds) if kinds in _PLAIN else "Any"

    def _array(self, schema: Schema, name: str, depth: int) -> str:
        parts = schema.get("prefixItems")
        if parts and schema.get("items") is False and schema.get("minItems") == len(parts):
            return f"tuple[{', '.join(self._kind(it, f'{name}{i}', depth + 1) for i, it in enumerate(parts))}]"
        return f"list[{'Any' if parts else self._kind(schema.get('items'), name, depth + 1)}]"

    def _object(self, schema: Schema, name: str, depth: int) -> str:
        if not schema.get("properties"):
            return f"dict[str, {self._kind(schema.get('additionalProperties'), name, depth + 1)}]"
        return self._nested(self.module.reserve(name), schema)

    def _referred(self, reference: str, depth: int) -> str:
        """What a reference inside the schema names, which may name itself."""
        if reference not in self._defined:
            found = _resolved({"$ref": reference}, self.root)
            if found.get("type") != "object" or not found.get("properties"):
                return self._kind(found, self.name, depth + 1)
            name = self.module.reserve(f"{self.name}{_camel(reference.rpartition('/')[2])}")
            self._defined[reference] = name  # before its fields, which may refer to it
            self._nested(name, found)
        return self._defined[reference]

    def _nested(self, name: str, schema: Schema) -> str:
        inner = _Fields(self.module, name, self.root, self._defined)
        doc = schema.get("description") or f"A part of {self.name}."
        self.module._define(name, "BaseModel", schema, doc, inner.lines(schema))
        return name


def _resolved(schema: Schema, root: Schema) -> Schema:
    """A schema without a reference at its top; `{}` for one that leads nowhere."""
    for _ in range(_DEPTH):
        reference = schema.get("$ref")
        if not isinstance(reference, str):
            return schema
        found: Any = root
        for part in reference.removeprefix("#/").split("/"):
            found = found.get(part, {}) if isinstance(found, Mapping) else {}
        schema = found
    return {}


def _literal(values: Iterable[Any]) -> str:
    chosen = list(values)
    if not chosen or not all(value is None or isinstance(value, (str, int)) for value in chosen):
        return "Any"  # `Literal` has neither floats nor arrays
    return f"Literal[{', '.join(json.dumps(it) if isinstance(it, str) else repr(it) for it in chosen)}]"


def _union(kinds: Iterable[str]) -> str:
    parts = list(dict.fromkeys(kinds))
    return "Any" if "Any" in parts or not parts else " | ".join(parts)


def _limited(kind: str, schema: Schema, type: str) -> str:
    words = _LIMITS.get(type, {})
    limits = [f"{words[key]}={schema[key]!r}" for key in words if isinstance(schema.get(key), (int, float))]
    if kind.startswith("tuple[") or not limits:
        return kind
    return f"Annotated[{kind}, Field({', '.join(limits)})]"


def _safe(name: str) -> str:
    """A name for a field: pydantic and Python have taken some."""
    plain = re.sub(r"\W", "_", name).lstrip("_") or "field"
    taken = not plain.isidentifier() or keyword.iskeyword(plain) or hasattr(BaseModel, plain)
    return f"field_{plain}" if taken or plain.startswith("model_") else plain


def _camel(name: str) -> str:
    return "".join(word[:1].upper() + word[1:] for word in re.split(r"[^A-Za-z0-9]+", name))


def prose(text: str) -> str:
    """A text as a docstring of one paragraph can have it."""
    return " ".join(text.replace("\\", "\\\\").replace('"', "'").split()) or "Nothing is known of it."
