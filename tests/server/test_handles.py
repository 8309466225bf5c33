"""`/sessions`: the orchestrator begins, watches and closes; the harness has a door to the episode and nothing else."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import gymnasium as gym
import httpx
import pytest
from websockets.sync.client import connect

import interop
from tests.environments import Misbehaving, source
from tests.server.test_mcp import HEADERS, OPENING, Agent, ask, eventually


def begin(server: interop.Server, **arguments: Any) -> dict[str, Any]:
    """The handle of a new session."""
    response = httpx.post(f"{server.url}/sessions", json=arguments, timeout=20)
    assert response.status_code == 201, response.text
    return dict(response.json())


def result(server: interop.Server, handle: dict[str, Any]) -> Any:
    """What the orchestrator knows of the episode."""
    response = httpx.get(f"{server.url}/sessions/{handle['session_id']}/result")
    assert response.status_code == 200, response.text
    return response.json()


@pytest.mark.parametrize("isolation", ["thread", "process"])
def test_a_harness_plays_what_the_orchestrator_began(isolation: str) -> None:
    """The orchestrator has the seed and the rewards, the agent has the actions."""
    env = gym.make("CartPole-v1")
    env.reset(seed=3)
    local = 0
    while not env.step(1)[2]:
        local += 1
    with interop.serve("gym:CartPole-v1", isolation=isolation) as server:
        handle = begin(server, seed=3, episode_id="e")
        assert set(handle) == {"session_id", "mcp_url", "ws_url", "token", "expires"}
        assert handle["session_id"] not in handle["mcp_url"]
        assert datetime.fromisoformat(handle["expires"]) > datetime.now(UTC)
        agent = Agent(handle["mcp_url"], handle["token"])
        with connect(handle["ws_url"], proxy=None) as watcher:
            steps = 0
            while not agent.call("act", action=1)[0]:
                steps += 1
            assert ask(watcher, "state")["data"] == {"episode_id": "e", "step_count": steps}
        assert steps == local + 1
        known = result(server, handle)
        assert (known["steps"], known["return"], known["done"]) == (steps, float(steps), True)
        assert known["rewards"] == [1.0] * steps
        assert httpx.delete(f"{server.url}/sessions/{handle['session_id']}").status_code == 204
        assert eventually(lambda: server.active_sessions == 0)
        assert agent.post("ping", {}).status_code == 404
        assert httpx.get(f"{server.url}/sessions/{handle['session_id']}/result").status_code == 404


def test_a_harness_that_goes_leaves_the_episode() -> None:
    """A dropped harness, or one that says goodbye, ends nothing; the next one goes on where it was."""
    with interop.serve("gym:CartPole-v1") as server:
        handle = begin(server)
        first = Agent(handle["mcp_url"], handle["token"])
        first.call("act", action=1)
        assert first.http.delete("/mcp").status_code == 204
        second = Agent(handle["mcp_url"], handle["token"])
        second.call("act", action=0)
        second.http.close()
        assert result(server, handle)["steps"] == 2


@pytest.mark.parametrize("token", ["", "wrong"])
def test_a_harness_needs_the_token_of_its_session(token: str) -> None:
    """Neither the address alone, nor the token of another session, nor the server's own is enough."""
    with interop.serve("gym:CartPole-v1", token="server") as server:
        headers = {"Authorization": "Bearer server"}
        one, other = (httpx.post(f"{server.url}/sessions", headers=headers).json() for _ in range(2))
        message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": OPENING}
        for wrong in (token, other["token"], "server"):
            given = HEADERS | ({"Authorization": f"Bearer {wrong}"} if wrong else {})
            assert httpx.post(one["mcp_url"], json=message, headers=given).status_code == 401
        assert not Agent(one["mcp_url"], one["token"]).call("act", action=1)[0]
        assert httpx.post(f"{server.url}/sessions").status_code == 401
        assert httpx.post(f"{server.url}/sessions/nope/mcp", json=message).status_code == 404


def test_a_harness_stays_in_its_session() -> None:
    """A session id of MCP is good at the door that gave it; OpenEnv's own requests are not served there."""
    with interop.serve("gym:CartPole-v1") as server:
        handle, other = begin(server), Agent(server.url)
        agent = Agent(handle["mcp_url"], handle["token"])
        agent.http.headers["Mcp-Session-Id"] = other.http.headers["Mcp-Session-Id"]
        assert agent.post("ping", {}).status_code == 404
        del agent.http.headers["Mcp-Session-Id"]
        assert agent.post("openenv/session/create", {}).status_code == 400


def test_a_reward_that_is_no_number_ends_nothing() -> None:
    """What an environment gives for a reward is told as it is, and the session lives."""

    class Words(Misbehaving):
        def step(self, action: Any, /, **options: Any) -> Any:
            given = super().step(action, **options)
            given.reward = ["well done", None, True, float("inf")][self.count - 1]
            return given

    with interop.serve(source(Words)) as server:
        handle = begin(server)
        agent = Agent(handle["mcp_url"], handle["token"])
        for _ in range(4):
            assert not agent.call("act")[0]
        assert result(server, handle)["rewards"] == ["well done", None, 1.0, "Infinity"]
        assert result(server, handle)["return"] == "Infinity"


def test_a_reset_that_is_refused_leaves_nothing() -> None:
    """Wrong arguments of the reset are told, and the place is free."""
    with interop.serve("gym:CartPole-v1") as server:
        refused = httpx.post(f"{server.url}/sessions", json={"seed": -1})
        assert refused.status_code == 422
        assert refused.json()["detail"]["errors"][0]["loc"] == ["seed"]
        assert httpx.post(f"{server.url}/sessions", json=[1]).status_code == 422
        assert eventually(lambda: server.active_sessions == 0)


def test_a_full_server_and_expired_sessions_say_so() -> None:
    """There is a status for want of a place, and the session is gone when nobody has used it."""
    with interop.serve(source(Misbehaving), max_sessions=1, idle_timeout=1.0) as server:
        handle = begin(server)
        assert httpx.post(f"{server.url}/sessions").status_code == 503
        assert eventually(lambda: server.active_sessions == 0)
        agent = httpx.post(handle["mcp_url"], headers={"Authorization": f"Bearer {handle['token']}"})
        assert (agent.status_code, "ended" in json.dumps(agent.json())) == (404, True)
        begin(server)
