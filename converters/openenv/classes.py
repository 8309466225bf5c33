"""The action, observation and state classes of an official environment class."""

from __future__ import annotations

import typing
from typing import Any

from interop.errors import SourceError


def server_arguments(environment: type) -> dict[str, Any]:
    """The class arguments of `HTTPEnvServer` for an environment class.

    They come from `Environment[Action, Observation, State]` along the MRO, else from annotations.
    """
    from openenv.core.env_server.types import Action, Observation, State

    generic = _generic_arguments(environment)
    step = _hints(environment, "step")
    reset = _hints(environment, "reset").get("return")
    action = _first(Action, generic) or _first(Action, [step.get("action"), *step.values()])
    observation = _first(Observation, generic) or _first(Observation, [step.get("return")])
    if action is None or observation is None:
        missing = " and ".join(
            name for name, found in (("action", action), ("observation", observation)) if found is None
        )
        raise SourceError(
            f"the {missing} class of {environment.__qualname__} is not known. Accepted are "
            "`class Env(Environment[MyAction, MyObservation, MyState])`, or the annotations "
            "`def step(self, action: MyAction) -> MyObservation`, with subclasses of openenv's Action and Observation."
        )
    state = _first(State, generic) or _first(State, [_hints(environment, "state").get("return")]) or State
    arguments = {"action_cls": action, "observation_cls": observation, "state_cls": state}
    special = _first(Observation, [reset])
    if special not in (None, Observation, observation):
        arguments["reset_observation_cls"] = special
    return arguments


def _generic_arguments(environment: type) -> list[Any]:
    return [
        argument
        for cls in environment.__mro__
        for base in vars(cls).get("__orig_bases__", ())
        for argument in typing.get_args(base)
    ]


def _hints(environment: type, name: str) -> dict[str, Any]:
    member = getattr(environment, name, None)
    try:
        return typing.get_type_hints(member.fget if isinstance(member, property) else member)
    except (NameError, TypeError, AttributeError):
        return {}


def _first(base: type, candidates: list[Any]) -> type | None:
    return next((item for item in candidates if isinstance(item, type) and issubclass(item, base)), None)
