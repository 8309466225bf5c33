"""`Frames-v0` and `Sized-v0`: what the official servers `frames` and `sized` show, and what the floor sends."""

from __future__ import annotations

import random
from typing import Any

import gymnasium
import numpy as np

SHAPE = (84, 84, 4)
SIZE = 84 * 84 * 4


def pixels(seed: int = 0, size: int = SIZE) -> bytes:
    """The first frame of an episode."""
    return random.Random(seed).randbytes(size)


class Frames(gymnasium.Env[Any, Any]):
    """Random pixels that move by one with each step; nothing is computed."""

    observation_space = gymnasium.spaces.Box(0, 255, SHAPE, np.uint8)
    action_space = gymnasium.spaces.Discrete(4)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._pixels = pixels(seed or 0)
        return self._frame(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._pixels = self._pixels[4:] + self._pixels[:4]
        return self._frame(), 1.0, False, False, {}

    def _frame(self) -> Any:
        return np.frombuffer(self._pixels, np.uint8).reshape(SHAPE)


class Sized(gymnasium.Env[Any, Any]):
    """An observation of `size` bytes, always the same."""

    action_space = gymnasium.spaces.Discrete(4)

    def __init__(self, size: int) -> None:
        self.observation_space = gymnasium.spaces.Box(0, 255, (size,), np.uint8)
        self._observation = np.frombuffer(pixels(size=size), np.uint8)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self._observation, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self._observation, 1.0, False, False, {}


gymnasium.register("Frames-v0", entry_point="tests.benchmarks.frames:Frames")
gymnasium.register("Sized-v0", entry_point="tests.benchmarks.frames:Sized")
