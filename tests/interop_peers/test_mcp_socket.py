"""`WS /mcp` of our server and of the official 0.10.0 one, side by side with the same environment."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.interop_peers.conftest import Serve
from tests.interop_peers.replay import normal

PLACES = 8


def rpc(method: str, **params: Any) -> str:
    """A request."""
    return json.dumps({"jsonrpc": "2.0", "id": "é", "method": method, "params": params})


def call(name: str, *arguments: Any) -> str:
    """A call of a tool."""
    return rpc("tools/call", name=name, **({"arguments": arguments[0]} if arguments else {}))


MESSAGES = [
    # Calls
    call("bump"),
    call("bump", {"n": 3}),
    call("bump", None),
    call("add", {"a": 1, "b": 2}),
    call("greet", {"name": '\u2028 \ud83d\ude00 " \\ </'}),
    call("add", {"a": "x"}),
    call("fail"),
    call("nanny"),
    call("nope"),
    call("reset"),
    rpc("tools/call"),
    rpc("tools/call", name="bump", session_id="another"),
    # Sessions
    rpc("openenv/session/create"),
    rpc("openenv/session/close"),
    rpc("openenv/session/close", session_id="unknown"),
    # What is no request
    rpc("ping"),
    rpc("initialize", protocolVersion="2025-06-18"),
    '{"jsonrpc":"2.0","method":"notifications/initialized"}',
    '{"jsonrpc":"2.0","id":1.5,"method":"tools/list"}',
    '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":null}',
    '{"jsonrpc":"1.0","id":1,"method":"tools/call"}',
    '{"jsonrpc":"2.0","id":1,"method":"tools/call","more":1}',
    '{"type":"close"}',
    '{"id":NaN}',
    "{}",
    "{bad",
    "5x",
    "",
]


class Pair:
    """The official server and ours."""

    def __init__(self, *urls: str) -> None:
        self.urls = urls

    def open(self, path: str = "/mcp") -> list[ClientConnection]:
        """A WebSocket of each."""
        return [connect(f"ws://{urlsplit(url).netloc}{path}", proxy=None) for url in self.urls]


@pytest.fixture(scope="module", params=["thread", pytest.param("process", marks=pytest.mark.slow)])
def servers(request: pytest.FixtureRequest, serve_official: Serve, serve_ours: Serve) -> Iterator[Pair]:
    """Both, ours in both isolations."""
    ours = serve_ours("openenv:mcp_env:app", "--isolation", request.param)
    with serve_official("mcp_env:app") as official, ours as url:
        yield Pair(official, url)


def same(sockets: list[ClientConnection], message: str) -> str:
    """The reply to a message, which is the same on both, byte for byte."""
    for socket in sockets:
        socket.send(message)
    official, ours = (normal(str(socket.recv(20))) for socket in sockets)
    assert ours == official, message
    return ours


def test_responses_are_those_of_the_official_server(servers: Pair) -> None:
    """Each message of a long session, right or wrong, has the same response, byte for byte."""
    official, ours = servers.open()
    with official, ours:
        for message in MESSAGES:
            same([official, ours], message)
        assert '{\\"count\\":12}' in same([official, ours], call("bump", {"n": 6}))


def test_a_full_server_refuses_as_the_official_one(servers: Pair) -> None:
    """The connection beyond the capacity gets the same message and close code."""
    with ExitStack() as stack:
        for _ in range(PLACES):
            for socket in servers.open():
                stack.enter_context(socket)
                socket.send(rpc("ping"))
                socket.recv(30)
        refusals = []
        for socket in servers.open():
            with socket:
                refusal = socket.recv(20)
                with pytest.raises(ConnectionClosed) as closed:
                    socket.recv(20)
                refusals.append((refusal, closed.value.rcvd))
        assert refusals[0] == refusals[1]
        assert f"{PLACES}/{PLACES} sessions" in str(refusals[0])


def test_other_doors_lead_into_its_session(servers: Pair) -> None:
    """By the id that the session tells, `POST /mcp` and `/ws` come to the same environment, on both servers."""
    seen: list[list[Any]] = []
    for url, socket in zip(servers.urls, servers.open(), strict=True):
        with socket:
            socket.send(rpc("openenv/session/create"))
            id = json.loads(socket.recv(20))["result"]["session_id"]
            counts = []
            socket.send(call("bump"))
            counts.append(json.loads(socket.recv(20))["result"]["data"])
            posted = json.loads(call("bump"))
            posted["params"]["session_id"] = id
            counts.append(httpx.post(f"{url}/mcp", json=posted).json()["result"]["data"])
            with connect(f"ws://{urlsplit(url).netloc}/ws?session_id={id}", proxy=None) as attached:
                attached.send(json.dumps({"type": "mcp", "data": json.loads(call("bump"))}))
                counts.append(json.loads(attached.recv(20))["data"]["result"]["data"])
                attached.send('{"type":"reset","data":{"episode_id":"mine"}}')
                attached.recv(20)
            socket.send(call("bump"))
            counts.append(json.loads(socket.recv(20))["result"]["data"])
            seen.append(counts)
        while "result" in (gone := httpx.post(f"{url}/mcp", json=posted).json()):  # until the socket's end is seen
            time.sleep(0.02)
        assert gone["error"]["code"] == -32602
    assert seen[0] == seen[1] == [{"count": 1}, {"count": 2}, {"count": 3}, {"count": 1}]
