"""Defects of section 13.3: the description of a wrapped Gymnasium environment."""

from __future__ import annotations

import time
from typing import Any

from pydantic import ConfigDict

from conformance.broken import defect
from conformance.broken.gym import ACTIONS, OBSERVATIONS, Gym, GymAction, GymState, Walk
from conformance.broken.gym_defects import broken, describes
from conformance.broken.healthy import Healthy, json_response
from conformance.broken.wire import Request
from conformance.values import MSGPACK_V1


def _answers(status: int, body: Any) -> Any:
    """A method `routes` with another answer to GET /gymnasium."""

    def routes(self: Healthy) -> dict[str, dict[str, Any]]:
        return Healthy.routes(self) | {"/gymnasium": {"GET": lambda request: json_response(status, body)}}

    return routes


def _slow_walk() -> Walk:
    time.sleep(0.25)
    return Walk()


class Laborious(Gym):
    """A server whose environment takes time to build."""

    def routes(self) -> dict[str, dict[str, Any]]:
        """The routes, of which only `/state` is asked how long it takes."""
        return super().routes() | {"/state": {"GET": lambda request: json_response(200, _slow_walk().state)}}


def _builds(self: Gym, request: Request) -> Any:
    _slow_walk()
    return json_response(200, self.describe())


class BareState(GymState):
    """A state whose schema has no spaces."""

    model_config = ConfigDict(json_schema_extra=lambda schema: [schema.pop("x-gymnasium-space", None), None][1])


class OtherState(GymState):
    """A state whose schema has other spaces."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-gymnasium-space": {"observation_space": OBSERVATIONS, "action_space": {**ACTIONS, "n": 3}}
        }
    )


class SpacedAction(GymAction):
    """An action whose schema has its space."""

    model_config = ConfigDict(json_schema_extra={"x-gymnasium-space": {"action_space": ACTIONS}})


class NestedAction(GymAction):
    """An action with its space in the schema of the field."""

    model_config = ConfigDict(json_schema_extra=lambda schema: schema["properties"]["action"].update(space=ACTIONS))


class FreeAction(GymAction):
    """An action whose schema requires nothing."""

    model_config = ConfigDict(json_schema_extra={"required": []})


broken("no limits", "GYM-1", describe=describes(without="limits"))
broken("human among the render modes", "GYM-1", describe=describes(render_modes=["ansi", "human"]))
broken("a format of its own", "GYM-1", describe=describes(format="spaces/1"))
defect("an empty description", "GYM-2", routes=_answers(200, {}))
defect("501 for what it is not", "GYM-2", routes=_answers(501, {"detail": "no Gymnasium environment"}))
broken("a codec that it lists and does not select", "GYM-3", describe=describes(codecs=["json", MSGPACK_V1, "cbor"]))
broken("a codec that it selects and does not list", "GYM-3", describe=describes(codecs=["json"]))
broken("json is not listed", "GYM-3", describe=describes(codecs=[MSGPACK_V1]))
broken("builds to describe", "GYM-4", base=Laborious, get_gymnasium=_builds)
broken("no spaces in the state schema", "GYM-5", state_model=BareState)
broken("other spaces in the state schema", "GYM-5", state_model=OtherState)
broken("spaces in the action schema", "GYM-6", action_model=SpacedAction)
broken("a space in a field of the action schema", "GYM-6", action_model=NestedAction)
broken("nothing is required of an action", "GYM-11", action_model=FreeAction)
