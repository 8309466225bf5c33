"""`interop mcp --stdio`: an MCP server on stdin and stdout, in front of ours and of others' servers."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import interop
from conformance.broken.healthy import Healthy
from conformance.broken.streamable import Streaming
from conformance.broken.wire import serving
from tests.cli.program import COMMAND, ENVIRONMENT
from tests.environments import source

OPENING = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}


class Agent:
    """An agent that started the bridge as its MCP server."""

    def __init__(self, url: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, "mcp", url, "--stdio", *arguments],
            env=ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.id = 0
        self.notes: list[Any] = []
        """Notifications that came while an answer was awaited."""

    def write(self, line: bytes) -> None:
        """Write a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def send(self, method: str, params: dict[str, Any] | None = None) -> int:
        """Send a request; its id."""
        self.id += 1
        self.write(json.dumps({"jsonrpc": "2.0", "id": self.id, "method": method, "params": params or {}}).encode())
        return self.id

    def notify(self, method: str, **params: Any) -> None:
        """Send a notification."""
        self.write(json.dumps({"jsonrpc": "2.0", "method": method, "params": params}).encode())

    def read(self) -> Any:
        """The next message."""
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def ask(self, method: str, **params: Any) -> Any:
        """The response to a request."""
        id = self.send(method, params)
        while "method" in (answer := self.read()):
            self.notes.append(answer)
        assert answer["id"] == id
        return answer

    def call(self, name: str, **arguments: Any) -> tuple[bool, str]:
        """Whether a call failed, and the text of its result."""
        result = self.ask("tools/call", name=name, arguments=arguments)["result"]
        return result["isError"], result["content"][0]["text"]

    def end(self) -> int:
        """Close its stdin; its exit code."""
        _, errors = self.process.communicate(timeout=20)
        assert errors == b""
        return self.process.returncode


@contextlib.contextmanager
def attached(url: str, *arguments: str) -> Iterator[Agent]:
    """An agent that has initialized its session."""
    agent = Agent(url, *arguments)
    try:
        opened = agent.ask("initialize", **OPENING)
        assert opened["result"]["protocolVersion"] == "2025-06-18", opened
        agent.notify("notifications/initialized")
        yield agent
    finally:
        agent.process.kill()
        agent.process.communicate()


def test_our_server_by_stdio() -> None:
    """An episode through the bridge is one at the server, and ends with the bridge."""
    with interop.serve("gym:CartPole-v1") as server, attached(server.url) as agent:
        assert [tool["name"] for tool in agent.ask("tools/list")["result"]["tools"]] == ["act", "observe"]
        steps = 0
        while not (answer := agent.call("act", action=1))[0]:
            steps += 1
        assert answer[1] == "the episode is over"
        assert 5 < steps < 15
        assert server.active_sessions == 1
        assert agent.end() == 0
        assert _eventually(lambda: server.active_sessions == 0)


def test_an_openenv_server_without_mcp() -> None:
    """A server that has no MCP is played over its `/ws`: a wrong action is told, the episode goes on, and it ends."""
    with serving(Healthy()) as running, attached(running.url) as agent:
        act, observe = agent.ask("tools/list")["result"]["tools"]
        assert (act["name"], observe["name"]) == ("act", "observe")
        assert set(act["inputSchema"]["properties"]) == {"by", "op", "payload"}
        failed, text = agent.call("act", by=3)
        assert (failed, json.loads(text)["value"]) == (False, 3)
        assert not {"reward", "done", "metadata"} & json.loads(text).keys()
        assert agent.call("act", by=99)[0]
        assert agent.call("reset") == (True, "Unknown tool: 'reset'")
        assert json.loads(agent.call("observe")[1])["value"] == 3
        assert json.loads(agent.call("act", by=1, op="end")[1])["value"] == 4
        assert agent.call("act", by=1) == (True, "the episode is over")
        assert agent.end() == 0


def test_an_mcp_server_that_answers_with_events() -> None:
    """Events of a server are lines for the agent."""
    with serving(Streaming()) as running, attached(running.url) as agent:
        assert "add" in [tool["name"] for tool in agent.ask("tools/list")["result"]["tools"]]
        assert agent.notes


def test_lines_that_are_no_requests() -> None:
    """Each is answered as JSON-RPC says, and the session lives."""
    with serving(Healthy()) as running:
        agent = Agent(running.url)
        try:
            assert agent.ask("tools/list")["error"]["code"] == -32600
            assert agent.ask("ping")["result"] == {}
            assert agent.ask("initialize", **OPENING)["result"]["serverInfo"]["name"]
            for line, code in ((b"{", -32700), (b"[]", -32700), (b'{"id": 1, "method": "ping"}', -32600)):
                agent.write(line)
                assert agent.read()["error"]["code"] == code
            agent.write(b'{"jsonrpc":"2.0","id":9,"result":{}}')  # an answer to nothing
            agent.write(b"")
            assert agent.ask("initialize", **OPENING)["error"]["code"] == -32600
            assert agent.ask("nope")["error"]["code"] == -32601
            assert not agent.call("act", by=1)[0]
        finally:
            agent.process.kill()
            agent.process.communicate()


def test_a_call_that_waits_can_be_cancelled() -> None:
    """A call behind a slow one is not made when it is cancelled, over `/ws` and over MCP."""
    with serving(Healthy()) as running, attached(running.url) as agent:
        slow = agent.send("tools/call", {"name": "act", "arguments": {"by": 1, "op": "slow"}})
        second = agent.send("tools/call", {"name": "act", "arguments": {"by": 5}})
        agent.notify("notifications/cancelled", requestId=second)
        assert agent.read()["id"] == slow
        assert json.loads(agent.call("act", by=1)[1])["value"] == 2
    with interop.serve(source()) as server, attached(server.url) as agent:
        slow = agent.send("tools/call", {"name": "act", "arguments": {"do": "sleep", "seconds": 1.5}})
        time.sleep(0.5)
        second = agent.send("tools/call", {"name": "act", "arguments": {}})
        time.sleep(0.5)
        agent.notify("notifications/cancelled", requestId=second)
        answers = [agent.read(), agent.read()]
        refused = next(it for it in answers if it["id"] == second)
        assert refused["error"]["code"] == -32800


def test_servers_that_are_not_there() -> None:
    """No server, a token that is missing and a server that dies: each is told to the agent, who can go on asking."""
    agent = Agent("http://127.0.0.1:1")
    assert "no server answers" in agent.ask("initialize", **OPENING)["error"]["message"]
    assert agent.ask("ping")["result"] == {}
    assert agent.end() == 0
    with interop.serve("gym:CartPole-v1", token="secret") as server:
        agent = Agent(server.url)
        assert "token" in agent.ask("initialize", **OPENING)["error"]["message"]
        assert agent.end() == 0
        with attached(server.url, "--token", "secret") as agent:
            assert not agent.call("act", action=1)[0]
            server.stop()
            answer = agent.ask("tools/call", name="act", arguments={"action": 1})
            assert "no answer" in answer["error"]["message"]
            assert agent.end() == 0
    with serving(Healthy()) as running, attached(running.url) as agent:
        failed, text = agent.call("act", by=1, op="exit")
        assert failed
        assert "ended with code 3" in text
        assert "ended with code 3" in agent.call("act", by=1)[1]
        assert agent.ask("ping")["result"] == {}


def test_a_wrong_address_is_told_at_once() -> None:
    """What is no URL is no matter for the agent."""
    finished = subprocess.run(
        [*COMMAND, "mcp", "ftp://nonsense", "--stdio"], env=ENVIRONMENT, capture_output=True, stdin=subprocess.DEVNULL
    )
    assert finished.returncode == 2
    assert b"nonsense" in finished.stderr


def test_a_signal_ends_the_session() -> None:
    """SIGTERM closes the session at the server."""
    with interop.serve("gym:CartPole-v1") as server, attached(server.url) as agent:
        assert server.active_sessions == 1
        agent.process.terminate()
        assert agent.process.wait(10) == 0
        assert _eventually(lambda: server.active_sessions == 0)


def _eventually(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()
