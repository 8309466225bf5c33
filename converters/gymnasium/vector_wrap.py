"""The server's side of the vector messages: Gymnasium's own vector environments, stepped by one frame."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from converters.gymnasium.contains import contains
from converters.gymnasium.spaces import space_to_json
from interop.errors import InvalidAction

MAX_ENVS = 4096


class VectorHost:
    """The vector environment of one session, built by `make` and gone with the session.

    Args:
        make: Builds one sub-environment for a render mode.
        spec: The environment's spec, which may name a native vector environment.
        kwargs: Arguments of the environment, for the native one.
    """

    def __init__(
        self,
        make: Callable[[str | None], gymnasium.Env[Any, Any]],
        spec: EnvSpec | None,
        kwargs: Mapping[str, Any],
    ) -> None:
        self._build = make
        self._spec = spec
        self._kwargs = kwargs
        self._env: VectorEnv[Any, Any, Any] | None = None

    def answer(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Answer the `data` of a `vector` frame. Raises `InvalidAction`."""
        arguments = dict(request)
        operation = arguments.pop("op", None)
        if operation not in _OPERATIONS:
            raise _invalid("op", f"accepted are {', '.join(_OPERATIONS)}", operation)
        if operation != "make" and self._env is None:
            raise _invalid("op", "the first vector message is make", operation)
        try:
            return _OPERATIONS[operation](self, **arguments)
        except TypeError as exc:
            if "unexpected keyword" in str(exc) or "missing" in str(exc):
                raise _invalid(operation, str(exc), sorted(arguments)) from None
            raise

    def close(self) -> None:
        if self._env is not None:
            self._env.close()
            self._env = None

    def _make(
        self,
        *,
        num_envs: int,
        autoreset_mode: str = "NextStep",
        vectorization: str | None = None,
        render_mode: str | None = None,
    ) -> Mapping[str, Any]:
        if type(num_envs) is not int or not 1 <= num_envs <= MAX_ENVS:
            raise _invalid("num_envs", f"an integer from 1 to {MAX_ENVS} is accepted", num_envs)
        try:
            mode = AutoresetMode(autoreset_mode)
        except ValueError:
            accepted = ", ".join(m.value for m in AutoresetMode)
            raise _invalid("autoreset_mode", f"accepted are {accepted}", autoreset_mode) from None
        native = self._spec is not None and self._spec.vector_entry_point is not None
        if vectorization == "native" and not native:
            raise _invalid("vectorization", "the environment has no vector_entry_point; use sync", vectorization)
        if vectorization not in (None, "native", "sync"):
            raise _invalid("vectorization", "accepted are sync and native", vectorization)
        self.close()
        # A native environment resets as it was written to; sub-environments reset as they are asked.
        if native and (vectorization == "native" or (vectorization is None and mode is AutoresetMode.NEXT_STEP)):
            self._env = self._make_native(num_envs, render_mode)
        else:
            self._env = SyncVectorEnv(
                [lambda: self._build(render_mode) for _ in range(num_envs)], copy=False, autoreset_mode=mode
            )
        return self._describe()

    def _make_native(self, num_envs: int, render_mode: str | None) -> VectorEnv[Any, Any, Any]:
        assert self._spec is not None
        kwargs = dict(self._kwargs) | ({} if render_mode is None else {"render_mode": render_mode})
        return gymnasium.make_vec(self._spec, num_envs=num_envs, vectorization_mode="vector_entry_point", **kwargs)

    def _describe(self) -> Mapping[str, Any]:
        env = self._env
        assert env is not None
        return {
            "num_envs": env.num_envs,
            "autoreset_mode": AutoresetMode(env.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP)).value,
            "vectorization": "sync" if isinstance(env, SyncVectorEnv) else "native",
            "observation_space": space_to_json(env.observation_space),
            "action_space": space_to_json(env.action_space),
            "single_observation_space": space_to_json(env.single_observation_space),
            "single_action_space": space_to_json(env.single_action_space),
        }

    def _reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> Mapping[str, Any]:
        env = self._env
        assert env is not None
        _check_seed(seed, env.num_envs)
        if options is not None and not isinstance(options, dict):
            raise _invalid("options", "a map or null is accepted", options)
        obs, infos = env.reset(seed=seed, options=options)
        return {"obs": obs, "infos": infos}

    def _step(self, *, actions: Any) -> Mapping[str, Any]:
        env = self._env
        assert env is not None
        if not contains(env.action_space, actions):
            raise _invalid("actions", f"not in the batched action space {env.action_space}", repr(actions)[:200])
        obs, rewards, terminated, truncated, infos = env.step(actions)
        return {
            "obs": obs,
            "rewards": np.asarray(rewards),
            "terminated": np.asarray(terminated),
            "truncated": np.asarray(truncated),
            "infos": infos,
        }

    def _render(self) -> Mapping[str, Any]:
        env = self._env
        assert env is not None
        return {"frames": env.render()}

    def _close(self) -> Mapping[str, Any]:
        self.close()
        return {}


_OPERATIONS: dict[Any, Callable[..., Mapping[str, Any]]] = {
    "make": VectorHost._make,
    "reset": VectorHost._reset,
    "step": VectorHost._step,
    "render": VectorHost._render,
    "close": VectorHost._close,
}


def _check_seed(seed: Any, num_envs: int) -> None:
    if seed is None or _is_seed(seed):
        return
    is_list = isinstance(seed, list | tuple | np.ndarray)
    if not is_list or len(seed) != num_envs or not all(item is None or _is_seed(item) for item in seed):
        accepted = f"a non-negative integer, an array of num_envs={num_envs} of them or null, or null is accepted"
        raise _invalid("seed", accepted, repr(seed)[:200])


def _is_seed(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and int(value) >= 0


def _invalid(where: str, message: str, value: Any) -> InvalidAction:
    return InvalidAction(
        f"{where}: {message}", [{"type": "value_error", "loc": [where], "msg": message, "input": value}]
    )
