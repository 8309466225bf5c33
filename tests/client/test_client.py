"""The clients: they pin their session, and a reply is never taken for another's."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import pickle
import re
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from websockets.frames import Frame, Opcode
from websockets.sync.server import ServerConnection, serve
from websockets.utils import accept_key

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


@pytest.mark.parametrize("binary", [True, False])
def test_pings_do_not_put_off_a_timeout(binary: bool) -> None:
    """A server that pings while its step hangs does not keep its client waiting past the timeout."""
    with scripted(lambda connection: connection.recv() and time.sleep(6), ping_interval=0.2) as url:
        session = interop.connect(url, timeout=0.6, binary=binary)
        start = time.monotonic()
        with pytest.raises(interop.SessionTimeout):
            session.step({})
        assert time.monotonic() - start < 5


def test_frames_that_come_with_the_handshake_are_read() -> None:
    """A refusal in the same segment as the handshake's answer is the first call's error, at once."""

    def refuse(listener: socket.socket) -> None:
        sock, _ = listener.accept()
        with sock:
            key = re.search(rb"Sec-WebSocket-Key: (\S+)", sock.recv(4096))
            assert key is not None
            head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            head += f"Sec-WebSocket-Accept: {accept_key(key[1].decode())}\r\n\r\n"
            text = b'{"type":"error","data":{"message":"full","code":"CAPACITY_REACHED"}}'
            frames = [Frame(Opcode.TEXT, text), Frame(Opcode.CLOSE, b"\x03\xe8")]
            sock.sendall(head.encode() + b"".join(frame.serialize(mask=False) for frame in frames))
            time.sleep(3)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=refuse, args=(listener,))
        thread.start()
        session = interop.connect(f"http://127.0.0.1:{listener.getsockname()[1]}")
        start = time.monotonic()
        with pytest.raises(interop.CapacityReached):
            session.reset()
        assert time.monotonic() - start < 2.7
        session.close()
        thread.join()


def test_a_refusal_is_read_before_the_end_is_reported() -> None:
    """A client that was refused learns the code, however late it makes its first call (CLI-8, CLI-9)."""

    async def refused(url: str) -> None:
        session = await interop.connect_async(url)
        await asyncio.sleep(0.5)
        with pytest.raises(interop.CapacityReached):
            await session.step({})
        await session.close()

    with interop.serve(source(), max_sessions=1) as server, interop.connect(server.url) as first:
        first.step({})
        session = interop.connect(server.url)
        time.sleep(0.5)
        with pytest.raises(interop.CapacityReached):
            session.step({})
        session.close()
        asyncio.run(refused(server.url))


def test_a_refusal_is_read_after_a_send_that_failed() -> None:
    """Last words that wait in a connection that was reset are read, though nothing can be sent any more (CLI-9)."""

    def refuse(listener: socket.socket) -> None:
        sock, _ = listener.accept()
        key = re.search(rb"Sec-WebSocket-Key: (\S+)", sock.recv(4096))
        assert key is not None
        head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        sock.sendall(f"{head}Sec-WebSocket-Accept: {accept_key(key[1].decode())}\r\n\r\n".encode())
        time.sleep(0.2)
        text = b'{"type":"error","data":{"message":"idle","code":"SESSION_ERROR"}}'
        sock.sendall(Frame(Opcode.TEXT, text).serialize(mask=False))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        time.sleep(0.2)
        sock.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=refuse, args=(listener,))
        thread.start()
        session = interop.connect(f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread.join()
        with pytest.raises(interop.SessionLost, match="idle"):
            session.step({})


def test_a_session_closes_while_a_reply_is_awaited(server: interop.Server) -> None:
    """Leaving between the two halves of a request ends the session and hides no other error."""
    with interop.connect(server.url) as session:
        session.send("step", {})
    assert session._connection.sock.fileno() == -1
    with pytest.raises(interop.SessionError, match="connect again"):
        session.receive()


def test_a_session_that_was_forgotten_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that keeps connections alive does not keep one whose session is gone."""
    monkeypatch.setattr(sync, "IDLE", 0.2)
    with interop.serve(source()) as server:
        session = interop.connect(server.url)
        session.step({})
        pumper = threading.Thread(target=sync._pump, daemon=True)
        pumper.start()
        time.sleep(0.5)
        del session
        gc.collect()
        deadline = time.monotonic() + 4
        while server.active_sessions and time.monotonic() < deadline:
            time.sleep(0.05)
        assert server.active_sessions == 0


def test_a_handshake_that_trickles_times_out() -> None:
    """`connect_timeout` holds for the whole handshake, not for each byte of it."""

    def trickle(listener: socket.socket) -> None:
        sock, _ = listener.accept()
        with sock, contextlib.suppress(OSError):
            for _ in range(30):
                sock.sendall(b"H")
                time.sleep(0.1)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=trickle, args=(listener,))
        thread.start()
        start = time.monotonic()
        with pytest.raises(interop.ConnectError, match="handshake"):
            interop.connect(f"http://127.0.0.1:{listener.getsockname()[1]}", connect_timeout=0.5)
        assert time.monotonic() - start < 2.8
        thread.join()


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999", "http://[::1", "http://127.0.0.1:x"])
def test_addresses_with_no_such_port_are_refused(url: str) -> None:
    """A port or host that cannot be read is a connect error too."""
    with pytest.raises(interop.ConnectError, match="server's address"):
        interop.connect(url)
    with pytest.raises(interop.ConnectError, match="server's address"):
        asyncio.run(interop.connect_async(url))


@pytest.mark.parametrize("option", ["timeout", "connect_timeout"])
def test_timeouts_that_are_none_are_refused(option: str) -> None:
    """A timeout of 0 is refused: it would mean for ever to one and never to another."""
    with pytest.raises(ValueError, match=f"{option} is 0"):
        interop.ClientOptions(**{option: 0})


# TLS


@pytest.fixture(scope="module")
def tls(server: interop.Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, ssl.SSLContext]]:
    """The address of a TLS proxy before the server, and a context that trusts it."""
    folder = tmp_path_factory.mktemp("tls")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    port = int(server.url.rpartition(":")[2])
    loop = asyncio.new_event_loop()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
            writer.close()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(copy(reader, behind_writer), copy(behind_reader, writer))

    proxy = loop.run_until_complete(asyncio.start_server(forward, "127.0.0.1", 0, ssl=context))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield (
        f"https://127.0.0.1:{proxy.sockets[0].getsockname()[1]}",
        ssl.create_default_context(cafile=str(folder / "cert.pem")),
    )
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


def test_tls_needs_trust(tls: tuple[str, ssl.SSLContext]) -> None:
    """A certificate that nobody vouches for is refused by both clients."""
    url, _ = tls
    with pytest.raises(interop.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        interop.connect(url)
    with pytest.raises(interop.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        asyncio.run(interop.connect_async(url))


def test_both_clients_speak_tls(tls: tuple[str, ssl.SSLContext]) -> None:
    """Messages small and large pass through TLS."""
    url, context = tls
    size = 3_000_000

    async def play() -> int:
        async with await interop.connect_async(url, ssl=context) as session:
            return len((await session.step({"do": "big", "size": size})).observation["value"])

    assert asyncio.run(play()) == size
    with interop.connect(url, ssl=context) as session:
        assert len(session.step({"do": "big", "size": size}).observation["value"]) == size
        assert session.state()["step_count"] == 1


def test_a_tls_client_times_out(tls: tuple[str, ssl.SSLContext]) -> None:
    """The timeout holds under TLS, where the kernel's own timeout is retried."""
    url, context = tls
    session = interop.connect(url, ssl=context, timeout=0.5)
    start = time.monotonic()
    with pytest.raises(interop.SessionTimeout):
        session.step({"do": "sleep", "seconds": 6})
    assert time.monotonic() - start < 5


def test_an_idle_tls_client_answers_pings(tls: tuple[str, ssl.SSLContext]) -> None:
    """What is read for an idle client is read under TLS too, without waiting, and nothing is lost by it."""
    url, context = tls
    with interop.connect(url, ssl=context, timeout=5) as session:
        session.send("step", {})
        deadline = time.monotonic() + 0.5
        while time.monotonic() < deadline:
            assert session._connection.pump()
            time.sleep(0.02)
        assert session.receive()["observation"]["count"] == 1
        assert session._connection.sock.gettimeout() == 5
        assert session.step({}).observation["count"] == 2
