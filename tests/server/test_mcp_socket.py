"""`WS /mcp`: JSON-RPC in a session of its own, and what clients and environments do to it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

import interop
from interop.protocol.codecs import MSGPACK_V1
from tests.environments import Misbehaving, SlowToBuild, Unbuildable, source
from tests.server.test_mcp import attach, create, eventually, isolation, rpc  # noqa: F401 - a fixture


def ws(server: interop.Server, query: str = "", **options: Any) -> ClientConnection:
    """A connection."""
    return connect(f"ws{server.url.removeprefix('http')}/mcp{query}", proxy=None, **options)


def tell(socket: ClientConnection, method: str, id: Any = 1, **params: Any) -> None:
    """Send a request."""
    socket.send(json.dumps({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))


def ask(socket: ClientConnection, method: str, **params: Any) -> Any:
    """The response to a request."""
    tell(socket, method, **params)
    return json.loads(socket.recv(timeout=20))


def call(socket: ClientConnection, **arguments: Any) -> Any:
    """The value of a call of `act`; the error if it fails."""
    response = ask(socket, "tools/call", name="act", arguments=arguments)
    return response["result"]["data"] if "result" in response else response["error"]


def id_of(socket: ClientConnection) -> str:
    """The session's id, as it says."""
    return str(ask(socket, "openenv/session/create")["result"]["session_id"])


def last_words(socket: ClientConnection, code: int = 1000) -> list[Any]:
    """What comes until the connection is closed, with this code; at most as long as a test may take."""
    words: list[Any] = []
    with suppress(ConnectionClosed):
        words.extend(json.loads(message) for message in socket)
    assert socket.close_code == code
    return words


@pytest.fixture(scope="module")
def server() -> Iterator[interop.Server]:
    """A server that many tests share."""
    with interop.serve(source(), max_message_size=1 << 20) as server:
        yield server


# Requests


def test_each_connection_has_an_environment_of_its_own(isolation: str) -> None:  # noqa: F811
    """What one client does, another does not see, and with a connection its environment goes."""
    with interop.serve(source(), isolation=isolation) as server:
        with ws(server) as one, ws(server) as two:
            assert [tool["name"] for tool in ask(one, "tools/list")["result"]["tools"]] == ["act", "observe"]
            assert [call(it)["count"] for it in (one, two, one, one, two)] == [1, 1, 2, 3, 2]
            assert call(one, do="raise")["message"] == "on purpose"
            assert call(one) == {"count": 5}
            assert server.active_sessions == 2
        assert eventually(lambda: server.active_sessions == 0)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("{bad", -32700),
        ("", -32700),
        ("[" * 100_000, -32700),
        ('{"jsonrpc":"2.0","id":1,"method":"tools/list","params":' + '{"a":' * 50_000 + "1" + "}" * 50_001, -32700),
        ("\ufeff{}", -32700),
        (b"\x00\xff", -32700),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}', -32700),
        ("[1,2]", -32700),
        ('[{"jsonrpc":"2.0","id":1,"method":"tools/list"}]', -32700),
        ('"tools/list"', -32700),
        ("null", -32700),
        ("NaN", -32700),
        ("{}", -32600),
        ('{"type":"close"}', -32600),
        ('{"type":"reset","data":{}}', -32600),
        ('{"jsonrpc":"2.0","id":[1],"method":"tools/list"}', -32600),
        ('{"jsonrpc":"2.0","id":1,"method":"tools/list","params":[]}', -32600),
        ('{"jsonrpc":"2.0","id":1,"method":"reset"}', -32601),
        ('{"jsonrpc":"2.0","id":1,"method":"initialize"}', -32601),
        ('{"jsonrpc":"2.0","id":1,"method":"\\ud800"}', -32603),
        ('{"jsonrpc":"2.0","id":1,"method":"tools/call"}', -32602),
        ('{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"nope"}}', -32603),
    ],
)
def test_garbage_is_answered_and_the_session_lives(server: interop.Server, message: str | bytes, code: int) -> None:
    """A message that is no request gets one error, and the episode goes on where it was."""
    with ws(server) as socket:
        call(socket)
        socket.send(message)
        response = json.loads(socket.recv(timeout=20))
        assert (response["error"]["code"], response["id"]) == (code, None if code in (-32700, -32600) else 1)
        assert call(socket) == {"count": 2}


def test_messages_that_wait_are_answered_in_order(server: interop.Server) -> None:
    """Requests that are sent without waiting have one response each, in their order."""
    with ws(server) as socket:
        for id in range(20):
            tell(socket, "tools/call", id, name="act", arguments={})
        responses = [json.loads(socket.recv(timeout=20)) for _ in range(20)]
    assert [(it["id"], it["result"]["data"]["count"]) for it in responses] == [(id, id + 1) for id in range(20)]


def test_the_binary_form_is_declined(server: interop.Server) -> None:
    """JSON-RPC is text, whatever the client offers."""
    with ws(server, subprotocols=[Subprotocol(MSGPACK_V1)]) as socket:
        assert socket.subprotocol is None
        assert call(socket) == {"count": 1}


def test_a_message_too_large_ends_the_connection(server: interop.Server) -> None:
    """The limit is that of `/ws`, and so is the close code."""
    with ws(server) as socket:
        socket.send("x" * ((1 << 20) + 1))
        assert last_words(socket, 1009) == []


# Admission


def test_a_full_server_says_so(isolation: str) -> None:  # noqa: F811
    """All doors count towards one capacity; the refusal is one error, and a place is free when a client goes."""
    with interop.serve(source(), isolation=isolation, max_sessions=2) as server:
        id = create(server)
        with ws(server) as socket:
            call(socket)
            with ws(server) as second:
                (refusal,) = last_words(second)
            message = "Server at capacity: 2/2 sessions active. Cannot accept new connections."
            error = {"code": -32000, "message": message, "data": {"active_sessions": 2, "max_sessions": 2}}
            assert refusal == {"jsonrpc": "2.0", "id": None, "error": error}
            rpc(server, "openenv/session/close", session_id=id)
            with ws(server) as third:
                assert call(third) == {"count": 1}
        assert eventually(lambda: server.active_sessions == 0)


def test_an_environment_that_cannot_be_built_is_refused(isolation: str) -> None:  # noqa: F811
    """The refusal names the factory and not the reason, and the place is free again."""
    with interop.serve(source(Unbuildable), isolation=isolation) as server:
        with ws(server) as socket:
            (refusal,) = last_words(socket)
        message = "Environment factory 'Unbuildable' failed to create instance."
        error = {"code": -32000, "message": message, "data": {"factory_name": "Unbuildable"}}
        assert refusal == {"jsonrpc": "2.0", "id": None, "error": error}
        assert eventually(lambda: server.active_sessions == 0)


def test_tokens_and_origins_are_asked_for() -> None:
    """The handshake is refused as that of `/ws`; another path stays unknown."""
    with interop.serve(source(), token="secret") as server:
        right = {"Authorization": "Bearer secret"}
        refused: list[tuple[int, dict[str, Any]]] = [
            (401, {}),
            (401, {"additional_headers": {"Authorization": "Bearer wrong"}}),
            (403, {"additional_headers": right, "origin": Origin("http://evil.example")}),
        ]
        for status, options in refused:
            with pytest.raises(InvalidStatus, match=str(status)):
                ws(server, **options)
        with pytest.raises(InvalidStatus, match="403"):
            connect(f"ws{server.url.removeprefix('http')}/mcp/more", proxy=None, additional_headers=right)
        assert eventually(lambda: server.active_sessions == 0)
        with ws(server, additional_headers=right) as socket:
            assert call(socket) == {"count": 1}


# Ends


def test_a_client_that_goes_in_the_middle_of_a_call_frees_its_place(isolation: str, tmp_path: Path) -> None:  # noqa: F811
    """The step runs to its end, and then the environment is closed, once."""

    class Noted(Misbehaving):
        def close(self) -> None:
            super().close()
            (tmp_path / str(self.count)).touch()

    with interop.serve(source(Noted), isolation=isolation) as server:
        with ws(server) as other:
            with ws(server) as socket:
                call(socket)
                tell(socket, "tools/call", name="act", arguments={"do": "sleep", "seconds": 0.5})
                socket.socket.close()
            assert call(other) == {"count": 1}
            assert eventually(lambda: (tmp_path / "2").exists())
            assert eventually(lambda: server.active_sessions == 1)
        assert eventually(lambda: server.active_sessions == 0)


def test_clients_that_come_and_go_leave_nothing_behind() -> None:
    """Connections that are broken while their environments are built or in a call give all places back."""
    with interop.serve(source(), max_sessions=64) as server:
        threads = threading.active_count()
        for number in range(64):
            with ws(server) as socket:
                if number % 2:
                    tell(socket, "tools/call", name="act", arguments={"do": "sleep", "seconds": 0.05})
                socket.socket.close()
        assert eventually(lambda: server.active_sessions == 0, 20)
        assert eventually(lambda: threading.active_count() <= threads + 1, 20)  # the supervisor stays


def test_an_environment_that_ends_itself_is_told(isolation: str) -> None:  # noqa: F811
    """The call has its error, then the connection is closed; other sessions live."""
    with interop.serve(source(), isolation=isolation) as server, ws(server) as other:
        call(other)
        with ws(server) as socket:
            error = call(socket, do="exit")
            assert error["code"] == -32000
            assert "the session ended" in error["message"]
            assert last_words(socket) == []
        assert call(other) == {"count": 2}
        assert eventually(lambda: server.active_sessions == 1)


def test_a_hung_step_is_given_up(isolation: str) -> None:  # noqa: F811
    """A step that does not end is an error in time, and its place is free."""
    with interop.serve(source(), isolation=isolation, step_timeout=1.0) as server:
        with ws(server) as socket:
            tell(socket, "tools/call", name="act", arguments={"do": "sleep", "seconds": 6})
            (words,) = last_words(socket)
        assert words["error"]["code"] == -32000
        assert "in 1 s" in words["error"]["message"]
        assert eventually(lambda: server.active_sessions == 0)


def test_an_idle_session_ends(isolation: str) -> None:  # noqa: F811
    """A client that is silent too long is told why its session ends."""
    with interop.serve(source(), isolation=isolation, idle_timeout=0.5) as server:
        with ws(server) as socket:
            call(socket)
            (words,) = last_words(socket)
        assert (words["id"], words["error"]["code"]) == (None, -32000)
        assert "no request in 0.5 s (idle_timeout)" in words["error"]["message"]
        assert eventually(lambda: server.active_sessions == 0)


def test_building_takes_its_time() -> None:
    """An environment that is slow to build is no hung step; pings are answered meanwhile, and other sessions served."""
    with interop.serve(source(SlowToBuild), step_timeout=1.0, ping_interval=0.5, ping_timeout=2.0) as server:
        with ws(server) as socket:
            tell(socket, "tools/call", name="act", arguments={})
            assert socket.ping().wait(2)
            assert json.loads(socket.recv(timeout=20))["result"]["data"] == {"count": 1}
        with ws(server) as gone:
            gone.socket.close()
        assert eventually(lambda: server.active_sessions == 0)


def test_a_server_that_stops_says_goodbye(isolation: str) -> None:  # noqa: F811
    """Stopping is 1012, also while an environment is built."""
    for environment in (Misbehaving, SlowToBuild):
        with interop.serve(source(environment), isolation=isolation) as server, ws(server) as socket:
            if environment is Misbehaving:
                call(socket)
            began = time.monotonic()
            server.stop()
            assert time.monotonic() - began < 8
            assert last_words(socket, 1012) == []


# Other doors


def test_other_doors_lead_into_its_session(isolation: str) -> None:  # noqa: F811
    """By its id an orchestrator attaches and sees the agent's steps; the session ends with the agent's connection."""
    with interop.serve(source(), isolation=isolation) as server:
        with ws(server) as socket:
            id = id_of(socket)
            call(socket)
            assert "result" in rpc(server, "tools/call", session_id=id, name="act", arguments={})
            with attach(server, id) as orchestrator:
                orchestrator.send('{"type":"state"}')
                assert json.loads(orchestrator.recv(timeout=20))["data"]["step_count"] == 2
                orchestrator.send('{"type":"reset","data":{}}')
                orchestrator.recv(timeout=20)
            assert call(socket) == {"count": 1}
            assert server.active_sessions == 1
        assert eventually(lambda: server.active_sessions == 0)
        assert rpc(server, "tools/list", session_id=id)["error"]["code"] == -32602


def test_an_orchestrator_that_is_attached_keeps_the_session() -> None:
    """The agent's connection goes, and the episode is there until the orchestrator detaches."""
    with interop.serve(source()) as server:
        with ExitStack() as stack:
            with ws(server) as socket:
                orchestrator = stack.enter_context(attach(server, id_of(socket)))
                call(socket)
            orchestrator.send('{"type":"state"}')
            assert json.loads(orchestrator.recv(timeout=20))["data"]["step_count"] == 1
            assert server.active_sessions == 1
        assert eventually(lambda: server.active_sessions == 0)


def _by_close(server: interop.Server, id: str) -> None:
    assert rpc(server, "openenv/session/close", session_id=id)["result"] == {"session_id": id, "closed": True}


def _by_exit(server: interop.Server, id: str) -> None:
    assert "error" in rpc(server, "tools/call", session_id=id, name="act", arguments={"do": "exit"})


@pytest.mark.parametrize("end", [_by_close, _by_exit])
def test_a_client_is_told_when_its_session_ends_by_another_door(end: Callable[[interop.Server, str], None]) -> None:
    """A session that somebody closes, or whose environment ends in another's call, is told to who waits for nothing."""
    with interop.serve(source()) as server, ws(server) as socket:
        end(server, id_of(socket))
        (words,) = last_words(socket)
        assert (words["id"], words["error"]["code"]) == (None, -32000)
        assert "session" in words["error"]["message"]
        assert eventually(lambda: server.active_sessions == 0)


def test_closing_sessions(server: interop.Server) -> None:
    """A client cannot close its own session by a request, and can close another whose id it knows."""
    with ws(server) as socket:
        own, other = id_of(socket), create(server)
        assert ask(socket, "openenv/session/close", session_id=own)["error"]["code"] == -32600
        assert ask(socket, "openenv/session/close")["error"]["code"] == -32602
        assert ask(socket, "openenv/session/close", session_id="nope")["error"]["code"] == -32602
        assert ask(socket, "openenv/session/close", session_id=other)["result"] == {"session_id": other, "closed": True}
        assert ask(socket, "openenv/session/close", session_id=other)["error"]["code"] == -32602
        assert call(socket) == {"count": 1}
