"""Official MCP clients on our server."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
from websockets.sync.client import connect

import interop
from interop.environment import StepResult
from tests.environments import Misbehaving, source
from tests.interop_peers.conftest import HERE
from tests.interop_peers.test_clients import run
from tests.server.test_handles import begin, result
from tests.server.test_mcp import ask, eventually
from tests.server.test_review import session_threads

SDKS = {"1": ("official_mcp.py", "0.10.0", "openenv"), "2": ("official_mcp_2.py", "2", "mcp")}
"""Program and peer of each major version of the MCP SDK."""


@pytest.fixture(params=SDKS)
def play(request: pytest.FixtureRequest, peer: Callable[..., Path]) -> Callable[..., Any]:
    """What an SDK sees of an episode at an address, with a token or without."""
    program, version, package = SDKS[request.param]
    return lambda *arguments: json.loads(run(peer(version, package), program, "play", *arguments))


@pytest.mark.parametrize("isolation", ["thread", "process"])
def test_the_sdk_plays_our_server(play: Callable[..., Any], isolation: str) -> None:
    """The MCP SDK's client plays an episode to its end, in the newest revision that has a handshake."""
    with interop.serve("gym:CartPole-v1", isolation=isolation) as server:
        seen = play(f"{server.url}/mcp")
    assert 5 < seen.pop("steps") < 15
    assert seen == {
        "revision": "2025-11-25",
        "server": "CartPole-v1",
        "tools": ["act", "observe"],
        "wrong": True,
        "last": "the episode is over",
    }


@pytest.mark.parametrize("isolation", ["thread", "process"])
def test_an_episode_of_the_sdk_is_watched(play: Callable[..., Any], isolation: str) -> None:
    """By its handle the SDK plays the seeded episode; the WebSocket and the result have its steps, no more."""
    env = gym.make("CartPole-v1")
    env.reset(seed=7)
    local = 1
    while not env.step(1)[2]:
        local += 1
    with interop.serve("gym:CartPole-v1", isolation=isolation) as server:
        handle = begin(server, seed=7, episode_id="e")
        with connect(handle["ws_url"], proxy=None) as watcher:
            steps = play(handle["mcp_url"], handle["token"])["steps"]
            assert ask(watcher, "state")["data"] == {"episode_id": "e", "step_count": steps}
        known = result(server, handle)
    assert steps == local
    assert (known["steps"], known["rewards"], known["done"]) == (steps, [1.0] * steps, True)


@pytest.mark.parametrize("isolation", ["thread", "process"])
def test_mcptoolclient_plays_our_server(peer: Callable[..., Path], isolation: str) -> None:
    """OpenEnv's `MCPToolClient` sees the local observations, and its calls as steps of its episode."""
    env = gym.make("CartPole-v1")
    env.reset(seed=7)
    local = [env.step(1)[0] for _ in range(3)]
    with interop.serve("gym:CartPole-v1", isolation=isolation) as server:
        seen = json.loads(run(peer("0.10.0"), "official_mcp.py", "openenv", server.url))
    assert seen["tools"] == [["act", True], ["observe", True]]
    assert [[float(obs.dtype.type(value)) for value in row] for obs, row in zip(local, seen["seen"], strict=True)] == [
        obs.tolist() for obs in local
    ]
    assert seen["steps"] == 3
    assert "Unknown tool: 'nope'" in seen["refused"]


@pytest.mark.parametrize(
    ("isolation", "count"),
    [("thread", 8), *(pytest.param(*it, marks=pytest.mark.slow) for it in (("thread", 32), ("process", 8)))],
)
def test_agents_that_vanish_leave_nothing(
    peer: Callable[..., Path], tmp_path: Path, isolation: str, count: int
) -> None:
    """Of agents that fill a server half are killed in a call: the rest finish, and all places are free again."""

    class Waiting(Misbehaving):
        """Counts waits and closes by files; a wait ends when there is the file `go`."""

        def step(self, action: Mapping[str, Any], /, **options: Any) -> StepResult:
            if action.get("do") == "wait":
                (tmp_path / f"wait-{uuid.uuid4()}").touch()
                while not (tmp_path / "go").exists():
                    time.sleep(0.02)
            return super().step(action)

        def close(self) -> None:
            super().close()
            (tmp_path / f"close-{uuid.uuid4()}").touch()

    def files(kind: str) -> int:
        return len(list(tmp_path.glob(f"{kind}-*")))

    def agents(number: int) -> subprocess.Popen[str]:
        command = [peer("2", "mcp"), "official_mcp_2.py", "crowd", f"{server.url}/mcp", str(number)]
        return subprocess.Popen(command, cwd=HERE, stdout=subprocess.PIPE, text=True)

    def finish(process: subprocess.Popen[str], number: int) -> None:
        assert json.loads(process.communicate()[0]) == ["the episode is over"] * number

    with interop.serve(source(Waiting), isolation=isolation, max_sessions=count, idle_timeout=10.0) as server:
        go = tmp_path / "go"
        go.touch()
        with agents(1) as one:  # what is made once and stays is there after it
            finish(one, 1)
        assert eventually(lambda: server.active_sessions == session_threads() == 0)
        before = _running()
        go.unlink()
        with agents(count // 2) as dropped, agents(count // 2) as kept:
            try:
                assert eventually(lambda: files("wait") == 1 + count, 60)
                assert server.active_sessions == count
            finally:
                dropped.kill()
                dropped.wait()
                go.touch()
            finish(kept, count // 2)
        assert eventually(lambda: server.active_sessions == 0, 30)
        with agents(count) as others:
            finish(others, count)
        assert eventually(lambda: server.active_sessions == 0)
        assert eventually(lambda: files("close") == files("wait") == 1 + 2 * count, 30)
        assert eventually(lambda: all(now <= then for now, then in zip(_running(), before, strict=True)))


def _running() -> tuple[int, int, int]:
    """Threads, child processes and open files of this process."""
    children = 0
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # the thread has ended meanwhile
            children += len((task / "children").read_text().split())
    return threading.active_count(), children, len(os.listdir("/proc/self/fd"))
