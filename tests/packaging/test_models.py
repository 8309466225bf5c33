"""Models made of schemas accept what the schemas accept, and refuse what pydantic has words for."""

from __future__ import annotations

import re
import sys
from string import Template
from types import ModuleType
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from interop.packaging import write
from interop.packaging.models import Module

HEAD = (write._TEMPLATES / "models.py.tpl").read_text()


def built(schema: dict[str, Any], base: str = "Action") -> type[BaseModel]:
    """The model of a schema, as a package's `models.py` defines it."""
    module = Module()
    module.add("It", base, schema, 'Says "a" \\ thing.')
    made = ModuleType("made_models")
    sys.modules["made_models"] = made  # where pydantic looks for names
    exec(Template(HEAD).substitute(title="it", models=str(module)), vars(made))
    found: type[BaseModel] = made.It
    found.model_rebuild()
    return found


def of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


INTEGER = {"type": "integer", "minimum": 0, "maximum": 2}
FLOATS = {"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity"]}]}
GRID = {"type": "array", "items": {"type": "array", "items": INTEGER, "minItems": 2, "maxItems": 2}}
PAIR = {"type": "array", "prefixItems": [INTEGER, {"type": "string"}], "items": False, "minItems": 2}
NESTED = of(image=GRID, mission={})
TREE = {
    "type": "object",
    "properties": {"root": {"$ref": "#/$defs/Node"}},
    "required": ["root"],
    "$defs": {"Node": of(value={"type": "integer"}, children={"type": "array", "items": {"$ref": "#/$defs/Node"}})},
}

ACCEPTED: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (of(action=INTEGER), {"action": 2}),
    (of(obs={"type": "array", "items": FLOATS}), {"obs": [1.5, "NaN", "Infinity", -0.0]}),
    (of(obs=GRID), {"obs": [[0, 1], [2, 2]]}),
    (of(obs=PAIR), {"obs": [1, "x"]}),
    (of(obs=NESTED), {"obs": {"image": [[0, 0]], "mission": {"any": ["thing"]}}}),
    (of(obs={"type": ["integer", "null"]}), {"obs": None}),
    (of(obs={"const": 3}), {"obs": 3}),
    (of(obs={"enum": [1.5, 2.5]}), {"obs": 1.5}),
    (of(obs={"type": "object", "additionalProperties": {"type": "string"}}), {"obs": {"/a": "int64"}}),
    (of(obs={"not": {"type": "string"}}), {"obs": [1]}),
    (of(obs={"$ref": "#/nowhere"}), {"obs": 1}),
    (TREE, {"root": {"value": 1, "children": [{"value": 2, "children": []}]}}),
    # names that Python or pydantic have taken
    (
        of(**{"class": INTEGER, "model_dump": INTEGER, "a-b": INTEGER, "_x": INTEGER, "copy": INTEGER}),
        dict.fromkeys(["class", "model_dump", "a-b", "_x", "copy"], 1),
    ),
    # parts whose classes would have one name
    (of(a_b=of(x=INTEGER), aB=of(y=INTEGER)), {"a_b": {"x": 1}, "aB": {"y": 1}}),
    # an object of which nothing is said
    ({"type": "object"}, {"anything": [1, {"a": None}]}),
]


@pytest.mark.parametrize(("schema", "value"), ACCEPTED)
def test_what_a_schema_accepts(schema: dict[str, Any], value: dict[str, Any]) -> None:
    """A value comes back as it was, with its own names and without fields that were not set."""
    model = built(schema).model_validate(value)
    assert model.model_dump(mode="json", by_alias=True, exclude_unset=True) == value


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (of(action=INTEGER), {"action": 3}),
        (of(action=INTEGER), {}),
        (of(action=INTEGER), {"action": 1, "other": 1}),
        (of(obs=GRID), {"obs": [[0]]}),
        (of(obs=PAIR), {"obs": [1]}),
        (of(obs={"enum": ["a"]}), {"obs": "b"}),
        (of(obs=NESTED), {"obs": {"image": []}}),
        (TREE, {"root": {"value": "x", "children": []}}),
    ],
)
def test_what_a_schema_refuses(schema: dict[str, Any], value: dict[str, Any]) -> None:
    """Limits, missing fields and further ones are errors of the model too."""
    with pytest.raises(ValidationError):
        built(schema).model_validate(value)


def test_a_field_that_may_be_left_out() -> None:
    """It has the schema's default, else None, and is not sent unless it was set."""
    schema = {"type": "object", "properties": {"split": {"type": "string"}, "n": {"type": "integer", "default": 2}}}
    model = built(schema)()
    assert (model.split, model.n) == (None, 2)  # type: ignore[attr-defined]
    assert model.model_dump(exclude_unset=True) == {}


def test_openenvs_own_fields_are_inherited() -> None:
    """`reward` and `done` of an observation are those of its base."""
    made = built(of(obs=INTEGER, reward={"type": "number"}, done={"type": "boolean"}), "Observation")
    assert made.model_validate({"obs": 1, "reward": None, "done": True}).reward is None  # type: ignore[attr-defined]
    assert not re.search("reward", str(made.__annotations__))
