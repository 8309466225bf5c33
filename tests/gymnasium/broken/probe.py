"""An environment in which whatever a bridge can lose is there to be lost."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, Text

ID = "interop-tests/Probe-v3"
OPTIONS = {"start": 0.25, "word": "cab"}
BIG = 2**60 + 1  # no float is this integer

_f32 = np.float32


class Probe(gymnasium.Env[dict[str, Any], dict[str, Any]]):
    """Walks by pushes and chance; ends by leaving its bounds, or by the time limit of its registration."""

    metadata = {  # noqa: RUF012
        "render_modes": ["human", "rgb_array", "ansi"],
        "render_fps": 12,
        "sizes": (6, 8),
        "author": "the tests",
    }

    def __init__(self, render_mode: str | None = None, gain: float = 0.4) -> None:
        self.render_mode = render_mode
        self.gain = gain
        high = np.array([np.inf, 7.1, 1e30], _f32)
        # A list of pairs keeps its order, which is not the alphabet's.
        self.observation_space = Dict(
            [
                ("walk", Box(-high, high, dtype=_f32)),
                ("angle", Box(-np.pi, np.pi, (), np.float64)),
                ("clock", Box(-(2**62), 2**62, (2,), np.int64)),
                ("level", Discrete(7, start=-2)),
                ("gear", Discrete(3, dtype=np.int32)),
                ("mood", Text(8, charset="cab")),
                ("image", Box(0, 255, (4, 5, 3), np.uint8)),
            ]
        )
        self.action_space = Dict([("turn", Discrete(4)), ("push", Box(-1, 1, (2,), _f32))])
        self._count: int | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        options = options or {}
        if options.get("fail"):
            raise ValueError("the probe fails as it was told")
        self._count, self._level = 0, 0
        self._walk = self.np_random.normal(size=3).astype(_f32) * _f32(0.1)
        self._walk[0] += _f32(options.get("start", 0.0))
        self._word = options.get("word", "a")
        return self._observe(), {"options": sorted(options), "seeds": (np.uint32(7), np.uint32(4_000_000_000))}

    def step(self, action: dict[str, Any]) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        if self._count is None:
            raise RuntimeError("the probe was not reset")
        self._count += 1
        self._walk = self._walk + self.np_random.normal(size=3).astype(_f32) * _f32(0.1)
        self._walk[:2] += action["push"] * _f32(self.gain)
        self._walk[2] = -0.0 if action["turn"] == 0 else action["turn"]
        self._level = (self._level + int(action["turn"])) % 7
        terminated = bool(abs(self._walk[0]) > 1.2)
        return self._observe(), self._reward(terminated), terminated, False, self._info(action)

    def render(self) -> Any:
        assert self._count is not None
        text = f"probe at {self._walk[0]:.3f} after {self._count}"
        if self.render_mode == "ansi":
            return text
        frame = np.zeros((8, 6, 3), np.uint8)
        frame[self._count % 8, :, 0] = 255
        frame[:, :, 2] = self._count
        return frame

    def _observe(self) -> dict[str, Any]:
        assert self._count is not None
        return {
            "walk": self._walk.copy(),
            "angle": np.array(np.arctan2(self._walk[0], self._walk[1]), np.float64),
            "clock": np.array([BIG + self._count, -BIG], np.int64),
            "level": np.int64(self._level - 2),
            "gear": np.int32(self._level % 3),
            "mood": self._word,
            "image": np.full((4, 5, 3), 40 + self._count, np.uint8),
        }

    def _reward(self, terminated: bool) -> Any:
        assert self._count is not None
        if terminated:
            return 10.5
        return (0.1 * self._count, 1, _f32(0.3), np.float64(1 / 3), 2.0)[self._count % 5]

    def _info(self, action: dict[str, Any]) -> dict[str, Any]:
        assert self._count is not None
        return {
            "turns": np.array([action["turn"], self._count], np.int8),
            "action": tuple(action["push"].tolist()),
            "distance": _f32(abs(self._walk[0])),
            "big": BIG,
            # `check_env` wants each info to be equal to itself, so not in the first steps.
            "loss": float("nan") if self._count % 4 == 3 else -0.0,
            "best": -np.inf,
            "by id": {1: "one", (2, "b"): [b"\xff", None, True]},
        }


if ID not in gymnasium.registry:
    gymnasium.register(ID, entry_point="tests.gymnasium.broken.probe:Probe", max_episode_steps=11, reward_threshold=9.5)
