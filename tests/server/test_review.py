"""Races, leaks and half-closed things: what goes wrong between the parts of a server rather than in one of them."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from json import loads
from pathlib import Path
from typing import Any

import cloudpickle
import httpx
import pytest
import websockets.exceptions
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol
from websockets.sync.client import ClientConnection, connect

import interop
from interop.environment import StepResult
from interop.protocol.codecs import JsonCodec
from interop.protocol.session import ServerSession
from interop.server import workers
from interop.server.settings import Settings
from interop.server.supervisor import Supervisor, Watched
from interop.websocket import MAX_QUEUED, Closed, Connection
from tests.environments import Misbehaving, source

STEP = '{"type":"step","data":{}}'


@pytest.fixture(params=["thread", "process"])
def isolation(request: pytest.FixtureRequest) -> str:
    """Both ways of keeping sessions apart."""
    return str(request.param)


def ws(server: interop.Server, **options: Any) -> ClientConnection:
    """A raw connection."""
    return connect("ws" + server.url.removeprefix("http") + "/ws", proxy=None, **options)


@contextmanager
def raw(server: interop.Server, **headers: str) -> Iterator[socket.socket]:
    """A bare socket after its handshake."""
    port = int(server.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        sock.sendall(
            (
                f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{fields}\r\n"
            ).encode("latin-1")
        )
        yield sock


def masked(opcode: Opcode, data: bytes = b"") -> bytes:
    """A client's frame."""
    return Frame(opcode, data).serialize(mask=True)


def eventually(condition: Any, seconds: float = 5.0) -> bool:
    """Whether a condition comes true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return bool(condition())


def session_threads() -> int:
    """Threads that serve connections in this process."""
    return sum(thread.name == "interop-session" for thread in threading.enumerate())


@contextmanager
def open_pair() -> Iterator[tuple[Connection, socket.socket]]:
    """A server's connection, as its busy owner sees it, and the client's bare socket."""
    ours, theirs = socket.socketpair()
    protocol = ServerProtocol(max_size=1 << 20)
    protocol.state = OPEN
    protocol.parser = protocol.parse()
    next(protocol.parser)
    connection = Connection(ours, protocol, send_timeout=5, max_size=1 << 20)
    try:
        yield connection, theirs
    finally:
        connection.abort()
        theirs.close()


# The session's thread and the supervisor


def test_nothing_is_received_after_the_last_words() -> None:
    """A request that crosses the error frame that ends its session is not acted on (ERR-36)."""
    with open_pair() as (connection, client):
        client.sendall(masked(Opcode.TEXT, b"late"))
        connection.fail(1000, "", b"{}")
        with pytest.raises(Closed):
            connection.receive()


def test_a_request_that_crosses_its_timeout_is_settled_once() -> None:
    """The session's thread and the supervisor agree on whether a request came in time."""
    with open_pair() as (connection, _):
        watched = Watched(connection, ServerSession(JsonCodec()), lambda: None)
        assert watched.work(False)
        seen = watched.phase
        assert watched.work(True)
        assert not watched.end(1000, "", phase=seen)
        assert connection.protocol.state is OPEN
        assert watched.end(1000, "", phase=watched.phase)
        assert not watched.work(False)


def test_a_late_ping_has_its_whole_time() -> None:
    """A client is gone when a ping stays unanswered, not when the server was too busy to send one."""
    with open_pair() as (connection, client):
        supervisor = Supervisor(Settings(ping_interval=5, ping_timeout=5))
        watched = Watched(connection, ServerSession(JsonCodec()), lambda: None)
        connection.last_read = time.monotonic() - 60
        supervisor.watch(watched)
        client.settimeout(5)
        assert client.recv(2) == b"\x89\x00"
        time.sleep(1.5)  # the supervisor looks twice a second or more
        assert connection.protocol.state is OPEN
        supervisor.stop()


def test_a_full_queue_is_not_silence() -> None:
    """A client whose requests wait unread is not taken for one that is gone."""
    with open_pair() as (connection, client):
        client.sendall(masked(Opcode.TEXT, b"{}") * (MAX_QUEUED + 10))
        assert connection.pump()
        connection.last_read = before = time.monotonic() - 60
        assert connection.pump()
        assert connection.last_read > before


def test_what_waits_is_bounded_in_bytes() -> None:
    """Large requests that wait for a step are left to the kernel, which holds their sender back."""
    with open_pair() as (connection, client):
        client.setblocking(False)
        message = masked(Opcode.BINARY, bytes(1 << 20))
        sent, total = 0, 10 * len(message)
        stream = message * 10
        deadline = time.monotonic() + 2
        while sent < total and time.monotonic() < deadline:
            try:
                sent += client.send(stream[sent : sent + (1 << 16)])
            except BlockingIOError:
                pass
            connection.pump()
        assert sent < 4 << 20


def test_the_supervisor_never_waits_for_a_client() -> None:
    """A client that pings and does not read its pongs does not hold up the one thread that watches all sessions."""
    with open_pair() as (connection, client):
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        client.setblocking(False)
        pings = masked(Opcode.PING, b"x" * 125) * 100
        start = time.monotonic()
        for _ in range(200):
            try:
                client.send(pings)
            except OSError:
                break
            if not connection.pump():
                break
        connection.ping()
        connection.fail(1000, "", b"{}")
        assert time.monotonic() - start < 10


# Ends of a connection


def test_a_closing_handshake_frees_the_place(isolation: str) -> None:
    """A session whose client has said goodbye is over, also if the client leaves its socket open (SES-13)."""
    with interop.serve(source(), isolation=isolation) as server, raw(server) as sock:
        sock.recv(4096)
        sock.sendall(masked(Opcode.TEXT, STEP.encode()))
        sock.recv(4096)
        assert server.active_sessions == 1
        sock.sendall(masked(Opcode.CLOSE, b"\x03\xe8"))
        assert eventually(lambda: server.active_sessions == 0, 10.0)


def test_an_oversized_message_frees_the_place() -> None:
    """A client whose message was refused for its size holds no place by going on sending."""
    with interop.serve(source(), max_message_size=1000) as server, raw(server) as sock:
        sock.recv(4096)
        sock.sendall(masked(Opcode.TEXT, b"x" * 1001))
        assert eventually(lambda: server.active_sessions == 0, 10.0)


def test_a_close_is_not_drawn_out_by_its_client() -> None:
    """A client that answers the server's close with pings for ever keeps no thread."""
    with interop.serve(source()) as server, raw(server) as sock:
        sock.recv(4096)
        sock.sendall(masked(Opcode.TEXT, b'{"type":"close"}'))
        ended = False
        deadline = time.monotonic() + 6
        while time.monotonic() < deadline and not ended:
            try:
                sock.sendall(masked(Opcode.PING))
            except OSError:
                ended = True
            time.sleep(0.2)
        assert ended
        assert eventually(lambda: session_threads() == 0)


class HangsInClose(Misbehaving):
    """Does not come back from its close."""

    def close(self) -> None:
        time.sleep(8)


def test_a_close_that_hangs_frees_its_place(isolation: str) -> None:
    """The step timeout holds for the close of an environment too."""
    with interop.serve(source(HangsInClose), isolation=isolation, step_timeout=0.5) as server:
        with interop.connect(server.url) as session:
            session.step({})
        assert eventually(lambda: server.active_sessions == 0, 5)


def test_a_handshake_of_a_client_that_is_gone_is_quiet(capfd: pytest.CaptureFixture[str]) -> None:
    """A client that vanishes during its handshake leaves nothing, not even a traceback."""
    with interop.serve(source()) as server:
        for _ in range(20):
            with raw(server) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        assert eventually(lambda: server.active_sessions == 0)
        assert eventually(lambda: session_threads() == 0)
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"Origin": "http://[::1"}, b"403"), ({"Authorization": "Bearer \xff"}, b"401")],
)
def test_headers_that_are_none_are_refused(headers: dict[str, str], status: bytes) -> None:
    """A header that cannot be read is refused like a wrong one."""
    with interop.serve(source(), token="s3cret" if status == b"401" else None) as server:
        with raw(server, **headers) as sock:
            assert sock.recv(4096).split()[1:2] == [status]
        if status == b"403":
            assert httpx.post(f"{server.url}/step", json={"action": {}}, headers=headers).status_code == 403


def test_a_session_that_cannot_be_started_holds_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no thread for a session, its place is free again."""
    with interop.serve(source(), max_sessions=1) as server:
        start = threading.Thread.start

        def fail(thread: threading.Thread) -> None:
            if thread.name == "interop-session":
                raise RuntimeError("can't start new thread")
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", fail)
        with pytest.raises((websockets.exceptions.InvalidMessage, OSError)):
            ws(server)
        monkeypatch.undo()
        assert eventually(lambda: server.active_sessions == 0)
        with ws(server) as connection:
            connection.send(STEP)
            assert loads(connection.recv())["type"] == "observation"


# Texts that have no UTF-8


class Surrogates(Misbehaving):
    """Raises errors whose text cannot be sent, or not even be had."""

    def step(self, action: Mapping[str, Any], /, **options: Any) -> StepResult:
        match action.get("do"):
            case "surrogate":
                raise FileNotFoundError("no file \udcff")
            case "textless":
                raise Textless
            case "invalid":
                raise interop.InvalidAction("x", [{"type": "x", "loc": ["a"], "msg": "m", "input": "\ud800"}])
        return super().step(action)


class Textless(Exception):
    """Has no text."""

    def __str__(self) -> str:
        raise ValueError("no text")


@pytest.mark.parametrize("binary", [False, True])
def test_an_error_that_cannot_be_written_leaves_the_session_open(binary: bool) -> None:
    """An error's text without UTF-8 form is written with escapes; it is no end of the session."""
    with interop.serve(source(Surrogates)) as server, interop.connect(server.url, binary=binary) as session:
        with pytest.raises(interop.ExecutionError, match="no file"):
            session.step({"do": "surrogate"})
        with pytest.raises(interop.ExecutionError, match="Textless"):
            session.step({"do": "textless"})
        with pytest.raises(interop.ValidationError, match="a: m"):
            session.step({"do": "invalid"})
        assert session.step({}).reward == 1.0


def test_a_frame_of_a_surrogate_type_is_answered() -> None:
    """A type that cannot be repeated is refused like any other unknown one."""
    with interop.serve(source()) as server, ws(server) as connection:
        connection.send('{"type":"\\ud800"}')
        assert loads(connection.recv())["data"]["code"] == "UNKNOWN_TYPE"
        connection.send(STEP)
        assert loads(connection.recv())["type"] == "observation"


# Shutdown


class Diary(Misbehaving):
    """Writes down that it was closed, slowly."""

    def step(self, action: Mapping[str, Any], /, **options: Any) -> StepResult:
        self.path = Path(action["path"])
        return super().step({})

    def close(self) -> None:
        time.sleep(0.3)
        self.path.write_text("closed")


def test_stopping_closes_the_environments(isolation: str, tmp_path: Path) -> None:
    """A server that stops closes the environments of its sessions before it is done (SES-21)."""
    with interop.serve(source(Diary), isolation=isolation) as server:
        session = interop.connect(server.url)
        session.step({"path": str(tmp_path / "diary")})
    assert (tmp_path / "diary").read_text() == "closed"


def test_hung_workers_stop_together() -> None:
    """Workers that do not end when asked to cost a server their time once, not once each (WS-26)."""
    server = interop.serve(source(), isolation="process")
    server.start()
    sessions = [interop.connect(server.url) for _ in range(3)]
    for session in sessions:
        session.send("step", {"do": "hold", "seconds": 60})
    time.sleep(0.5)
    start = time.monotonic()
    server.stop()
    assert time.monotonic() - start < 8
    for session in sessions:
        with contextlib.suppress(interop.SessionLost):
            session.receive()  # the signal that ends a worker may end its sleep too
        with pytest.raises(interop.SessionLost, match="1012"):
            session.state()


def test_a_hung_step_holds_up_a_stop_for_seconds_alone() -> None:
    """A server in threads waits for its environments once and not for ever."""
    server = interop.serve(source())
    server.start()
    session = interop.connect(server.url)
    session.send("step", {"do": "sleep", "seconds": 12})
    time.sleep(0.2)
    start = time.monotonic()
    server.stop()
    assert time.monotonic() - start < 5
    with pytest.raises(interop.SessionLost, match="1012"):
        session.receive()


def test_an_environment_that_exits_over_http_ends_its_call_alone(isolation: str) -> None:
    """sys.exit() in a stateless call is an error of that call, not the end of the server."""
    with interop.serve(source(), isolation=isolation) as server:
        assert httpx.post(f"{server.url}/step", json={"action": {"do": "exit"}}, timeout=20).status_code == 500
        assert httpx.post(f"{server.url}/step", json={"action": {}}, timeout=20).status_code == 200


SCRIPT = """
import interop, sys
from tests.environments import source
server = interop.serve(source(), isolation=sys.argv[1])
print(server.url, flush=True)
server.run()
"""


@contextmanager
def script(isolation: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A program that runs a server in its main thread, and the server's URL."""
    with subprocess.Popen([sys.executable, "-c", SCRIPT, isolation], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        eventually(lambda: _healthy(url))
        try:
            yield process, url
        finally:
            process.kill()


def _healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def test_sigterm_closes_sessions_with_1012(isolation: str) -> None:
    """A program that is told to end says so to its clients first, whatever the signal does to it then (WS-26)."""
    with script(isolation) as (process, url):
        with connect("ws" + url.removeprefix("http") + "/ws", proxy=None) as connection:
            connection.send(STEP)
            connection.recv()
            process.send_signal(signal.SIGTERM)
            with pytest.raises(websockets.exceptions.ConnectionClosed) as caught:
                connection.recv(timeout=10)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1012
        assert process.wait(5) in (0, -signal.SIGTERM)


def test_a_hung_stateless_step_does_not_keep_a_server_from_ending(isolation: str) -> None:
    """A program ends when it is told to, whatever an HTTP request waits for."""
    with script(isolation) as (process, url):
        body = {"action": {"do": "sleep", "seconds": 60}}
        asking = threading.Thread(target=_post, args=(f"{url}/step", body), daemon=True)
        asking.start()
        time.sleep(3 if isolation == "process" else 0.5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(8) in (0, -signal.SIGTERM)
        asking.join(5)


def _post(url: str, body: Any) -> None:
    try:
        httpx.post(url, json=body, timeout=30, trust_env=False)
    except httpx.HTTPError:
        pass


def test_a_hung_stateless_step_is_answered(isolation: str) -> None:
    """The step timeout holds for HTTP too."""
    with interop.serve(source(), isolation=isolation, step_timeout=0.5) as server:
        body = {"action": {"do": "sleep", "seconds": 8}}
        start = time.monotonic()
        assert httpx.post(f"{server.url}/step", json=body, timeout=20).status_code == 500
        assert time.monotonic() - start < 7


def test_a_server_that_cannot_be_built_leaves_nothing(isolation: str) -> None:
    """A port that is taken costs neither threads nor processes."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        threads = threading.active_count()
        with pytest.raises(OSError, match="Address already in use"):
            interop.serve(source(), isolation=isolation, port=taken.getsockname()[1])
        assert eventually(lambda: threading.active_count() <= threads)
        assert eventually(lambda: not _children())


def _children() -> list[int]:
    tasks = Path(f"/proc/{os.getpid()}/task")
    if not tasks.exists():
        return []  # not Linux
    found: list[int] = []
    for task in tasks.iterdir():
        with contextlib.suppress(OSError):  # the thread has ended
            found += map(int, (task / "children").read_text().split())
    return found


def test_timeouts_may_be_infinite(isolation: str) -> None:
    """An infinite timeout is none."""
    never = float("inf")
    with interop.serve(
        source(), isolation=isolation, step_timeout=never, idle_timeout=never, send_timeout=never
    ) as server:
        with interop.connect(server.url, timeout=never) as session:
            assert session.step({}).reward == 1.0
        assert httpx.post(f"{server.url}/step", json={"action": {}}).status_code == 200


# Worker processes


class Parent(Misbehaving):
    """Starts a program, and may crash then."""

    def step(self, action: Mapping[str, Any], /, **options: Any) -> StepResult:
        if action.get("do") == "fork":
            self.child = os.fork()
            if self.child == 0:
                time.sleep(60)
                os._exit(0)
            return StepResult({"pid": self.child})
        return super().step(action)


class Lister(Misbehaving):
    """Tells what descriptors it has."""

    def step(self, action: Mapping[str, Any], /, **options: Any) -> StepResult:
        names = os.listdir("/proc/self/fd")
        sockets = 0
        for name in names:
            try:
                sockets += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
            except OSError:
                pass
        inherited = [name for name in names if int(name) > 2 and _inheritable(int(name))]
        return StepResult({"sockets": sockets, "inheritable": len(inherited)})


def _inheritable(number: int) -> bool:
    try:
        return os.get_inheritable(number)
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_a_worker_has_its_own_sockets_alone() -> None:
    """A worker has its client's socket and its pipe, nothing of other sessions, and leaves programs it starts none."""
    with interop.serve(source(Lister), isolation="process") as server:
        with interop.connect(server.url) as one, interop.connect(server.url) as two:
            for session in (one, two):
                assert session.step({}).observation == {"sockets": 2, "inheritable": 0}


def test_a_crash_is_noticed_though_a_child_lives() -> None:
    """A worker's crash ends its session at once, also if a forked child has its descriptors; it goes too."""
    with interop.serve(source(Parent), isolation="process") as server:
        session = interop.connect(server.url, timeout=20)
        child = session.step({"do": "fork"}).observation["pid"]
        with pytest.raises(interop.SessionLost, match="signal SIGABRT"):
            session.step({"do": "abort"})
        assert eventually(lambda: _gone(child))
        assert eventually(lambda: server.active_sessions == 0)


def test_a_hung_step_takes_its_children_along() -> None:
    """What an environment started ends with the worker that was ended for it."""
    with interop.serve(source(Parent), isolation="process", step_timeout=0.5) as server:
        session = interop.connect(server.url)
        child = session.step({"do": "fork"}).observation["pid"]
        with pytest.raises(interop.SessionLost, match="step_timeout"):
            session.step({"do": "sleep", "seconds": 60})
        assert eventually(lambda: _gone(child))


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    except FileNotFoundError:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        return False


class SlowToLoad:
    """A source that takes a worker three seconds to load."""

    def __reduce__(self) -> tuple[Any, ...]:
        return slow_source, ()


def slow_source() -> interop.Source:
    """The source, after a while."""
    time.sleep(6)
    return source()


def test_a_client_is_served_while_its_worker_starts() -> None:
    """Pings are answered before there is a worker, what was sent meanwhile is kept, and who leaves is let go."""
    with interop.serve(source(), isolation="process") as server:
        runner = server._runner
        assert isinstance(runner, workers.ProcessRunner)
        runner._source = cloudpickle.dumps(SlowToLoad())
        runner._spares.pop().stop()
        with ws(server) as connection:
            start = time.monotonic()
            connection.send(STEP)
            assert connection.ping().wait(5)
            connection.send(iter([STEP[:9], STEP[9:]]))
            assert time.monotonic() - start < 5
            for count in (1, 2):
                assert loads(connection.recv(timeout=20))["data"]["observation"]["count"] == count
        runner._spares.pop().stop()
        with ws(server) as connection:
            start = time.monotonic()
            connection.send(STEP)
        assert connection.close_code == 1000
        assert time.monotonic() - start < 5
        assert eventually(lambda: server.active_sessions == 0)


def test_a_dead_spare_is_nobodys_trouble() -> None:
    """A worker that died while it waited for a session is replaced before a client gets it."""
    with interop.serve(source(), isolation="process") as server:
        with interop.connect(server.url) as session:
            session.step({})
        runner = server._runner
        assert isinstance(runner, workers.ProcessRunner)
        assert eventually(lambda: len(runner._spares) == 1)
        runner._spares[0].process.kill()
        time.sleep(0.2)
        with interop.connect(server.url) as session:
            assert session.step({}).reward == 1.0


def test_a_worker_that_cannot_start_leaves_nothing() -> None:
    """A source that a worker cannot load is refused, and no process is left of the attempt."""
    with interop.serve(source(), isolation="process") as server:
        runner = server._runner
        assert isinstance(runner, workers.ProcessRunner)
        runner._spares.pop().stop()
        runner._source = b"no pickle"
        session = interop.connect(server.url)
        with pytest.raises(interop.SessionLost, match="cannot be loaded"):
            session.step({})
        assert eventually(lambda: server.active_sessions == 0)
        assert not runner._live


# The id in Gymnasium's registry


def test_looking_for_gymnasium_does_not_undo_the_registration() -> None:
    """The id is registered when Gymnasium is imported, also if somebody asked before whether it is installed."""
    code = (
        "import importlib.util, interop; assert importlib.util.find_spec('gymnasium'); import gymnasium;"
        "assert 'OpenEnv-v0' in gymnasium.registry; import sys;"
        "assert not any('interop' in type(finder).__module__ for finder in sys.meta_path)"
    )
    pytest.importorskip("gymnasium")
    subprocess.run([sys.executable, "-c", code], check=True)
