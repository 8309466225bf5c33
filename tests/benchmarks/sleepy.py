"""`SleepyCartPole-v0`: CartPole that sleeps in each step as long as a reset's option `sleep` says."""

from __future__ import annotations

import time
from typing import Any

import gymnasium
from gymnasium.envs.classic_control import CartPoleEnv


class Sleepy(gymnasium.Wrapper[Any, Any, Any, Any]):
    """A session keeps its `sleep` until another reset names one."""

    metadata = {**CartPoleEnv.metadata, "any_thread": True}  # noqa: RUF012 - as Gymnasium has it
    _sleep = 0.0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self._sleep = (options or {}).pop("sleep", self._sleep)
        return super().reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        if self._sleep:
            time.sleep(self._sleep)
        return super().step(action)


def make(**kwargs: Any) -> gymnasium.Env[Any, Any]:
    """What the registry calls."""
    return Sleepy(CartPoleEnv(**kwargs))


gymnasium.register("SleepyCartPole-v0", entry_point="tests.benchmarks.sleepy:make", max_episode_steps=500)
