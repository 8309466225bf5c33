"""Bridges whose server is broken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from converters.gymnasium.wrap import GymnasiumEnvironment
from interop.environment import StepResult
from interop.errors import InvalidAction


class AutoReset(GymnasiumEnvironment):
    """Begins the next episode in the step that ends one."""

    def step(self, action: Mapping[str, Any], /, **options: Any) -> StepResult:
        result = super().step(action, **options)
        if result.done:
            result.observation["obs"] = super().reset().observation["obs"]
        return result


class NextStepAutoReset(GymnasiumEnvironment):
    """Begins the next episode in the step after the end, and again when it is asked to."""

    _done = False

    def step(self, action: Mapping[str, Any], /, **options: Any) -> StepResult:
        if self._done:
            super().reset()
        result = super().step(action, **options)
        self._done = result.done
        return result

    def reset(self, /, **options: Any) -> StepResult:
        if self._done:
            super().reset()
        self._done = False
        return super().reset(**options)


class FreshEnvironment(GymnasiumEnvironment):
    """Builds the environment anew for each episode."""

    def reset(self, /, **options: Any) -> StepResult:
        if self._started:
            self._env.close()
            self._env = self._make(self._mode)
        return super().reset(**options)


class FillsDefaultSeed(GymnasiumEnvironment):
    """Takes no seed for the seed 0."""

    def reset(self, /, *, seed: Any = None, **options: Any) -> StepResult:
        return super().reset(seed=seed or 0, **options)


class StepsBeforeItLooks(GymnasiumEnvironment):
    """Refuses an action after it has taken it."""

    def step(self, action: Mapping[str, Any], /, **options: Any) -> StepResult:
        inside = self._env.action_space.contains(action["action"])
        if not inside:
            self._env.step(action["action"])
        return super().step(action, **options)


class TakesAnything(GymnasiumEnvironment):
    """Hands every action to the environment."""

    def step(self, action: Mapping[str, Any], /, **options: Any) -> StepResult:
        obs, reward, terminated, truncated, info = self._env.step(action["action"])
        observation = {"obs": obs, "terminated": terminated, "truncated": truncated, "info": info}
        return StepResult(observation, reward, bool(terminated or truncated))


class ClipsActions(GymnasiumEnvironment):
    """Moves every action into the space."""

    def step(self, action: Mapping[str, Any], /, **options: Any) -> StepResult:
        inner = action["action"]
        return super().step({"action": {**inner, "push": np.clip(inner["push"], -1, 1)}}, **options)


class EndsOnRefusal(GymnasiumEnvironment):
    """Begins a new episode where it refuses an action."""

    def step(self, action: Mapping[str, Any], /, **options: Any) -> StepResult:
        try:
            return super().step(action, **options)
        except InvalidAction:
            super().reset()
            raise


class RendersNothing(GymnasiumEnvironment):
    """Builds its environment without a render mode."""

    def state(self) -> Mapping[str, Any]:
        return {**super().state(), "render": np.zeros((8, 6, 3), np.uint8)} if self._mode else super().state()


class HidesErrors(GymnasiumEnvironment):
    """Answers for an environment that raises."""

    _last: StepResult | None = None

    def reset(self, /, **options: Any) -> StepResult:
        try:
            self._last = super().reset(**options)
        except ValueError:
            if self._last is None:
                raise
        assert self._last is not None
        return self._last


class NullForNan(GymnasiumEnvironment):
    """Writes JSON as the official server does: what is not finite is null."""

    def plain(self, result: StepResult) -> StepResult:
        info = {
            key: None if isinstance(value, float) and not np.isfinite(value) else value
            for key, value in result.observation["info"].items()
        }
        return super().plain(
            StepResult({**result.observation, "info": info}, result.reward, result.done, result.metadata)
        )


class ForgetsTypes(GymnasiumEnvironment):
    """Writes JSON without the types that JSON cannot tell."""

    def plain(self, result: StepResult) -> StepResult:
        text = super().plain(result).observation.text
        head, separator, _ = text.partition(b',"types":')
        plain = super().plain(result)
        plain.observation = type(plain.observation)(head + b"}" if separator else text)
        return plain


class RoundsJson(GymnasiumEnvironment):
    """Writes JSON with six digits after the point."""

    def plain(self, result: StepResult) -> StepResult:
        obs = {
            key: np.round(value, 6) if isinstance(value, np.ndarray) and value.dtype.kind == "f" else value
            for key, value in result.observation["obs"].items()
        }
        return super().plain(
            StepResult({**result.observation, "obs": obs}, result.reward, result.done, result.metadata)
        )
