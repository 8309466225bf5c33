"""The clients: they pin their session, and a reply is never taken for another's."""

from __future__ import annotations

import asyncio
import pickle
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from websockets.sync.server import ServerConnection, serve

import interop
from interop.client import sync
from interop.protocol.codecs import MSGPACK_V1
from tests.environments import source


@pytest.fixture(scope="module")
def server() -> Iterator[interop.Server]:
    """A healthy server."""
    with interop.serve(source()) as server:
        yield server


@contextmanager
def scripted(handler: Callable[[ServerConnection], None], **options: Any) -> Iterator[str]:
    """A server that does what a function does with each connection."""
    with serve(handler, "127.0.0.1", 0, **options) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{running.socket.getsockname()[1]}"
        finally:
            running.shutdown()
            thread.join()


def reply(number: int) -> str:
    """An observation frame."""
    return f'{{"type":"observation","data":{{"observation":{{"n":{number}}},"reward":0.5,"done":false}}}}'


@pytest.mark.parametrize("binary", [True, False])
def test_both_clients_say_the_same(server: interop.Server, binary: bool) -> None:
    """The sync and the async client return the same values in both codecs."""

    async def play() -> list[Any]:
        async with await interop.connect_async(server.url, binary=binary) as session:
            assert session.codec == (MSGPACK_V1 if binary else "json")
            results = [await session.reset(seed=3, level=[1, 2.5]), await session.step({})]
            return [*results, await session.state()]

    with interop.connect(server.url, binary=binary) as session:
        assert session.codec == (MSGPACK_V1 if binary else "json")
        results = [session.reset(seed=3, level=[1, 2.5]), session.step({}), session.state()]
    assert asyncio.run(play()) == results
    assert results[0].observation == {"count": 0, "seed": 3, "options": {"level": [1, 2.5]}}
    assert results[2] == {"episode_id": None, "step_count": 1}


def test_a_late_reply_is_never_taken_for_another() -> None:
    """After a timeout the connection is dropped, and every later call says what was lost."""

    def late(connection: ServerConnection) -> None:
        for number, _ in enumerate(connection):
            time.sleep(0.5 if number == 0 else 0)
            connection.send(reply(number))

    with scripted(late) as url:
        session = interop.connect(url, timeout=0.1)
        for _ in range(2):
            with pytest.raises(interop.SessionTimeout, match=r"no reply in 0\.1 s") as caught:
                session.step({})
            assert isinstance(caught.value, TimeoutError)
        session.close()


def test_the_async_client_drops_a_session_that_timed_out_or_was_cancelled() -> None:
    """A timeout and a cancelled call both end the session."""

    def slow(connection: ServerConnection) -> None:
        for number, _ in enumerate(connection):
            time.sleep(0.4)
            connection.send(reply(number))

    async def play(url: str) -> None:
        session = await interop.connect_async(url, timeout=0.1)
        for _ in range(2):
            with pytest.raises(interop.SessionTimeout):
                await session.step({})
        session = await interop.connect_async(url)
        task = asyncio.create_task(session.step({}))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(interop.SessionLost, match="cancelled"):
            await session.step({})
        await session.close()

    with scripted(slow) as url:
        asyncio.run(play(url))


def test_calls_of_one_async_session_take_turns() -> None:
    """Concurrent calls each get their own reply."""

    async def play(url: str) -> list[int]:
        async with await interop.connect_async(url) as session:
            results = await asyncio.gather(*(session.step({}) for _ in range(20)))
            return [result.observation["count"] for result in results]

    with interop.serve(source()) as server:
        assert asyncio.run(play(server.url)) == list(range(1, 21))


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("{bad", "not readable"),
        (b"\x00", "not readable"),
        ("[1]", "no data object"),
        ('{"type":"observation"}', "no data object"),
        ('{"type":"state","data":{}}', "has type 'state'"),
        ('{"data":{}}', "has type None"),
    ],
)
def test_a_reply_that_is_none_ends_the_session(answer: str | bytes, text: str) -> None:
    """A message that is no reply to the request ends the session: what comes next would be off by one."""
    with scripted(lambda connection: [connection.send(answer) for _ in connection] and None) as url:
        session = interop.connect(url)
        with pytest.raises(interop.SessionLost, match=text):
            session.step({})
        with pytest.raises(interop.SessionLost, match=text):
            session.step({})
        session.close()


def test_error_frames_are_exceptions_that_name_the_place(server: interop.Server) -> None:
    """A recoverable error carries its code and list, and the session goes on."""

    def refuse(connection: ServerConnection) -> None:
        connection.recv()
        connection.send(
            '{"type":"error","data":{"message":"Invalid message","code":"VALIDATION_ERROR","errors":'
            '[{"type":"missing","loc":["op"],"msg":"Field required","input":{}}]}}'
        )
        connection.recv()
        connection.send('{"type":"error","data":{"message":"Unknown message type: x","code":"UNKNOWN_TYPE"}}')
        connection.recv()
        connection.send(reply(7))

    with scripted(refuse) as url, interop.connect(url) as session:
        with pytest.raises(interop.ValidationError, match="op: Field required") as caught:
            session.step({})
        assert caught.value.errors[0]["type"] == "missing"
        with pytest.raises(interop.ServerError, match="UNKNOWN_TYPE") as other:
            session.step({})
        assert type(other.value) is interop.ServerError
        assert session.step({}).observation == {"n": 7}


def test_a_call_out_of_turn_is_refused(server: interop.Server) -> None:
    """A second request before the first reply is an error of the caller, and harms nothing."""
    with interop.connect(server.url) as session:
        session.send("step", {})
        with pytest.raises(interop.ProtocolError, match="while the reply to step is awaited"):
            session.send("state")
        assert session.receive()["observation"]["count"] == 1


def test_a_closed_session_says_so(server: interop.Server) -> None:
    """Closing twice is fine; using a closed session is not."""
    session = interop.connect(server.url)
    session.close()
    session.close()
    with pytest.raises(interop.SessionError, match="connect again"):
        session.step({})


def test_an_idle_client_answers_pings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A blocking client whose user thinks for long stays connected to a server that pings."""
    monkeypatch.setattr(sync, "IDLE", 0.2)

    def count(connection: ServerConnection) -> None:
        for number, _ in enumerate(connection):
            connection.send(reply(number))

    with scripted(count, ping_interval=0.3, ping_timeout=0.5) as url:
        # A thread that sleeps for the old interval may be running: give it the time of one nap.
        with interop.connect(url) as first:
            first.step({})
        with interop.connect(url) as session:
            session.step({})
            sync._connections.add(session._connection)
            deadline = time.monotonic() + 3
            while time.monotonic() < deadline:
                session._connection.pump()
                time.sleep(0.1)
            assert session.step({}).observation == {"n": 1}


def test_many_clients_share_one_thread(server: interop.Server) -> None:
    """A session costs no thread of its own."""
    with interop.connect(server.url):
        before = {thread.name for thread in threading.enumerate() if "session" not in thread.name}
        sessions = [interop.connect(server.url) for _ in range(20)]
        after = {thread.name for thread in threading.enumerate() if "session" not in thread.name}
        assert after == before
        for session in sessions:
            session.close()


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "http://", "http://127.0.0.1:1/?x=1"])
def test_addresses_that_are_none_are_refused(url: str) -> None:
    """An address that cannot be one is refused with what is accepted."""
    with pytest.raises(interop.ConnectError, match="server's address"):
        interop.connect(url)


def test_nobody_there_is_a_connect_error() -> None:
    """A port nobody listens on, and one where nobody answers, are connect errors."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(interop.ConnectError, match="handshake"):
            interop.connect(f"http://127.0.0.1:{port}", connect_timeout=0.2)
    with pytest.raises(interop.ConnectError, match="no server answers"):
        interop.connect(f"http://127.0.0.1:{port}")
    with pytest.raises(interop.ConnectError):
        asyncio.run(interop.connect_async(f"http://127.0.0.1:{port}"))


def test_errors_survive_pickling() -> None:
    """Errors cross process borders, as worker pools send them."""
    for error in (
        interop.SessionLost("gone"),
        interop.ValidationError("x", code="C", data={"errors": [1]}),
        interop.InvalidAction("x", [{"msg": "y"}]),
        interop.CannotCarry("/a", 1j, "why", "way out"),
    ):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again)) == (type(error), str(error))
        assert getattr(again, "errors", None) == getattr(error, "errors", None)


def test_closing_with_a_reply_under_way_closes(server: interop.Server) -> None:
    """A session can be closed while a reply is awaited, as an interrupt leaves it."""
    session = interop.connect(server.url)
    session.send("step", {})
    session.close()
    assert session._connection.sock.fileno() < 0
