"""Bridges whose client is broken."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np

from converters.gymnasium.expose import OpenEnvEnv
from interop.errors import InteropError, ServerError

Values = tuple[Any, Any, Any, Any, Any]


def each_step(alter: Callable[..., Values]) -> type[OpenEnvEnv]:
    """A client that alters what `step` returns."""

    class Altered(OpenEnvEnv):
        def receive_step(self) -> Any:
            return alter(*super().receive_step())

    return Altered


def each_value(obs: Callable[[Any], Any] | None = None, info: Callable[[Any], Any] | None = None) -> type[OpenEnvEnv]:
    """A client that alters observations and infos."""
    of_obs, of_info = obs or _same, info or _same

    class Altered(OpenEnvEnv):
        def receive_reset(self) -> Any:
            seen, facts = super().receive_reset()
            return of_obs(seen), of_info(facts)

        def receive_step(self) -> Any:
            seen, reward, terminated, truncated, facts = super().receive_step()
            return of_obs(seen), reward, terminated, truncated, of_info(facts)

    return Altered


def each_action(alter: Callable[[Any], Any]) -> type[OpenEnvEnv]:
    """A client that alters actions."""

    class Altered(OpenEnvEnv):
        def send_step(self, action: Any) -> None:
            super().send_step(alter(action))

    return Altered


def leaves(alter: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Alters all that is in a value and no container."""

    def walk(value: Any) -> Any:
        if type(value) is dict:
            return {key: walk(item) for key, item in value.items()}
        if type(value) in (list, tuple):
            return type(value)(walk(item) for item in value)
        return alter(value)

    return walk


def _same(value: Any) -> Any:
    return value


# Observations


def rounded(value: Any) -> Any:
    floats = isinstance(value, np.ndarray) and value.dtype.kind == "f"
    return np.round(value, 6).astype(value.dtype) if floats else value


def widened(value: Any) -> Any:
    return value.astype(np.float64) if isinstance(value, np.ndarray) and value.dtype == np.float32 else value


def via_float(value: Any) -> Any:
    is_int = isinstance(value, np.ndarray) and value.dtype == np.int64
    return value.astype(np.float64).astype(np.int64) if is_int else value


def without_negative_zero(value: Any) -> Any:
    return value + value.dtype.type(0) if isinstance(value, np.ndarray) and value.dtype.kind == "f" else value


def read_only(value: Any) -> Any:
    return np.frombuffer(value.tobytes(), value.dtype).reshape(value.shape) if isinstance(value, np.ndarray) else value


def plain_discrete(obs: Any) -> Any:
    return {key: int(value) if isinstance(value, np.integer) else value for key, value in obs.items()}


def scalar_as_array(obs: Any) -> Any:
    return {key: np.asarray(value) if isinstance(value, np.integer) else value for key, value in obs.items()}


def zero_dimensional_lost(obs: Any) -> Any:
    return {key: value[()] if isinstance(value, np.ndarray) else value for key, value in obs.items()}


def transposed(obs: Any) -> Any:
    return {**obs, "image": np.ascontiguousarray(obs["image"].transpose(1, 0, 2))}


def sorted_keys(value: Any) -> Any:
    return {key: value[key] for key in sorted(value)} if isinstance(value, dict) else value


class StaleObservation(OpenEnvEnv):
    """Returns the observation before."""

    _last: Any = None

    def receive_reset(self) -> Any:
        obs, info = super().receive_reset()
        self._last = obs
        return obs, info

    def receive_step(self) -> Any:
        obs, *rest = super().receive_step()
        self._last, old = obs, self._last
        return old, *rest


class ReusedBuffer(OpenEnvEnv):
    """Has one place for all observations."""

    _buffer: Any = None

    def _keep(self, obs: Any) -> Any:
        if self._buffer is None:
            self._buffer = obs
        for key, value in obs.items():
            if isinstance(value, np.ndarray):
                self._buffer[key][...] = value
            else:
                self._buffer[key] = value
        return self._buffer

    def receive_reset(self) -> Any:
        obs, info = super().receive_reset()
        return self._keep(obs), info

    def receive_step(self) -> Any:
        obs, *rest = super().receive_step()
        return self._keep(obs), *rest


class SharedMemory(OpenEnvEnv):
    """Copies the observation, and returns the same image array each time."""

    _image: Any = None

    def receive_step(self) -> Any:
        obs, *rest = super().receive_step()
        if self._image is None:
            self._image = obs["image"].copy()
        self._image[...] = obs["image"]
        return {**obs, "image": self._image}, *rest


# Rewards


class SummedReward(OpenEnvEnv):
    """Returns the reward since the reset."""

    _sum: float = 0.0

    def receive_reset(self) -> Any:
        self._sum = 0.0
        return super().receive_reset()

    def receive_step(self) -> Any:
        obs, reward, *rest = super().receive_step()
        self._sum += reward
        return obs, self._sum, *rest


class LateReward(OpenEnvEnv):
    """Returns the reward of the step before."""

    _last: float = 0.0

    def receive_step(self) -> Any:
        obs, reward, *rest = super().receive_step()
        self._last, old = reward, self._last
        return obs, old, *rest


# Infos


def lists_for_arrays(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value


def plain_scalars(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def null_for_nan(value: Any) -> Any:
    return None if isinstance(value, float) and not np.isfinite(value) else value


def lists_for_tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: lists_for_tuples(item) for key, item in value.items()}
    return [lists_for_tuples(item) for item in value] if isinstance(value, (list, tuple)) else value


def text_keys(value: Any) -> Any:
    return {str(key): text_keys(item) for key, item in value.items()} if isinstance(value, dict) else value


def text_for_bytes(value: Any) -> Any:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def big_via_float(value: Any) -> Any:
    return int(float(value)) if type(value) is int else value


# Resets


class IgnoresSeed(OpenEnvEnv):
    """Takes a seed and forgets it."""

    def send_reset(self, *, seed: Any = None, options: Any = None) -> None:
        super().send_reset(options=options)


class SeedsAlways(OpenEnvEnv):
    """Seeds again with the last seed when there is none."""

    _seed: Any = 0

    def send_reset(self, *, seed: Any = None, options: Any = None) -> None:
        if seed is not None:
            self._seed = seed
        super().send_reset(seed=self._seed, options=options)


class DropsOptions(OpenEnvEnv):
    """Takes options and forgets them."""

    def send_reset(self, *, seed: Any = None, options: Any = None) -> None:
        super().send_reset(seed=seed)


class DropsResetInfo(OpenEnvEnv):
    """Returns no info of a reset."""

    def receive_reset(self) -> Any:
        return super().receive_reset()[0], {}


class NoOwnRandomNumbers(OpenEnvEnv):
    """Leaves `np_random` alone."""

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        self.send_reset(seed=seed, options=options)
        return self.receive_reset()


class NoOptions(OpenEnvEnv):
    """Has never heard of options."""

    def reset(self, *, seed: Any = None) -> Any:  # type: ignore[override]
        return super().reset(seed=seed)


class NewSessionEachReset(OpenEnvEnv):
    """Makes a new environment for each episode."""

    def send_reset(self, *, seed: Any = None, options: Any = None) -> None:
        if self._session is not None:
            self._session.close()
            self._session, self._fresh = None, True
        super().send_reset(seed=seed, options=options)


# Actions


def off_by_one(action: Any) -> Any:
    return {**action, "turn": (action["turn"] + 1) % 4}


def rounded_action(action: Any) -> Any:
    return {**action, "push": np.round(action["push"], 2)}


def swapped_action(action: Any) -> Any:
    return {**action, "push": np.ascontiguousarray(action["push"][::-1])}


def clipped(action: Any) -> Any:
    return {**action, "push": np.clip(action["push"], -1, 1)}


def clipped_in_place(action: Any) -> Any:
    action["push"] *= np.float32(0.5)
    action["push"] += action["push"]
    action["push"][0] = 0.0 if abs(action["push"][0]) < 0.5 else action["push"][0]
    return action


class Retries(OpenEnvEnv):
    """Sends each step twice, and returns the second reply."""

    def send_step(self, action: Any) -> None:
        super().send_step(action)
        super().receive_step()
        super().send_step(action)


class SwallowsErrors(OpenEnvEnv):
    """Returns what it returned before where the server refuses."""

    _last: Any = None

    def receive_step(self) -> Any:
        try:
            self._last = super().receive_step()
        except ServerError:
            if self._last is None:
                raise
        return copy.deepcopy(self._last)


class StaleAfterError(OpenEnvEnv):
    """Is one reply behind, once there was an error."""

    _behind = False
    _held: Any = None

    def receive_reset(self) -> Any:
        self._behind = False
        return super().receive_reset()

    def receive_step(self) -> Any:
        try:
            result = super().receive_step()
        except ServerError:
            self._behind = True
            raise
        self._held, old = copy.deepcopy(result), self._held
        return old if self._behind and old is not None else result


# Ends


class ResetsItself(OpenEnvEnv):
    """Begins a new episode when one ends, and returns its observation."""

    def receive_step(self) -> Any:
        obs, *rest = super().receive_step()
        if rest[1] or rest[2]:
            obs, _ = self.reset()
        return obs, *rest


class ClosesOnce(OpenEnvEnv):
    """Raises when it is closed again."""

    _ended = False

    def close(self) -> None:
        if self._ended:
            raise InteropError("the environment is closed")
        self._ended = True
        super().close()


class Reopens(OpenEnvEnv):
    """Opens another session after its end."""

    def close(self) -> None:
        super().close()
        self._closed, self._fresh = False, True


class Reconnects(OpenEnvEnv):
    """Opens another session where one was lost."""

    def send_reset(self, *, seed: Any = None, options: Any = None) -> None:
        try:
            super().send_reset(seed=seed, options=options)
        except InteropError:
            if self._closed:
                raise
            self._session, self._fresh = None, True
            super().send_reset(seed=seed, options=options)


class HoldsALock(OpenEnvEnv):
    """Cannot be pickled."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lock = threading.Lock()

    def __getstate__(self) -> Any:
        return self.__dict__


class ForgetsRenderMode(OpenEnvEnv):
    """Is another one after pickling."""

    def __getstate__(self) -> Any:
        state = super().__getstate__()
        return {**state, "arguments": {**state["arguments"], "render_mode": None}}


class SharesASession(OpenEnvEnv):
    """Has one session for all environments of a process."""

    _sessions: dict[str, Any] = {}  # noqa: RUF012

    @property
    def session(self) -> Any:
        known = self._sessions.get(self.url)
        if known is None or self._session is None:
            self._session = known or super().session
            self._sessions[self.url] = self._session
        return self._session


# Rendering


class StaleFrame(OpenEnvEnv):
    """Renders once an episode."""

    _frame: Any = None

    def receive_reset(self) -> Any:
        self._frame = None
        return super().receive_reset()

    def render(self) -> Any:
        if self._frame is None:
            self._frame = super().render()
        return self._frame


class WideFrame(OpenEnvEnv):
    """Renders in 64 bits."""

    def render(self) -> Any:
        frame = super().render()
        return frame.astype(np.int64) if isinstance(frame, np.ndarray) else frame


class SwappedColours(OpenEnvEnv):
    """Renders blue for red."""

    def render(self) -> Any:
        frame = super().render()
        return np.ascontiguousarray(frame[..., ::-1]) if isinstance(frame, np.ndarray) else frame


class RendersAStep(OpenEnvEnv):
    """Renders by stepping on."""

    def render(self) -> Any:
        if self.render_mode is not None:
            action = {"turn": np.int64(0), "push": np.zeros(2, np.float32)}
            self.send_step(action)
            self.receive_step()
        return super().render()


# Spaces and what stands beside them


def with_spaces(alter: Callable[[gymnasium.Space[Any]], gymnasium.Space[Any]]) -> type[OpenEnvEnv]:
    """A client that alters the spaces inside its Dict spaces."""

    class Altered(OpenEnvEnv):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            for name in ("observation_space", "action_space"):
                pairs = [(key, alter(space)) for key, space in getattr(self, name).items()]
                setattr(self, name, gymnasium.spaces.Dict(pairs))

    return Altered


def finite(space: Any) -> Any:
    if not isinstance(space, gymnasium.spaces.Box) or space.dtype != np.float32:
        return space
    limit = np.finfo(np.float32).max
    return gymnasium.spaces.Box(space.low.clip(-limit, limit), space.high.clip(-limit, limit), dtype=np.float32)


def int64_discrete(space: Any) -> Any:
    if not isinstance(space, gymnasium.spaces.Discrete):
        return space
    return gymnasium.spaces.Discrete(int(space.n), start=int(space.start))


def from_zero(space: Any) -> Any:
    if not isinstance(space, gymnasium.spaces.Discrete):
        return space
    return gymnasium.spaces.Discrete(int(space.n), dtype=space.dtype)  # type: ignore[arg-type]


def rounded_bounds(space: Any) -> Any:
    if not isinstance(space, gymnasium.spaces.Box) or space.dtype.kind != "f":
        return space
    return gymnasium.spaces.Box(space.low.round(4), space.high.round(4), dtype=space.dtype.type)


def sorted_charset(space: Any) -> Any:
    if not isinstance(space, gymnasium.spaces.Text):
        return space
    return gymnasium.spaces.Text(space.max_length, min_length=space.min_length, charset=space.characters)


class SortsSpaces(OpenEnvEnv):
    """Has the keys of its spaces in the alphabet's order."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        space = self.observation_space
        assert isinstance(space, gymnasium.spaces.Dict)
        self.observation_space = gymnasium.spaces.Dict({key: space[key] for key in sorted(space)})


class NoMetadata(OpenEnvEnv):
    """Has the metadata of its class."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.metadata = {**OpenEnvEnv.metadata, "render_modes": self.metadata["render_modes"]}


class OffersHuman(OpenEnvEnv):
    """Offers a window on the server."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.metadata = {**self.metadata, "render_modes": ["human", *self.metadata["render_modes"]]}
