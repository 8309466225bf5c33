"""Local environment = environment over the wire, for everything Gymnasium registers, and for ALE and MiniGrid."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import ale_py
import gymnasium
import minigrid
import pytest
from gymnasium.utils.env_checker import check_env

import interop
from tests.gymnasium.roundtrip import assert_same

gymnasium.register_envs(ale_py)
gymnasium.register_envs(minigrid)

STEPS = 200
SEED = 5
EPISODE = 67
"""Time limit of all, so that episodes are truncated within the trajectory; it is no divisor of `STEPS`."""

MOVED = "moved to the gymnasium-robotics project"
NO_JAX = "No module named 'jax'"
NO_SHIMMY = 'pip install "shimmy'
OLD_MUJOCO = "only supported on `mujoco<3`"

MISSING = {
    **dict.fromkeys(
        (
            "phys2d/CartPole-v0", "phys2d/CartPole-v1", "phys2d/Pendulum-v0",
            "tabular/Blackjack-v0", "tabular/CliffWalking-v0",
        ),
        NO_JAX,
    ),
    **dict.fromkeys(("GymV21Environment-v0", "GymV26Environment-v0"), NO_SHIMMY),
    "Pusher-v4": OLD_MUJOCO,
    **dict.fromkeys(
        (
            "Reacher-v2", "Pusher-v2", "InvertedPendulum-v2", "InvertedDoublePendulum-v2", "HumanoidStandup-v2",
            *(f"{name}-v{version}" for name in ("HalfCheetah", "Hopper", "Swimmer", "Walker2d", "Ant", "Humanoid")
              for version in (2, 3)),
        ),
        MOVED,
    ),
}  # fmt: skip
"""Ids of Gymnasium that cannot be built with what is installed here, and the reason that they give."""

FAST = {
    "CartPole-v0", "CartPole-v1", "MountainCar-v0", "MountainCarContinuous-v0", "Pendulum-v1", "Acrobot-v1",
    "Blackjack-v1", "FrozenLake-v1", "CliffWalkingSlippery-v1", "Taxi-v4",
    "LunarLander-v3", "BipedalWalker-v3",
    "Ant-v5", "HalfCheetah-v4", "Hopper-v5", "InvertedDoublePendulum-v5", "Reacher-v4", "Humanoid-v5",
}  # fmt: skip
"""The ids of Gymnasium that `make test` runs; `make test-all` runs them all."""

OPTIONS = {
    "CartPole-v1": {"low": -0.1, "high": 0.2},
    "MountainCar-v0": {"low": -0.5, "high": -0.45},
    "Pendulum-v1": {"x_init": 1.0, "y_init": 0.5},
}


@dataclass(frozen=True)
class Case:
    """One environment, made here and served."""

    id: str
    kwargs: Mapping[str, Any] = field(default_factory=lambda: {"max_episode_steps": EPISODE})
    slow: bool = False

    @property
    def name(self) -> str:
        return "-".join([self.id, *(str(v) for k, v in self.kwargs.items() if k != "max_episode_steps")])

    @property
    def source(self) -> str:
        return f"gym:{self.id}?" + urlencode({key: json.dumps(value) for key, value in self.kwargs.items()})

    def make(self, **kwargs: Any) -> gymnasium.Env[Any, Any]:
        return gymnasium.make(self.id, disable_env_checker=True, **self.kwargs, **kwargs)


def registered() -> list[str]:
    """The ids that Gymnasium itself registers."""
    return [
        id
        for id, spec in gymnasium.registry.items()
        if (spec.entry_point if isinstance(spec.entry_point, str) else str(spec.entry_point.__module__)).startswith(
            "gymnasium.envs"
        )
    ]


CASES = [
    *(Case(id, slow=id not in FAST) for id in registered() if id not in MISSING),
    Case("ALE/Breakout-v5", {"max_episode_steps": EPISODE, "obs_type": "ram"}),
    Case("ALE/Pong-v5"),
    Case("ALE/Adventure-v5", {"max_episode_steps": EPISODE, "obs_type": "grayscale"}, slow=True),
    Case("ALE/Breakout-v5", {"max_episode_steps": EPISODE, "continuous": True, "frameskip": 2}, slow=True),
    Case("ALE/Freeway-v5", {"max_episode_steps": EPISODE, "full_action_space": True}, slow=True),
    Case("MiniGrid-Empty-5x5-v0"),
    Case("MiniGrid-Fetch-5x5-N2-v0"),
    Case("BabyAI-GoToLocal-v0"),
    Case("MiniGrid-DoorKey-5x5-v0", slow=True),
    Case("MiniGrid-Dynamic-Obstacles-5x5-v0", slow=True),
    Case("BabyAI-GoToObj-v0", slow=True),
]


@pytest.fixture(
    scope="module",
    params=[pytest.param(case, id=case.name, marks=[pytest.mark.slow] if case.slow else []) for case in CASES],
)
def served(request: pytest.FixtureRequest) -> Iterator[tuple[Case, str]]:
    """One server for all the tests of an environment."""
    with interop.serve(request.param.source, isolation="thread") as server:
        yield request.param, server.url


@pytest.mark.timeout(600)
@pytest.mark.parametrize("binary", [True, False], ids=["msgpack", "json"])
def test_a_trajectory_over_the_wire_is_the_local_one(served: tuple[Case, str], binary: bool) -> None:
    """Spaces, metadata, resets and 200 steps over several episodes are the same, bit for bit."""
    case, url = served
    local, remote = case.make(), interop.make(url, binary=binary)
    try:
        found = assert_same(local, remote, steps=STEPS, seed=SEED, options=OPTIONS.get(case.id))
        assert found.steps == STEPS
        assert found.episodes >= 2
    finally:
        local.close()
        remote.close()


@pytest.mark.timeout(600)
def test_check_env_passes(served: tuple[Case, str]) -> None:
    """`check_env` accepts the remote environment, and warns of nothing that it does not warn of locally."""
    case, url = served
    local = case.make()
    remote = gymnasium.make("interop:OpenEnv-v0", url=url)
    try:
        ours = warnings_of(remote.unwrapped)
        theirs = warnings_of(local.unwrapped, skip_render_check=True)
        assert ours <= theirs
    finally:
        local.close()
        remote.close()


def warnings_of(env: gymnasium.Env[Any, Any], **arguments: Any) -> set[str]:
    """What `check_env` warns of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_env(env, **arguments)
    return {str(warning.message) for warning in caught if issubclass(warning.category, UserWarning)}


@pytest.mark.parametrize("id", MISSING)
def test_what_cannot_be_built_says_why(id: str) -> None:
    """An id that has no round trip here cannot be built locally either, and serving it says the same reason."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises((ImportError, gymnasium.error.Error)) as local:
            gymnasium.make(id)
        with pytest.raises(interop.SourceError) as served:
            interop.serve(f"gym:{id}")
    assert MISSING[id] in str(local.value)
    assert MISSING[id] in str(served.value)


def test_every_id_has_its_place() -> None:
    """Each id that Gymnasium registers is in the round trip or in the table of what cannot be built."""
    covered = {case.id for case in CASES} | MISSING.keys()
    assert covered >= set(registered())
    assert set(registered()) >= FAST | MISSING.keys()
