"""Gymnasium → OpenEnv: any Gymnasium environment as a source that a server can serve (`docs/gymnasium.md`)."""

from __future__ import annotations

import importlib
import inspect
import json
import math
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np
import orjson
from gymnasium.envs.registration import EnvSpec

from converters.gymnasium.contains import contains
from converters.gymnasium.describe import describe
from converters.gymnasium.pictures import pictures
from converters.gymnasium.values import ValueCodec, decode_free, encode_free
from converters.gymnasium.vector_wrap import VectorHost
from interop.environment import Description, Environment, RawJSON, Source, StepResult
from interop.errors import CannotCarry, InvalidAction, SourceError

Make = Callable[[str | None], "gymnasium.Env[Any, Any]"]
"""Builds an environment for a render mode; None is none."""

_ANY_THREAD = ("gymnasium.envs.classic_control.", "gymnasium.envs.toy_text.", "gymnasium.envs.box2d.")


def wrap(target: str, **kwargs: str) -> Source:
    """The source `gym:ID` or `gym:module:ID`; `kwargs` go to `gymnasium.make`.

    Args:
        target: An id of Gymnasium's registry, or `module:ID`, which imports the module first.
        kwargs: Arguments of the environment; JSON where it parses as JSON, else text.

    Raises:
        SourceError: The id is unknown or the module cannot be imported.
    """
    arguments = {name: _parse(value) for name, value in kwargs.items()}
    try:
        spec = _find_spec(target)
    except (gymnasium.error.Error, ImportError, ValueError) as exc:
        hint = "" if ":" in target else f" An id of another package needs its module: gym:MODULE:{target}."
        raise SourceError(f"gym:{target} cannot be found: {exc}.{hint}".replace("..", ".")) from exc
    return GymnasiumSource(lambda mode: _make(spec, mode, arguments), name=spec.id, spec=spec, kwargs=arguments)


def wrap_environment(env: gymnasium.Env[Any, Any]) -> Source:
    """A source of one environment that exists: it has one session at a time and is not closed with it."""

    def make(render_mode: str | None) -> gymnasium.Env[Any, Any]:
        if render_mode not in (None, env.render_mode):
            raise SourceError(f"the environment was made with render_mode={env.render_mode!r}, not {render_mode!r}")
        return env

    return GymnasiumSource(make, name=_name(env), spec=env.spec, shared=True)


def wrap_factory(factory: Callable[..., gymnasium.Env[Any, Any]]) -> Source:
    """A source of a function or class that returns a new environment; `render_mode` is passed if it is accepted."""
    parameters = inspect.signature(factory).parameters.values()
    takes_mode = any(p.name == "render_mode" or p.kind is p.VAR_KEYWORD for p in parameters)

    def make(render_mode: str | None) -> gymnasium.Env[Any, Any]:
        if render_mode is None:
            return factory()
        if not takes_mode:
            raise SourceError(f"{factory!r} takes no render_mode")
        return factory(render_mode=render_mode)

    return GymnasiumSource(make, name=getattr(factory, "__name__", type(factory).__name__))


class GymnasiumSource(Source):
    """Builds one environment per session; describes itself by building one."""

    def __init__(
        self,
        make: Make,
        *,
        name: str,
        spec: EnvSpec | None = None,
        kwargs: Mapping[str, Any] | None = None,
        shared: bool = False,
    ) -> None:
        self._make = make
        self._name = name
        self._spec = spec
        self._kwargs = kwargs or {}
        self._shared = shared
        self._description: Description | None = None

    def describe(self) -> Description:
        if self._description is None:
            try:
                env = self._make(None)
            except Exception as exc:
                raise SourceError(f"{self._name} cannot be built: {exc}") from exc
            try:
                self._description = describe(
                    env, self._name, vector=not self._shared, max_sessions=1 if self._shared else None
                )
            finally:
                if not self._shared:
                    env.close()
        return self._description

    def create(self) -> Environment:
        vector = None if self._shared else VectorHost(lambda mode: self._make(mode), self._spec, self._kwargs)
        return GymnasiumEnvironment(self._make, vector, close=not self._shared)


class GymnasiumEnvironment(Environment):
    """One Gymnasium environment. Its own semantics hold: no auto-reset, no guard but Gymnasium's wrappers."""

    def __init__(self, make: Make, vector: VectorHost | None, *, close: bool) -> None:
        self._make = make
        self._vector = vector
        self._close = close
        self._env = make(None)
        self.any_thread = close and _any_thread(self._env)
        self._mode: str | None = None
        self._started = False
        self._action = ValueCodec(self._env.action_space, "/action")
        self._obs = ValueCodec(self._env.observation_space, "/obs")
        self._episode_id: str | None = None
        self._step_count = 0

    def reset(self, /, *, seed: Any = None, episode_id: Any = None, **options: Any) -> StepResult:
        """Reset. `options` are Gymnasium's, one by one or together as `options`; `render_mode` is the session's."""
        _check_seed(seed)
        if episode_id is not None and not isinstance(episode_id, str):
            raise _invalid("episode_id", "string_type", "Input should be a valid string", episode_id)
        self._render_with(options.pop("render_mode", None))
        obs, info = self._env.reset(seed=seed, options=_merge(options))
        self._started = True
        self._episode_id = episode_id or str(uuid.uuid4())
        self._step_count = 0
        return StepResult({"obs": obs, "terminated": False, "truncated": False, "info": info})

    def step(self, action: Mapping[str, Any], /, **options: Any) -> StepResult:
        """Step with `action["action"]`, which must be in the action space."""
        if action.keys() != {"action"}:
            _check_keys(action)
        value = action["action"]
        space = self._env.action_space
        if not contains(space, value):
            message = f"{_show(value)} is not in the action space {space}"
            raise _invalid("action", "action_outside_space", message, _show(value))
        obs, reward, terminated, truncated, info = self._env.step(value)
        self._step_count += 1
        observation = {"obs": obs, "terminated": terminated, "truncated": truncated, "info": info}
        return StepResult(observation, reward, bool(terminated or truncated))

    def state(self) -> Mapping[str, Any]:
        state: dict[str, Any] = {"episode_id": self._episode_id, "step_count": self._step_count}
        if self._mode is not None:
            state["render"] = self._env.render()
        return state

    def close(self) -> None:
        if self._vector is not None:
            self._vector.close()
        if self._close:
            self._env.close()

    def vector(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        if self._vector is None:
            raise NotImplementedError
        return self._vector.answer(request)

    # Plain JSON

    def plain(self, result: StepResult) -> StepResult:
        native = result.observation
        types: dict[str, str] = {}
        observation = {
            "metadata": {},
            "obs": self._obs.encode(native["obs"], types),
            "terminated": encode_free(native["terminated"], "/terminated", types),
            "truncated": encode_free(native["truncated"], "/truncated", types),
            "info": encode_free(native["info"], "/info", types),
        }
        reward = _plain_reward(result.reward, types)
        if types:
            observation["types"] = types
        return StepResult(_json(observation), reward, result.done)

    def plain_state(self, state: Mapping[str, Any]) -> RawJSON:
        types: dict[str, str] = {}
        plain = {key: encode_free(value, f"/{key}", types) for key, value in state.items()}
        if types:
            plain["types"] = types
        return _json(plain)

    def native_action(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
        types: dict[str, str] = {}
        if len(data) != 1 or "action" not in data:
            _check_keys(data, "types")
            types = _types(data)
        try:
            return {"action": self._action.decode(data["action"], types)}
        except ValueError as exc:
            raise _invalid("action", "action_outside_space", str(exc), data["action"]) from None

    def native_options(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
        types = _types(data)
        try:
            return {key: decode_free(value, f"/{key}", types) for key, value in data.items() if key != "types"}
        except ValueError as exc:
            raise _invalid("types", "value_error", str(exc), types) from None

    def images(self, result: StepResult) -> Mapping[str, bytes]:
        return pictures(self._env, result.observation["obs"])

    def _render_with(self, mode: Any) -> None:
        if mode is None or mode == self._mode:
            return
        modes = self._env.metadata.get("render_modes", [])
        if self._started:
            message = f"The session's first reset decides the render mode; it was {self._mode!r}"
            raise _invalid("render_mode", "value_error", message, mode)
        if mode == "human" or mode not in modes:
            accepted = ", ".join(repr(name) for name in modes if name != "human") or "none"
            raise _invalid("render_mode", "value_error", f"Accepted render modes: {accepted}", mode)
        env = self._make(mode)
        if env is not self._env:
            self._env.close()
        self._env, self._mode = env, mode


def _any_thread(env: gymnasium.Env[Any, Any]) -> bool:
    """Whether the environment says so, or is one of Gymnasium's own that hold nothing of a thread."""
    if "any_thread" in env.metadata:
        return bool(env.metadata["any_thread"])
    while isinstance(env, gymnasium.Wrapper):
        if not type(env).__module__.startswith("gymnasium.wrappers."):
            return False
        env = env.env
    return type(env).__module__.startswith(_ANY_THREAD)


def _find_spec(target: str) -> EnvSpec:
    module, colon, name = target.rpartition(":")
    if colon:
        importlib.import_module(module)
    return gymnasium.spec(name)


def _make(spec: EnvSpec, render_mode: str | None, kwargs: Mapping[str, Any]) -> gymnasium.Env[Any, Any]:
    if render_mode is not None:
        kwargs = {**kwargs, "render_mode": render_mode}
    # The passive checker judges what the environment's owner has judged already, at a fifth of the speed.
    return gymnasium.make(spec, disable_env_checker=True, **kwargs)


def _name(env: gymnasium.Env[Any, Any]) -> str:
    return env.spec.id if env.spec is not None else type(env.unwrapped).__name__


def _parse(value: Any) -> Any:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _merge(options: dict[str, Any]) -> dict[str, Any] | None:
    if "options" not in options:
        return options or None
    given = options.pop("options")
    if given is None:
        return options or None
    if not isinstance(given, dict):
        raise _invalid("options", "dict_type", "Input should be a valid dictionary", given)
    twice = given.keys() & options.keys()
    if twice:
        raise _invalid(
            "options", "value_error", f"{', '.join(sorted(twice))} stand both in options and beside it", given
        )
    return {**given, **options}


def _check_seed(seed: Any) -> None:
    if seed is None:
        return
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise _invalid("seed", "int_type", "Input should be a valid integer", seed)
    if seed < 0:
        raise _invalid("seed", "greater_than_equal", "Input should be greater than or equal to 0", seed)


def _check_keys(data: Mapping[str, Any], *more: str) -> None:
    if "action" not in data:
        raise _invalid("action", "missing", "Field required", _show(data))
    for key in data:
        if key != "action" and key not in more:
            raise _invalid(key, "extra_forbidden", "Extra inputs are not permitted", _show(data[key]))


def _types(data: Mapping[str, Any]) -> dict[str, str]:
    types = data.get("types", {})
    if not isinstance(types, dict) or not all(isinstance(name, str) for name in types.values()):
        raise _invalid("types", "dict_type", "Input should be an object of JSON Pointer to type name", types)
    return types


def _plain_reward(reward: Any, types: dict[str, str]) -> Any:
    if type(reward) is float and math.isfinite(reward):
        return reward
    plain = encode_free(reward, "/reward", types)
    if isinstance(plain, str):  # not finite, which the protocol's reward cannot be: null on the wire
        types["/reward"] = f"{types['/reward']} {plain}"
        return None
    if plain is not None and not isinstance(plain, (bool, int, float)):
        if types.get("/reward", "").endswith(")"):
            raise CannotCarry("/reward", reward, "a reward is a number", "Return float(reward) from step.")
        return plain.item()
    return plain


def _show(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic | np.ndarray) and value.size <= 16 and value.dtype.kind in "biuf":
        return value.tolist()
    text = repr(value)
    return text if len(text) <= 200 else text[:197] + "..."


def _invalid(where: str, kind: str, message: str, value: Any) -> InvalidAction:
    return InvalidAction(f"{where}: {message}", [{"type": kind, "loc": [where], "msg": message, "input": value}])


def _json(value: Mapping[str, Any]) -> RawJSON:
    text = orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
    # orjson changes to exponents at other float32 than float64, and ENC-13 has one layout for both.
    if b"0.00000" in text or b"e+1" in text:
        text = orjson.dumps(orjson.loads(text))
    return RawJSON(text)
