"""The official client on our server, and our clients on official servers, old and new."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
from gymnasium.utils.env_checker import check_env

import interop
from tests.interop_peers.conftest import HERE, NEWEST, Serve

ACTIONS = [1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]
VERSIONS = ["0.10.0", *(pytest.param(it, marks=pytest.mark.slow) for it in ("0.7.0", "0.4.2", "0.3.0"))]
Peer = Callable[..., Path]


def run(python: Path, *arguments: str) -> str:
    """What a peer's program prints."""
    done = subprocess.run([str(python), *arguments], cwd=HERE, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("version", VERSIONS)
def test_the_official_client_plays_our_server(peer: Peer, version: str) -> None:
    """The official clients, sync and async, see the local episode on our server."""
    with interop.serve("gym:CartPole-v1") as server:
        seen = json.loads(run(peer(version), "official_client.py", server.url, json.dumps(ACTIONS)))
    env = gym.make("CartPole-v1")
    obs, _ = env.reset(seed=7)
    expected: list[list[Any]] = [[obs, None, False]]
    for action in ACTIONS:
        obs, reward, terminated, truncated, _ = env.step(action)
        expected.append([obs, reward, terminated or truncated])
    for rows in seen.values():
        *steps, refusal, state = rows
        for (observation, reward, done), (obs, expected_reward, expected_done) in zip(steps, expected, strict=True):
            assert obs.tolist() == [float(obs.dtype.type(value)) for value in observation["obs"]]
            assert (reward, done) == (expected_reward, expected_done)
            assert observation["terminated"] is expected_done
        assert refusal == "Server error: Invalid message (code: VALIDATION_ERROR)"
        assert state == {"episode_id": "é", "step_count": len(ACTIONS)}


@pytest.mark.parametrize("version", VERSIONS)
def test_our_clients_play_official_servers(serve_official: Serve, version: str) -> None:
    """Our clients speak plain JSON with official servers of every revision, errors included."""

    async def play(url: str) -> list[Any]:
        async with await interop.connect_async(url) as session:
            results = [await session.reset(seed=1, episode_id="e"), await session.step({"message": "hé"})]
            return [*results, await session.state()]

    with serve_official("echo", version) as url:
        with interop.connect(url) as session:
            assert session.codec == "json"
            results = [session.reset(seed=1, episode_id="e"), session.step({"message": "hé"}), session.state()]
            with pytest.raises(interop.ValidationError, match="message: Field required"):
                session.step({})
            assert session.step({"message": ""}).observation["message_length"] == 0
        assert results[0].reward is None
        assert results[1].observation["echoed_message"] == "hé"
        assert results[1].reward == pytest.approx(0.2)
        assert results[2]["episode_id"] == "e"
        assert asyncio.run(play(url)) == results
        env = interop.make(url, text=True)
        env.reset()
        assert json.loads(env.step("hello")[0])["echoed_message"] == "hello"
        env.close()


def test_official_environments_are_gymnasium_environments(serve_official: Serve) -> None:
    """Spaces are inferred from an official server's schemas, and the environment passes Gymnasium's checks."""
    with serve_official("cartpole") as url:
        # The schema says of the action that it is an integer, and any other than 0 and 1 is an error.
        env = interop.make(url, spaces=(None, gym.spaces.Discrete(2)))
        assert isinstance(env.observation_space, gym.spaces.Sequence)
        check_env(env, skip_render_check=True)
        env.close()


@pytest.mark.slow  # waits twenty seconds
def test_an_idle_client_outlives_the_official_keepalive(serve_official: Serve) -> None:
    """A blocking client that thinks longer than an official server's ping timeout stays connected."""
    with (
        serve_official("probe_env:app", env={"UVICORN_WS_PING_INTERVAL": "2", "UVICORN_WS_PING_TIMEOUT": "6"}) as url,
        interop.connect(url) as session,
    ):
        session.step({"op": "inc"})
        time.sleep(14)
        assert session.step({"op": "inc"}).observation["value"] == 2


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_an_idle_client_outlives_the_official_defaults(serve_official: Serve) -> None:
    """With the official server's own 20 s and 20 s, a minute and a half of silence costs nothing."""
    with serve_official("echo") as url, interop.connect(url) as session:
        session.step({"message": "a"})
        time.sleep(90)
        assert session.step({"message": "b"}).observation["echoed_message"] == "b"


def test_the_official_validator_passes_our_server(peer: Peer) -> None:
    """`openenv validate --url` finds nothing to complain of."""
    openenv = peer(NEWEST).parent / "openenv"
    for mode in ("simulation", "production"):
        with interop.serve("gym:FrozenLake-v1", mode=mode) as server:
            done = subprocess.run([openenv, "validate", "--url", server.url, "--json"], capture_output=True, text=True)
        report = json.loads(done.stdout)
        assert (done.returncode, report["passed"], report["mode"]) == (0, True, mode)
