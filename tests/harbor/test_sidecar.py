"""The program that keeps an episode of a harbor task: what passes through its door, and what it tells in the end."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import interop
from converters.harbor.sidecar import Failed
from converters.harbor.templates.openenv_mcp import Refused
from interop.server import Server
from tests.environments import source
from tests.harbor.sidecars import Sidecar, run_sidecar

TOKEN = "of-the-server"
CLOSED = [
    ("GET", "/"), ("GET", "/health"), ("GET", "/metadata"), ("GET", "/docs"), ("POST", "/reset"), ("POST", "/step"),
    ("GET", "/state"), ("POST", "/sessions"), ("GET", "/sessions/x/result"), ("GET", "/ws"), ("POST", "/mcp/"),
    ("POST", "/mcp?session_id=x"), ("POST", "/mcp/../sessions"), ("DELETE", "/sessions/x"),
]  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server that asks for a token."""
    with interop.serve(source(), token=TOKEN) as server:
        yield server


@pytest.fixture
def sidecar(server: Server, tmp_path: Path) -> Iterator[Sidecar]:
    with run_sidecar(tmp_path, {"seed": 7}, OPENENV_URL=server.url, OPENENV_TOKEN=TOKEN) as sidecar:
        yield sidecar


@pytest.fixture(scope="module")
def door(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """A sidecar whose episode nobody plays."""
    directory = tmp_path_factory.mktemp("door")
    with run_sidecar(directory, {}, OPENENV_URL=server.url, OPENENV_TOKEN=TOKEN) as sidecar:
        yield sidecar


def status(door: Sidecar, method: str, path: str, *headers: str, body: str = "") -> int:
    """The status of what is answered to a request of these words."""
    with socket.create_connection(("127.0.0.1", door.port), timeout=30) as sock:
        head = (f"{method} {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {TOKEN}", "Connection: close", *headers)
        sock.sendall("\r\n".join([*head, "", body]).encode())
        return int(sock.makefile("rb").read().split()[1])


def result(sidecar: Sidecar) -> object:
    return json.loads((sidecar.state / "result.json").read_text())


def test_an_episode(sidecar: Sidecar, server: Server) -> None:
    """The agent plays what was reset for it, without a token; the result is collected once, and ends it."""
    before, tools = server.active_sessions, sidecar.tools()
    assert tools.call("observe")["seed"] == 7
    assert tools.call("act") == {"count": 1}
    assert sidecar.tools().call("act", do="end") == {"count": 2}  # another client goes on
    with pytest.raises(Refused, match="the episode is over"):
        tools.call("act")
    sidecar.run("collect")
    expected = {"steps": 2, "rewards": [1.0, 1.0], "return": 2.0, "done": True, "reward": 1.0}
    assert {**expected, "session_id": result(sidecar)["session_id"]} == result(sidecar)  # type: ignore[index]
    assert server.active_sessions == before - 1
    with pytest.raises(Refused, match="404"):
        tools.call("observe")
    (sidecar.state / "session.json").unlink()
    sidecar.run("collect")
    assert {path.name: path.stat().st_mode & 0o777 for path in sidecar.state.iterdir()} == {"result.json": 0o600}
    assert sidecar.state.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(("method", "path"), CLOSED)
def test_nothing_else_passes(door: Sidecar, method: str, path: str) -> None:
    """Every other path of the server is none here, even for who knows the server's token."""
    assert status(door, method, path, "Content-Length: 2", body="{}") == 404


def test_what_is_no_message_is_refused(door: Sidecar) -> None:
    """Another method, a body without a length, or with too much of one; none of it is read."""
    assert [status(door, method, "/mcp") for method in ("PUT", "PATCH", "OPTIONS", "HEAD")] == [501] * 4
    assert status(door, "POST", "/mcp", "Transfer-Encoding: chunked", body="2\r\n{}\r\n0\r\n\r\n") == 411
    assert status(door, "POST", "/mcp", "Content-Length: -1") == 411
    assert status(door, "POST", "/mcp", f"Content-Length: {1 << 40}") == 413


def test_headers_of_the_agent_open_nothing(door: Sidecar) -> None:
    """A session of OpenEnv cannot be made by the door, and what the agent calls a token is not passed on."""
    create = {"jsonrpc": "2.0", "id": 1, "method": "openenv/session/create"}
    headers = {"Authorization": "Bearer wrong", "X-Forwarded-Host": "evil"}
    answer = httpx.post(door.url, json=create, headers=headers, trust_env=False)
    assert (answer.status_code, "session_id" in answer.text) == (400, False)
    assert httpx.get(door.url, trust_env=False).status_code == 405


def test_a_stream_comes_as_it_is_made(sidecar: Sidecar) -> None:
    """Notes on a call that takes long arrive before its result."""
    tools = sidecar.tools()
    params = {"name": "act", "arguments": {"do": "sleep", "seconds": 1.6}, "_meta": {"progressToken": "t"}}
    headers = {**tools._headers, "Accept": "application/json, text/event-stream"}
    call = {"jsonrpc": "2.0", "id": 9, "method": "tools/call", "params": params}
    with httpx.stream("POST", sidecar.url, json=call, headers=headers, trust_env=False, timeout=30) as answer:
        lines = [line for line in answer.iter_lines() if line.startswith("data:")]
    assert [json.loads(line[5:]).get("method") for line in lines] == ["notifications/progress", None]


def test_a_source_is_served_here(tmp_path: Path) -> None:
    """By a command, whose server takes no one without the token of this sidecar, and ends with it."""
    serve = [sys.executable, "-m", "interop", "serve", "gym:CartPole-v1", "--port", "0", "--json"]
    with run_sidecar(tmp_path, {"seed": 3}, serve=serve) as sidecar:
        assert sidecar.tools().call("act", action=1)["terminated"] is False
        address = json.loads((sidecar.state / "session.json").read_text())["address"]
        assert httpx.get(f"{address}/result", trust_env=False).status_code == 401
    with pytest.raises(httpx.ConnectError):
        httpx.get(address, trust_env=False)


def test_start_is_the_same_in_the_background(server: Server, tmp_path: Path) -> None:
    """Where it serves already nothing is begun; what SIGTERM ends leaves no session."""
    before = server.active_sessions
    with run_sidecar(tmp_path, {}, OPENENV_URL=server.url, OPENENV_TOKEN=TOKEN) as sidecar:
        sidecar.run("start")
        assert server.active_sessions == before + 1
    assert server.active_sessions == before


def test_what_does_not_begin_says_why(server: Server, tmp_path: Path) -> None:
    """A wrong token, arguments that are refused, a server that is not there or ends, a port that is taken."""
    with pytest.raises(Failed, match="is answered 401"), run_sidecar(tmp_path, {}, OPENENV_URL=server.url):
        pass
    with interop.serve("gym:CartPole-v1") as gym:
        with pytest.raises(Failed, match="is answered 422"), run_sidecar(tmp_path, {"seed": "x"}, OPENENV_URL=gym.url):
            pass
    with pytest.raises(Failed, match="no server answers"), run_sidecar(tmp_path, {}, OPENENV_URL="http://127.0.0.1:9"):
        pass
    with pytest.raises(Failed, match="ended with code 1 before it served"):
        with run_sidecar(tmp_path, {}, serve=[sys.executable, "-c", "raise SystemExit(1)"]):
            pass
    with run_sidecar(tmp_path, {}, OPENENV_URL=server.url, OPENENV_TOKEN=TOKEN) as sidecar:
        (sidecar.state / "session.json").unlink()
        with pytest.raises(Failed, match="no episode has begun"):
            sidecar.run("collect")
        with pytest.raises(Failed, match=r"cannot listen on 127\.0\.0\.1"):
            sidecar.run("serve")


def test_what_is_lost_has_no_result(server: Server, tmp_path: Path) -> None:
    """An environment that ends the session leaves no result, so that no reward is made of it."""
    with run_sidecar(tmp_path, {}, OPENENV_URL=server.url, OPENENV_TOKEN=TOKEN) as sidecar:
        tools = sidecar.tools()
        tools.call("act")
        with pytest.raises(Refused):
            tools.call("act", do="exit")
        with pytest.raises(Failed, match="is answered 404"):
            sidecar.run("collect")
        assert not (sidecar.state / "result.json").exists()
