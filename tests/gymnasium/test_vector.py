"""Vectors over the wire = Gymnasium's own vectors, in each autoreset mode."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import gymnasium
import minigrid
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

import interop
from converters.gymnasium.vector import OpenEnvVectorEnv, SessionsVectorEnv
from tests.exact import assert_identical
from tests.gymnasium import foreign
from tests.gymnasium.broken import probe
from tests.gymnasium.roundtrip import assert_same_space

gymnasium.register_envs(minigrid)

Vector = VectorEnv[Any, Any, Any]

NUM_ENVS = 3
IDS = {
    "CartPole-v1": {},
    "Taxi-v4": {"max_episode_steps": 9},
    "Blackjack-v1": {},
    "MiniGrid-Fetch-5x5-N2-v0": {"max_episode_steps": 7},
    probe.ID: {},
}
"""Episodes that end at different steps; infos of arrays; observations of a Box, of a number, of a Tuple, of a Dict."""
MODES = list(AutoresetMode)
VECTORS: dict[str, Callable[..., Vector]] = {
    "one session": lambda url, mode: interop.make_vec(url, NUM_ENVS, autoreset_mode=mode, vectorization="sync"),
    "sessions": lambda url, mode: interop.make_vec(url, NUM_ENVS, sessions=True, autoreset_mode=mode),
    "sessions, JSON": lambda url, mode: interop.make_vec(url, NUM_ENVS, binary=False, autoreset_mode=mode.value),
}


@pytest.fixture(scope="module", params=IDS)
def served(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """An id and its server."""
    with _serve(request.param) as url:
        yield request.param, url


@contextmanager
def _serve(id: str) -> Iterator[str]:
    with interop.serve(lambda: _make(id)) as server:
        yield server.url


def _make(id: str) -> gymnasium.Env[Any, Any]:
    return gymnasium.make(id, disable_env_checker=True, **IDS.get(id, {}))


def _local(id: str, mode: AutoresetMode, num_envs: int = NUM_ENVS) -> Vector:
    return SyncVectorEnv([lambda: _make(id)] * num_envs, autoreset_mode=mode)


def follow(local: Vector, remote: Vector, *, steps: int = 60, seed: Any = 3, options: Any = None) -> int:
    """Assert that both vectors give the same, from a reset on; the number of episodes that ended."""
    actions = copy.deepcopy(local.action_space)
    actions.seed(3)
    disabled = local.metadata["autoreset_mode"] is AutoresetMode.DISABLED
    ended = 0
    results = [(local.reset(seed=seed, options=options), remote.reset(seed=seed, options=options))]
    assert_identical(results[0][1], results[0][0], "reset")
    for index in range(steps):
        action = actions.sample()
        expected = copy.deepcopy(local.step(copy.deepcopy(action)))
        actual = remote.step(action)
        assert_identical(actual, expected, f"step {index}")
        results.append((expected, (actual, copy.deepcopy(actual))))
        done = expected[2] | expected[3]
        ended += int(done.sum())
        if disabled and done.any():
            mask = {"reset_mask": done}
            assert_identical(remote.reset(options=dict(mask)), local.reset(options=dict(mask)), f"reset after {index}")
    for _, (actual, before) in results[1:]:
        assert_identical(actual, before, "an earlier result")
    return ended


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
@pytest.mark.parametrize("kind", VECTORS)
def test_a_vector_is_the_local_one(served: tuple[str, str], kind: str, mode: AutoresetMode) -> None:
    """Observations, rewards, flags, infos with their masks, final observations and infos are the same, bit for bit."""
    id, url = served
    with closing(_local(id, mode)) as local, closing(VECTORS[kind](url, mode)) as remote:
        assert isinstance(remote, OpenEnvVectorEnv if kind == "one session" else SessionsVectorEnv)
        assert remote.num_envs == NUM_ENVS
        assert remote.metadata["autoreset_mode"] is mode
        for name in ("single_observation_space", "single_action_space", "action_space"):
            assert_same_space(getattr(remote, name), getattr(local, name), name)
        assert follow(local, remote) >= NUM_ENVS
        assert follow(local, remote, steps=5, seed=None) >= 0


@pytest.mark.parametrize("seed", [None, 0, 7, [3, 1, 4], [3, None, 4]], ids=str)
@pytest.mark.parametrize("kind", VECTORS)
def test_seeds(kind: str, seed: Any) -> None:
    """A seed is one for all, one for each, or none, which goes on with the streams there are."""
    with _serve("CartPole-v1") as url, closing(_local("CartPole-v1", AutoresetMode.NEXT_STEP)) as local:
        with closing(VECTORS[kind](url, AutoresetMode.NEXT_STEP)) as remote:
            assert_identical(remote.reset(seed=11), local.reset(seed=11))
            follow(local, remote, steps=30, seed=seed)


@pytest.mark.parametrize("kind", VECTORS)
def test_options_and_reset_masks(kind: str) -> None:
    """Options go to all; a mask resets those that it names, and leaves the others as they are."""
    mode = AutoresetMode.DISABLED
    with _serve("CartPole-v1") as url, closing(_local("CartPole-v1", mode)) as local:
        with closing(VECTORS[kind](url, mode)) as remote:
            follow(local, remote, steps=3, options={"low": -0.01, "high": 0.2})
            for mask in ([True, False, True], [False, False, True], [True, True, True]):
                options = {"reset_mask": np.array(mask), "low": 0.0, "high": 0.1}
                expected = local.reset(seed=[8, 9, 10], options=dict(options))
                assert_identical(remote.reset(seed=[8, 9, 10], options=dict(options)), expected, str(mask))
                for _ in range(2):
                    actions = np.array([1, 0, 1])
                    assert_identical(remote.step(actions), local.step(actions), str(mask))


@pytest.mark.parametrize("num_envs", [1, 5])
def test_the_native_vector_is_used_where_there_is_one(num_envs: int) -> None:
    """By default the server runs what `gymnasium.make_vec` makes: CartPole's own vector environment."""
    with interop.serve("gym:CartPole-v1") as server:
        local = gymnasium.make_vec("CartPole-v1", num_envs=num_envs)
        remote = gymnasium.make_vec("interop:OpenEnv-v0", num_envs=num_envs, url=server.url)
        with closing(local), closing(remote):
            assert type(local.unwrapped).__name__ == "CartPoleVectorEnv"
            for name in ("observation_space", "action_space", "single_observation_space", "single_action_space"):
                assert_same_space(getattr(remote, name), getattr(local, name), name)
            assert remote.metadata["autoreset_mode"] is local.metadata["autoreset_mode"]
            assert follow(local, remote, steps=80) >= num_envs


def test_a_native_vector_can_be_asked_for_or_declined() -> None:
    """`vectorization` says which; where there is no native one, asking for it is refused with a way out."""
    with interop.serve("gym:CartPole-v1") as server:
        with closing(interop.make_vec(server.url, 2, vectorization="native")) as native:
            with closing(gymnasium.make_vec("CartPole-v1", 2)) as local:
                follow(local, native, steps=30)
        with closing(interop.make_vec(server.url, 2, vectorization="sync")) as sync:
            with closing(_local("CartPole-v1", AutoresetMode.NEXT_STEP, 2)) as local:
                follow(local, sync, steps=30)
    with interop.serve("gym:Taxi-v4") as server:
        with pytest.raises(interop.ValidationError, match="no vector_entry_point; use sync"):
            interop.make_vec(server.url, 2, vectorization="native")


def test_sub_environments_are_spread_over_servers() -> None:
    """A list of URLs makes one session for each sub-environment, in turn, and the vector is the local one."""
    id = "CartPole-v1"
    with interop.serve(lambda: _make(id)) as first, interop.serve(lambda: _make(id)) as second:
        with closing(interop.make_vec([first.url, second.url], NUM_ENVS)) as remote:
            with closing(_local(id, AutoresetMode.NEXT_STEP)) as local:
                follow(local, remote)
            assert (first.active_sessions, second.active_sessions) == (2, 1)


def test_a_vector_of_a_server_of_its_own() -> None:
    """`make_vec` of a source serves it for the vector alone."""
    remote = interop.make_vec("gym:CartPole-v1", 4)
    with closing(remote), closing(gymnasium.make_vec("CartPole-v1", num_envs=4)) as local:
        follow(local, remote, steps=20)
    with pytest.raises(interop.ConnectError):
        interop.make(remote.url)


def test_a_server_without_vector_messages_gets_sessions() -> None:
    """On a server that is not of this project each sub-environment has a session; asking for one session is refused."""
    with foreign.serve(foreign.MAZE) as server:
        with closing(interop.make_vec(server.url, 2)) as vector:
            assert isinstance(vector, SessionsVectorEnv)
            vector.reset(seed=0)
            obs, rewards, terminated, truncated, _ = vector.step(np.array([2, 0]))
            assert_identical(obs["place"][:, 0], np.array([1.0, -1.0]))
            assert_identical((rewards, terminated | truncated), (np.array([0.25, -0.25]), np.array([False, False])))
        with pytest.raises(interop.InteropError, match="vector"):
            interop.make_vec(server.url, 2, sessions=False)


@pytest.mark.parametrize("sessions", [True, False])
def test_frames_are_the_local_ones(sessions: bool) -> None:
    """`render` gives a frame for each sub-environment, each the local one."""
    with interop.serve("gym:CartPole-v1") as server:
        local = SyncVectorEnv([lambda: gymnasium.make("CartPole-v1", render_mode="rgb_array")] * 2)
        arguments: dict[str, Any] = {"render_mode": "rgb_array"} | ({} if sessions else {"vectorization": "sync"})
        remote = interop.make_vec(server.url, 2, sessions=sessions, **arguments)
        with closing(local), closing(remote):
            assert remote.render_mode == local.render_mode == "rgb_array"
            follow(local, remote, steps=4)
            assert_identical(remote.render(), local.render())


@pytest.mark.parametrize("sessions", [True, False])
def test_actions_outside_the_space_are_refused(sessions: bool) -> None:
    """An action outside the space is an error; the vector of one session goes on untouched."""
    with _serve("CartPole-v1") as url, closing(_local("CartPole-v1", AutoresetMode.NEXT_STEP)) as local:
        with closing(interop.make_vec(url, NUM_ENVS, sessions=sessions)) as remote:
            follow(local, remote, steps=3)
            with pytest.raises(interop.ValidationError, match=r"7.* not in the|not in the batched action space"):
                remote.step(np.array([0, 7, 1]))
            if sessions:
                return  # some of the sub-environments have taken the step, as locally
            actions = np.array([0, 1, 1])
            assert_identical(remote.step(actions), local.step(actions))


@pytest.mark.parametrize("seed", [3, None])
def test_a_vector_resets_after_an_error(seed: int | None) -> None:
    """Sessions in which a step was refused can all be reset and go on; no reply is taken for another's."""
    with _serve("CartPole-v1") as url, closing(_local("CartPole-v1", AutoresetMode.NEXT_STEP)) as local:
        with closing(interop.make_vec(url, NUM_ENVS, sessions=True)) as remote:
            follow(local, remote, steps=3)
            for bad in ([7, 0, 1], [0, 7, 1], [0, 1, 7], [7, 7, 7]):
                with pytest.raises(interop.ValidationError):
                    remote.step(np.array(bad))
                # The local vector takes the part of the step that the sessions have taken.
                for index, env in enumerate(local.envs):  # type: ignore[attr-defined]
                    if bad[index] != 7:
                        env.step(bad[index])
                follow(local, remote, steps=2, seed=seed)


def test_a_closed_vector_stays_closed() -> None:
    """`close` may be called again, and frees the places of the server."""
    with _serve("CartPole-v1") as url:
        for sessions in (True, False):
            vector = interop.make_vec(url, 2, sessions=sessions)
            vector.reset(seed=0)
            vector.close()
            vector.close()
            with pytest.raises((interop.InteropError, gymnasium.error.Error)):
                vector.reset()
