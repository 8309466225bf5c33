"""Official MCP clients on our server."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import gymnasium as gym
import pytest

import interop
from tests.interop_peers.test_clients import run


@pytest.mark.parametrize("isolation", ["thread", "process"])
def test_official_mcp_clients_play_our_server(peer: Callable[..., Path], isolation: str) -> None:
    """The MCP SDK's client plays an episode to its end, and `MCPToolClient` sees its calls as steps of its episode."""
    env = gym.make("CartPole-v1")
    env.reset(seed=7)
    local = [env.step(1)[0] for _ in range(3)]
    with interop.serve("gym:CartPole-v1", isolation=isolation) as server:
        seen = json.loads(run(peer("0.10.0"), "official_mcp.py", server.url))
    sdk, openenv = seen["sdk"], seen["openenv"]
    assert (sdk["server"], sdk["tools"], sdk["wrong"]) == ("CartPole-v1", ["act", "observe"], True)
    assert 5 < sdk["steps"] < 15
    assert sdk["last"] == "the episode is over"
    assert openenv["tools"] == [["act", True], ["observe", True]]
    assert [
        [float(obs.dtype.type(value)) for value in row] for obs, row in zip(local, openenv["seen"], strict=True)
    ] == [obs.tolist() for obs in local]
    assert openenv["steps"] == 3
    assert "Unknown tool: 'nope'" in openenv["refused"]
