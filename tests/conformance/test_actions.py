"""Actions are derived from any schema: valid ones fit it, invalid ones do not."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel, ConfigDict, Field

from conformance.actions import invalid, valid


class Move(BaseModel):
    """One field of each kind."""

    model_config = ConfigDict(extra="forbid")

    direction: Literal["left", "right"]
    speed: Annotated[float, Field(ge=0, le=1)]
    times: Annotated[int, Field(gt=0)] = 1
    path: Annotated[list[tuple[int, int]], Field(min_length=2)]
    name: Annotated[str, Field(min_length=3)]
    jump: bool
    inner: Inner
    other: Inner | None = None


class Inner(BaseModel):
    """A nested one."""

    code: Annotated[str, Field(max_length=4)]


class Say(BaseModel):
    """One of two."""

    kind: Literal["say"] = "say"
    text: str


class Go(BaseModel):
    """The other of two."""

    kind: Literal["go"] = "go"
    steps: Annotated[int, Field(ge=1, le=3)]


BOX = {
    "type": "array", "minItems": 2, "maxItems": 2,
    "items": {
        "type": "array", "minItems": 3, "maxItems": 3, "items": {"type": "number", "minimum": -1.0, "maximum": 1.0},
    },
}  # fmt: skip
SCHEMAS: dict[str, dict[str, Any]] = {
    "pydantic": Move.model_json_schema(),
    "union": {"anyOf": [Say.model_json_schema(), Go.model_json_schema()]},
    "box": {"type": "object", "required": ["action"], "additionalProperties": False, "properties": {"action": BOX}},
    "discrete": {"type": "object", "required": ["action"], "properties": {"action": {
        "type": "integer", "minimum": 3, "maximum": 7}}},
    "tool": {"type": "object", "required": ["tool_name"], "additionalProperties": False, "properties": {
        "type": {"const": "call_tool", "default": "call_tool"}, "tool_name": {"type": "string"},
        "arguments": {"type": "object", "additionalProperties": True}}},
}  # fmt: skip


@pytest.mark.parametrize("name", SCHEMAS)
def test_valid_actions_fit(name: str) -> None:
    """There is a valid action for each schema, and all that are given fit and differ."""
    actions = valid(SCHEMAS[name])
    assert actions
    assert all(actions.count(action) == 1 for action in actions)
    for action in actions:
        Draft202012Validator(SCHEMAS[name]).validate(action)


@pytest.mark.parametrize("name", SCHEMAS)
def test_invalid_actions_do_not_fit(name: str) -> None:
    """There is an invalid action for each schema, and none that are given fits."""
    found = invalid(SCHEMAS[name], valid(SCHEMAS[name])[0])
    assert found
    for it in found:
        assert not Draft202012Validator(SCHEMAS[name]).is_valid(it.action)


def test_what_is_wrong_is_said() -> None:
    """A missing key, an additional one, a wrong type and a value out of range are told apart."""
    schema = {**SCHEMAS["discrete"], "additionalProperties": False}
    assert {(it.wrong, it.key) for it in invalid(schema, {"action": 3})} == {
        ("missing", "action"),
        ("extra", "no_such_field"),
        ("type", "action"),
        ("range", "action"),
    }


def test_a_schema_that_takes_everything_has_no_invalid_actions() -> None:
    """Nothing is invalid where everything fits."""
    assert invalid({}, {"anything": 1}) == []


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
keywords = st.sampled_from(
    ["type", "properties", "items", "required", "enum", "const", "anyOf", "allOf", "$ref", "minimum", "minItems",
     "prefixItems", "default", "examples", "minLength", "multipleOf", "exclusiveMinimum"]
)  # fmt: skip


@given(st.dictionaries(keywords, json, max_size=5))
def test_a_schema_that_makes_no_sense_is_survived(schema: dict[str, Any]) -> None:
    """Whatever a server publishes as its schema, deriving actions ends without an error."""
    for action in valid(schema):
        assert isinstance(action, dict)
        invalid(schema, action)
