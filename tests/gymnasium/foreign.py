"""OpenEnv servers that know nothing of Gymnasium: schemas as pydantic writes them, and no `GET /gymnasium`."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import interop
from interop import Description, Environment, FactorySource, StepResult

Schema = dict[str, Any]

_STATE: Schema = {
    "type": "object",
    "properties": {"episode_id": {"type": ["string", "null"]}, "step_count": {"type": "integer"}},
}
_FRAME: Schema = {
    "done": {"type": "boolean", "default": False},
    "reward": {"anyOf": [{"type": "boolean"}, {"type": "integer"}, {"type": "number"}, {"type": "null"}]},
    "metadata": {"type": "object", "additionalProperties": True},
}


def schema(properties: Schema, required: list[str] | None = None, **more: Any) -> Schema:
    """An object's schema; all is required where `required` is not given."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else required,
        **more,
    }


class _Counting(Environment):
    """Counts its steps; the random numbers are `reset(seed=...)`'s."""

    def __init__(self) -> None:
        self.random = random.Random(0)
        self.episode_id: str | None = None
        self.steps = 0
        self.options: dict[str, Any] = {}

    def reset(self, /, *, seed: int | None = None, episode_id: str | None = None, **options: Any) -> StepResult:
        if seed is not None:
            self.random.seed(seed)
        self.episode_id, self.steps, self.options = episode_id, 0, options
        return self.begin()

    def begin(self) -> StepResult:
        raise NotImplementedError

    def state(self) -> Mapping[str, Any]:
        return {"episode_id": self.episode_id, "step_count": self.steps}


class Echo(_Counting):
    """Repeats what it is told; the fourth message is the last. Rewards are absent where there is nothing to say."""

    def begin(self) -> StepResult:
        return StepResult({"echoed": self.options.get("greeting", "ready")})

    def step(self, action: Mapping[str, Any], /, **options: Any) -> StepResult:
        self.steps += 1
        message = action["message"]
        return StepResult({"echoed": message}, len(message) or None, self.steps == 4)


ECHO = Description(
    name="echo",
    description="Repeats what it is told.",
    action=schema({"message": {"type": "string"}, "metadata": {"type": "object"}}, ["message"]),
    observation=schema({"echoed": {"type": "string"}, **_FRAME}, ["echoed"]),
    state=_STATE,
)

MOVES = ["left", "right", "stay"]


class Maze(_Counting):
    """Moves by words; says why an episode ends in the ways that servers say it."""

    def begin(self) -> StepResult:
        self.place = [0.0, self.random.random(), -1.5]
        return StepResult(self._observe(None))

    def step(self, action: Mapping[str, Any], /, **options: Any) -> StepResult:
        self.steps += 1
        self.place[0] += MOVES.index(action["move"]) - 1
        reward = self.place[0] / 4
        if self.steps == 6:
            return StepResult(self._observe("time"), reward, True, {"TimeLimit.truncated": True})
        if abs(self.place[0]) > 3:
            return StepResult({**self._observe("wall"), "truncated": False}, reward, True)
        return StepResult(self._observe("go on" if self.steps % 2 else None), reward)

    def _observe(self, hint: str | None) -> dict[str, Any]:
        return {
            "place": self.place,
            "grid": [[self.steps, 0, 9], [1, 2, 3]],
            "hint": hint,
            "legal_moves": MOVES[: self.steps % 4],
            "doors": [["north", self.steps]],
            "facing": "up",
            "lives": 3,
            "score": 10**12,
            "open": self.steps % 2 == 0,
            "extra": {"seen": [1, "two", None], "deep": {"steps": self.steps}},
        }


MAZE = Description(
    name="maze",
    description="Moves by words.",
    action=schema(
        {"move": {"$ref": "#/$defs/Move"}, "note": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
        ["move"],
        **{"$defs": {"Move": {"enum": MOVES, "type": "string"}}},
    ),
    observation=schema(
        {
            "place": {"type": "array", "items": {"type": "number"}, "minItems": 3, "maxItems": 3},
            "grid": {
                "type": "array",
                "items": {
                    "type": "array",
                    "items": {"type": "integer", "minimum": 0, "maximum": 2**40},
                    "minItems": 3,
                    "maxItems": 3,
                },
                "minItems": 2,
                "maxItems": 2,
            },
            "hint": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
            "legal_moves": {"type": "array", "items": {"type": "string"}},
            "doors": {"type": "array", "items": {"prefixItems": [{"type": "string"}, {"type": "integer"}]} | {
                "type": "array"}},
            "facing": {"const": "up"},
            "lives": {"type": "integer", "minimum": 0, "maximum": 3},
            "score": {"type": "integer"},
            "open": {"type": "boolean"},
            "extra": {"type": "object", "additionalProperties": True},
            **_FRAME,
        },
        ["place", "grid", "legal_moves", "doors", "facing", "lives", "score", "open", "extra"],
    ),
    state=_STATE,
)  # fmt: skip


class Aim(_Counting):
    """Takes an action of several fields and gives it back."""

    def begin(self) -> StepResult:
        return StepResult({"taken": None})

    def step(self, action: Mapping[str, Any], /, **options: Any) -> StepResult:
        self.steps += 1
        return StepResult({"taken": dict(action)}, 0, self.steps == 9)


AIM = Description(
    name="aim",
    description="Takes an action of several fields.",
    action=schema(
        {
            "cell": {"type": "integer", "minimum": -1, "maximum": 7},
            "force": {"type": "number", "minimum": 0.0, "maximum": 1.0},
            "tag": {"anyOf": [{"type": "string", "maxLength": 8}, {"type": "null"}]},
            "vector": {"type": "array", "items": {"type": "number", "minimum": -1, "maximum": 1},
                       "minItems": 2, "maxItems": 2},
            "sure": {"type": "boolean", "default": True},
        },
        ["cell", "force", "tag", "vector"],
    ),
    observation=schema({"taken": {"type": "object", "additionalProperties": True}, **_FRAME}, ["taken"]),
    state=_STATE,
)  # fmt: skip


def serve(description: Description) -> interop.Server:
    """Serve one of the three."""
    factories = {"echo": Echo, "maze": Maze, "aim": Aim}
    return interop.serve(FactorySource(description, factories[description.name]))
