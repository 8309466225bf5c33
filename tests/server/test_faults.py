"""What clients and environments do to a server, and what it may not do to the other sessions."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from json import loads
from typing import Any

import httpx
import pytest
import websockets.exceptions
from websockets.sync.client import ClientConnection, connect

import interop
from interop.protocol.codecs import MSGPACK_V1
from interop.server import loop
from tests.environments import Misbehaving, SlowToBuild, Unbuildable, source

STEP = '{"type":"step","data":{}}'


@pytest.fixture(params=["thread", "shared thread", "process"])
def isolation(request: pytest.FixtureRequest) -> Iterator[str]:
    """All ways of keeping sessions apart."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "shared thread":
            share(patch)
        yield str(request.param).removeprefix("shared ")


@pytest.fixture(scope="module", params=["thread", "shared thread"])
def server(request: pytest.FixtureRequest) -> Iterator[interop.Server]:
    """A server that sessions of many tests share."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "shared thread":
            share(patch)
        with interop.serve(source(), max_message_size=1 << 20) as server:
            yield server


def share(patch: pytest.MonkeyPatch) -> None:
    """Let all sessions of a server run in one thread, also one alone."""
    patch.setattr(loop, "SESSIONS", 1)
    patch.setattr(interop.Environment, "any_thread", True)


def ws(server: interop.Server, **options: Any) -> ClientConnection:
    """A raw connection."""
    return connect("ws" + server.url.removeprefix("http") + "/ws", proxy=None, **options)


def ask(connection: ClientConnection, message: str | bytes) -> Any:
    """The decoded reply to a message."""
    connection.send(message)
    return loads(connection.recv(timeout=20))


def works(server: interop.Server) -> bool:
    """Whether another session is served."""
    with interop.connect(server.url) as session:
        return bool(session.step({}).reward == 1.0)


def eventually(condition: Any, seconds: float = 5.0) -> bool:
    """Whether a condition comes true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return bool(condition())


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("{bad", "INVALID_JSON"),
        ("", "INVALID_JSON"),
        (b"\x00\xff", "INVALID_JSON"),
        (b'{"type":"state"}', "INVALID_JSON"),
        ("[" * 100_000, "INVALID_JSON"),
        ('{"type":"step","data":' + '{"a":' * 50_000 + "1" + "}" * 50_000 + "}", "INVALID_JSON"),
        ("[1,2]", "VALIDATION_ERROR"),
        ('"reset"', "VALIDATION_ERROR"),
        ("null", "VALIDATION_ERROR"),
        ("NaN", "VALIDATION_ERROR"),
        ('{"type":"step"}', "VALIDATION_ERROR"),
        ('{"type":"state","data":{}}', "VALIDATION_ERROR"),
        ('{"type":"close","data":{}}', "VALIDATION_ERROR"),
        ('{"type":"vector","data":{}}', "UNKNOWN_TYPE"),
        ("{}", "UNKNOWN_TYPE"),
        ('{"type":["reset"]}', "UNKNOWN_TYPE"),
    ],
)
def test_garbage_is_answered_and_the_session_lives(server: interop.Server, message: str | bytes, code: str) -> None:
    """A message that is no frame gets one error frame, and the episode goes on where it was."""
    with ws(server) as connection:
        ask(connection, STEP)
        reply = ask(connection, message)
        assert (reply["type"], reply["data"]["code"]) == ("error", code)
        assert ask(connection, '{"type":"state"}')["data"]["step_count"] == 1


def test_a_binary_session_refuses_text(server: interop.Server) -> None:
    """A text message on a binary session is refused in its own codec, and the session lives."""
    from interop.protocol import binary

    with ws(server, subprotocols=[MSGPACK_V1]) as connection:
        for message, code in (("{}", "VALIDATION_ERROR"), (b"\xc1", "INVALID_JSON"), (b"\x93\x01", "INVALID_JSON")):
            connection.send(message)
            assert binary.unpack(connection.recv())["data"]["code"] == code
        connection.send(binary.pack({"type": "step", "data": {}}))
        assert binary.unpack(connection.recv())["data"]["reward"] == 1.0


def test_an_oversized_message_ends_its_session_alone(server: interop.Server) -> None:
    """A message past the limit closes the connection with 1009."""
    with ws(server) as connection:
        connection.send("x" * ((1 << 20) + 1))
        with pytest.raises(websockets.exceptions.ConnectionClosed) as caught:
            connection.recv(timeout=10)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1009
    assert works(server)


def test_fragments_are_put_together(server: interop.Server) -> None:
    """A message in fragments, with a ping between them, is one message."""
    with ws(server) as connection:
        connection.send(iter(['{"type":', '"step",', '"data":{}}']))
        assert loads(connection.recv())["data"]["reward"] == 1.0


def test_a_flood_is_answered_in_order(server: interop.Server) -> None:
    """Requests sent without waiting are answered one by one, in order."""
    with ws(server) as connection:
        for _ in range(2000):
            connection.send(STEP)
        counts = [loads(connection.recv())["data"]["observation"]["count"] for _ in range(2000)]
        assert counts == list(range(1, 2001))


def test_a_client_that_does_not_read_ends_its_session_alone() -> None:
    """A reply that nobody takes is given up after the send timeout, and the place is free again."""
    with interop.serve(source(), send_timeout=1.0, max_sessions=2) as server:
        with ws(server, max_queue=1, max_size=None) as connection:
            for _ in range(40):
                connection.send('{"type":"step","data":{"do":"big","size":2000000}}')
            assert works(server)
            assert eventually(lambda: server.active_sessions == 0, 10)
            connection.socket.close()


def test_half_open_connections_are_found_by_pings() -> None:
    """A client that vanished without a word loses its place after two missed pings' time."""
    with interop.serve(source(), ping_interval=0.3, ping_timeout=0.3) as server:
        host, port = server.url.removeprefix("http://").split(":")
        raw = socket.create_connection((host, int(port)))
        raw.sendall(
            f"GET /ws HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        assert eventually(lambda: server.active_sessions == 1)
        assert eventually(lambda: server.active_sessions == 0)
        raw.settimeout(5)
        received = b""
        while chunk := raw.recv(4096):
            received += chunk
        assert received.endswith(b"\x88\x18" + struct.pack("!H", 1011) + b"keepalive ping timeout")


def test_an_abrupt_disconnect_frees_the_place(isolation: str) -> None:
    """A client that resets its connection gives its place to the next."""
    with interop.serve(source(), max_sessions=1, isolation=isolation) as server:
        session = interop.connect(server.url)
        session.step({})
        sock = session._connection.sock
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
        assert eventually(lambda: server.active_sessions == 0)
        assert works(server)


def test_capacity_is_refused_with_a_frame(isolation: str) -> None:
    """A session past the limit is refused, and says how many there are."""
    with interop.serve(source(), max_sessions=1, isolation=isolation) as server:
        with interop.connect(server.url) as first:
            first.reset()
            second = interop.connect(server.url)
            with pytest.raises(interop.CapacityReached, match=r"1/1 sessions active.*CAPACITY_REACHED"):
                second.reset()
            with pytest.raises(interop.CapacityReached):
                second.step({})
            second.close()
        assert eventually(lambda: server.active_sessions == 0)
        assert works(server)


def test_a_broken_factory_is_refused_without_its_reason(isolation: str) -> None:
    """An environment that cannot be built refuses the session; the cause stays on the server, which stays up."""
    with interop.serve(source(Unbuildable), isolation=isolation) as server:
        session = interop.connect(server.url)
        with pytest.raises(interop.FactoryError, match="'Unbuildable' failed") as caught:
            session.reset()
        assert "secret" not in str(caught.value)
        assert eventually(lambda: server.active_sessions == 0)
        assert httpx.get(f"{server.url}/health").status_code == 200


def test_a_slow_constructor_delays_nobody(isolation: str) -> None:
    """While one environment is built, health is answered at once."""
    with interop.serve(source(SlowToBuild), isolation=isolation) as server:
        session = interop.connect(server.url)
        session.send("state")
        start = time.monotonic()
        assert httpx.get(f"{server.url}/health").json() == {"status": "healthy"}
        assert time.monotonic() - start < 3.0
        assert session.receive()["step_count"] == 0
        session.close()


def test_an_error_in_step_leaves_the_session_open(isolation: str) -> None:
    """An exception of the environment is an error frame; the environment goes on."""
    with interop.serve(source(), isolation=isolation) as server, interop.connect(server.url) as session:
        with pytest.raises(interop.ExecutionError, match="on purpose"):
            session.step({"do": "raise"})
        assert session.state()["step_count"] == 1


@pytest.mark.parametrize("binary", [False, True])
def test_an_answer_that_cannot_be_sent_is_an_error(server: interop.Server, binary: bool) -> None:
    """A step whose observation has no wire form is an error that says so, never a lost step."""
    with interop.connect(server.url, binary=binary) as session:
        with pytest.raises(interop.ExecutionError, match="object"):
            session.step({"do": "unsendable"})
        assert session.state()["step_count"] == 1


def test_a_hung_step_ends_with_an_error_frame(isolation: str) -> None:
    """Past the step timeout the session ends, says why, frees its place, and hurts no other."""
    with interop.serve(source(), step_timeout=0.5, isolation=isolation, max_sessions=2) as server:
        with interop.connect(server.url) as other:
            other.step({})
            session = interop.connect(server.url)
            session.send("step", {"do": "sleep", "seconds": 30})
            start = time.monotonic()
            assert httpx.get(f"{server.url}/health").status_code == 200
            other.step({})
            with pytest.raises(interop.SessionLost, match=r"step_timeout.*SESSION_ERROR"):
                session.receive()
            assert time.monotonic() - start < 5
            assert eventually(lambda: server.active_sessions == 1)
            assert other.step({}).observation["count"] == 3
            assert works(server)


@pytest.mark.parametrize("crash", ["abort", "segfault", "exit"])
def test_a_crash_ends_its_session_alone(crash: str) -> None:
    """A crash in C code is the end of one session, which says so; the others do not notice."""
    with interop.serve(source(), isolation="process") as server, interop.connect(server.url) as other:
        other.step({})
        session = interop.connect(server.url)
        with pytest.raises(interop.SessionLost, match="SystemExit" if crash == "exit" else "signal SIG"):
            session.step({"do": crash})
        assert other.step({}).observation["count"] == 2
        assert works(server)


def test_a_step_that_holds_the_interpreter_is_ended() -> None:
    """C code that never gives the interpreter back is ended from outside its process."""
    with interop.serve(source(), isolation="process", step_timeout=0.5) as server:
        session = interop.connect(server.url)
        with pytest.raises(interop.SessionLost, match="no sign of life"):
            session.step({"do": "hold", "seconds": 60})
        assert works(server)


def test_idle_sessions_are_told(isolation: str) -> None:
    """Past the idle timeout the session ends with an error frame; nothing runs on a closed environment."""
    with interop.serve(source(), idle_timeout=0.4, isolation=isolation) as server:
        session = interop.connect(server.url)
        session.step({})
        time.sleep(1.5)
        with pytest.raises(interop.SessionLost, match="idle_timeout"):
            session.step({})
        assert eventually(lambda: server.active_sessions == 0)


def test_pings_are_answered_during_a_long_step(server: interop.Server) -> None:
    """A client that pings while its step runs gets its pong before the step ends."""
    with ws(server) as connection:
        connection.send('{"type":"step","data":{"do":"sleep","seconds":6}}')
        start = time.monotonic()
        assert connection.ping().wait(5.5)
        assert time.monotonic() - start < 5.5
        assert loads(connection.recv())["data"]["reward"] == 1.0


def test_stopping_closes_sessions_with_1012(isolation: str) -> None:
    """A server that stops tells its clients with close code 1012."""
    server = interop.serve(source(), isolation=isolation)
    server.start()
    with ws(server) as connection:
        ask(connection, STEP)
        stopper = threading.Thread(target=server.stop)
        stopper.start()
        with pytest.raises(websockets.exceptions.ConnectionClosed) as caught:
            connection.recv(timeout=10)
        stopper.join()
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1012


def test_sessions_do_not_share_environments(isolation: str) -> None:
    """Each session has an environment of its own."""
    with (
        interop.serve(source(), isolation=isolation) as server,
        interop.connect(server.url) as one,
        interop.connect(server.url) as two,
    ):
        assert [one.step({}).observation["count"] for _ in range(3)] == [1, 2, 3]
        assert two.step({}).observation["count"] == 1


def test_a_foreign_origin_is_refused(server: interop.Server) -> None:
    """A web page elsewhere cannot drive a local server; its own page and named origins can."""
    with pytest.raises(websockets.exceptions.InvalidStatus) as caught, ws(server, origin="http://example.org"):
        pass
    assert caught.value.response.status_code == 403
    assert httpx.post(f"{server.url}/step", json={"action": {}}, headers={"Origin": "http://e.org"}).status_code == 403
    with ws(server, origin=server.url) as connection:
        ask(connection, STEP)
    with interop.serve(source(), origins=("http://example.org",)) as open_server:
        with ws(open_server, origin="http://example.org") as connection:
            ask(connection, STEP)


def test_a_token_is_asked_for_everywhere_but_at_health() -> None:
    """With a token, only those who carry it are served."""
    with interop.serve(source(), token="s3cret") as server:
        assert httpx.get(f"{server.url}/health").status_code == 200
        assert httpx.get(f"{server.url}/schema").status_code == 401
        with pytest.raises(interop.ConnectError, match="HTTP 401"):
            interop.connect(server.url)
        with interop.connect(server.url, headers={"Authorization": "Bearer s3cret"}) as session:
            session.step({})


def test_the_wrong_path_is_refused(server: interop.Server) -> None:
    """A WebSocket elsewhere than at /ws is refused as the official server's stack refuses it."""
    url = "ws" + server.url.removeprefix("http") + "/ws/"
    with pytest.raises(websockets.exceptions.InvalidStatus) as caught, connect(url, proxy=None):
        pass
    assert caught.value.response.status_code == 403


@pytest.mark.parametrize("offered", [True, False])
def test_compression_is_an_option(offered: bool) -> None:
    """permessage-deflate is declined by default, and works where it is asked for."""
    with interop.serve(source(), compression=offered) as server, ws(server, compression="deflate") as connection:
        assert ("Sec-WebSocket-Extensions" in connection.response.headers) is offered
        reply = ask(connection, '{"type":"step","data":{"do":"big","size":100000}}')
        assert len(reply["data"]["observation"]["value"]) == 100_000


def test_a_killed_server_is_a_lost_session() -> None:
    """kill -9 of the server is an error of the next call, and of every call after it."""
    code = "import interop,sys,time;from tests.environments import source;s=interop.serve(source());s.start();"
    code += "print(s.url,flush=True);time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        session = interop.connect(process.stdout.readline().strip())
        session.step({})
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        for _ in range(2):
            with pytest.raises(interop.SessionLost, match="the session is lost"):
                session.step({})


def test_many_sessions_step_together() -> None:
    """Sixty-four sessions step at once and none takes another's reply."""
    with interop.serve(source(Misbehaving), max_sessions=64) as server:
        sessions = [interop.connect(server.url) for _ in range(64)]
        for turn in range(1, 4):
            for session in sessions:
                session.send("step", {})
            assert [session.receive()["observation"]["count"] for session in sessions] == [turn] * 64
        for session in sessions:
            session.close()
        assert eventually(lambda: server.active_sessions == 0)
