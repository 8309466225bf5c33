"""Serve an environment class of your own, and play it from ordinary Gymnasium code elsewhere."""

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np

import interop


class Thermostat(gym.Env):
    """Keep a room at 20 degrees: the action is the heater's power, the observation the temperature."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}
    action_space = gym.spaces.Box(0.0, 1.0, (), np.float32)
    observation_space = gym.spaces.Box(-20.0, 60.0, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        outside = (options or {}).get("outside", 5.0)
        self.temperature, self.outside, self.steps = self.np_random.uniform(10, 30), outside, 0
        return self._observation(), {"outside": outside}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.temperature += 2.0 * float(action) + 0.05 * (self.outside - self.temperature)
        self.steps += 1
        return self._observation(), -abs(self.temperature - 20.0), False, self.steps == 50, {}

    def _observation(self) -> Any:
        return np.array([self.temperature], np.float32)


def main() -> None:
    with interop.serve(Thermostat) as server, interop.make(server.url) as env:
        obs, info = env.reset(seed=1, options={"outside": -3.0})
        total, truncated = 0.0, False
        while not truncated:
            action = np.asarray(1.0 if obs[0] < 20.0 else 0.0, np.float32)
            obs, reward, _, truncated, _ = env.step(action)
            total += reward
        print(f"outside {info['outside']} degrees, inside {obs[0]:.1f} at the end, return {total:.1f}")


if __name__ == "__main__":
    main()
