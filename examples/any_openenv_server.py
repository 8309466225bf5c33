"""Use an OpenEnv server that knows nothing of Gymnasium: inferred spaces, overrides, text.

The server here is a guessing game written against `interop.Environment`; any other OpenEnv server does as well.
"""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np

import interop

NUMBERS = 20


class Guess(interop.Environment):
    """Guess a number; the hint says where it lies."""

    def reset(self, /, *, seed: int | None = None, episode_id: str | None = None, **options: Any) -> interop.StepResult:
        self.number = int(np.random.default_rng(seed).integers(NUMBERS))
        self.episode_id, self.steps = episode_id, 0
        return interop.StepResult({"hint": "start"})

    def step(self, action: Mapping[str, Any], /, **options: Any) -> interop.StepResult:
        self.steps += 1
        guess = action["guess"]
        hint = "right" if guess == self.number else "higher" if guess < self.number else "lower"
        return interop.StepResult({"hint": hint}, float(hint == "right"), hint == "right")

    def state(self) -> Mapping[str, Any]:
        return {"episode_id": self.episode_id, "step_count": self.steps}


SOURCE = interop.FactorySource(
    interop.Description(
        name="guess",
        description="Guess a number",
        action={
            "type": "object",
            "properties": {"guess": {"type": "integer", "minimum": 0, "maximum": NUMBERS - 1}},
            "required": ["guess"],
        },
        observation={
            "type": "object",
            "properties": {"hint": {"enum": ["start", "higher", "lower", "right"]}},
            "required": ["hint"],
        },
        state={"type": "object"},
    ),
    Guess,
)


def main() -> None:
    with interop.serve(SOURCE) as server:
        with interop.make(server.url) as env:
            print("inferred:", env.action_space, env.observation_space)
            env.reset(seed=4)
            low, high, terminated = 0, NUMBERS - 1, False
            while not terminated:
                guess = (low + high) // 2
                hint, reward, terminated, _, _ = env.step(guess)
                low, high = (guess + 1, high) if hint == 1 else (low, guess - 1)
            print("found", guess, "reward", reward)

        with interop.make(server.url, text=True) as env:
            env.reset(seed=4)
            print("as text:", env.step("3")[0])

        overrides = {
            "spaces": (gym.spaces.Box(-1, 1, (), np.float32), None),
            "decode_observation": lambda o: np.array({"higher": 1, "lower": -1}.get(o["hint"], 0), np.float32),
        }
        with interop.make(server.url, **overrides) as env:
            env.reset(seed=4)
            print("overridden:", repr(env.step(3)[0]))


if __name__ == "__main__":
    main()
