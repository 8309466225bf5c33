"""Servers of this project are certified: every wrap that runs here, every profile that applies, SHOULD included."""

from __future__ import annotations

import time
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import interop
from conformance.probe import Inputs
from conformance.runner import Result, collect, judge


class Roles(gym.Env[int, int]):
    """Does what an action says: each role that a run can be given."""

    observation_space = gym.spaces.Discrete(100)
    action_space = gym.spaces.Discrete(5)
    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 - as Gymnasium has it
    steps = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        return self._observe(), {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        match int(action):
            case 1:
                raise RuntimeError("on purpose")
            case 2:
                time.sleep(2.1)
            case 3:
                return self._observe(), 1.0, False, False, {"what": object()}
        self.steps += 1
        return self._observe(), 1.0, action == 4, self.steps >= 50, {}

    def _observe(self) -> int:
        return np.int64(self.np_random.integers(100))  # type: ignore[return-value]


ROLES = Inputs(
    actions=({"action": 0},),
    raises={"action": 1},
    slow={"action": 2},
    uncarryable={"action": 3},
    ends=({"action": 4},),
)
SOURCES: dict[str, tuple[Any, Inputs]] = {
    "CartPole": ("gym:CartPole-v1", Inputs()),
    "FrozenLake": ("gym:FrozenLake-v1", Inputs()),
    "Blackjack": ("gym:Blackjack-v1", Inputs()),
    "Pendulum": ("gym:Pendulum-v1", Inputs()),
    "roles": (Roles, ROLES),
}


def certified(url: str, profile: str = "all", **more: Any) -> list[Result]:
    """The results of a run, of which none is a finding; else of a second run.

    The suite waits a second for what must come at once, and a machine that is busy elsewhere may take longer.
    """
    for _ in range(2):
        results = judge(collect(url, profile=profile, **more), profile=profile)
        findings = {it.requirement.id: it.message for it in results if it.is_finding}
        if not findings:
            return results
    pytest.fail(str(findings))


@pytest.mark.timeout(400)  # with slow steps, and a process for each session, on a machine that is busy elsewhere
@pytest.mark.parametrize(
    ("name", "isolation"),
    [
        ("CartPole", "thread"),
        ("roles", "thread"),
        *(pytest.param(name, "thread", marks=pytest.mark.slow) for name in ("FrozenLake", "Blackjack", "Pendulum")),
        pytest.param("roles", "process", marks=pytest.mark.slow),
    ],
)
def test_our_server_is_certified(name: str, isolation: str) -> None:
    """Every requirement that applies is met, and nothing is left to be improved."""
    source, inputs = SOURCES[name]
    profile = "all" if isolation == "thread" else "strict"  # hundreds of processes otherwise
    with interop.serve(source, max_sessions=4, isolation=isolation) as server:
        certified(server.url, profile, inputs=inputs)
        assert server.active_sessions == 0


def test_a_server_with_one_place_is_certified() -> None:
    """One session at a time is enough for the suite, and none is left behind."""
    with interop.serve("gym:CartPole-v1", max_sessions=1) as server:
        certified(server.url)
        assert server.active_sessions == 0


def test_a_server_with_a_token_is_certified() -> None:
    """A bearer token goes with every request, and what a server does without one is judged too."""
    with interop.serve("gym:CartPole-v1", max_sessions=4, token="secret") as server:
        results = certified(server.url, token="secret")
    assert next(it for it in results if it.requirement.id == "SEC-6").outcome == "pass"
