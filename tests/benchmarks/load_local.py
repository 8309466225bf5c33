"""Load generator: Gymnasium without a server, to compare with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice

import ale_py
import gymnasium
import numpy as np
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv

from tests.benchmarks.load import STEPS, Burst, actions, generate

gymnasium.register_envs(ale_py)


def _cartpole() -> gymnasium.Env[object, object]:
    return gymnasium.make("CartPole-v1", disable_env_checker=True)


def _pong() -> gymnasium.Env[object, object]:
    return gymnasium.make("ALE/Pong-v5", obs_type="rgb", disable_env_checker=True)


@contextmanager
def env(_: str, *, make: Callable[[], gymnasium.Env[object, object]] = _cartpole) -> Iterator[Burst]:
    """One environment in this process."""
    with make() as env:
        env.reset(seed=0)
        chosen = map(np.int64, actions())

        def burst() -> int:
            for action in islice(chosen, STEPS):
                _, _, terminated, truncated, _ = env.step(action)
                if terminated or truncated:
                    env.reset()
            return STEPS

        yield burst


@contextmanager
def vector(_: str, *, kind: type[SyncVectorEnv | AsyncVectorEnv], num_envs: int) -> Iterator[Burst]:
    """Gymnasium's own vector environments; counts steps of sub-environments."""
    envs = kind([_cartpole] * num_envs)
    try:
        envs.reset(seed=0)
        chosen = map(np.array, zip(*[actions()] * num_envs, strict=True))

        def burst() -> int:
            for batch in islice(chosen, STEPS):
                envs.step(batch)
            return STEPS * num_envs

        yield burst
    finally:
        envs.close()


if __name__ == "__main__":
    generate(
        {
            "env": env,
            "pong": partial(env, make=_pong),
            "async-1": partial(vector, kind=AsyncVectorEnv, num_envs=1),
            "async-8": partial(vector, kind=AsyncVectorEnv, num_envs=8),
            "sync-8": partial(vector, kind=SyncVectorEnv, num_envs=8),
        }
    )
