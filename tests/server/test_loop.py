"""The thread that quick sessions share: none of them waits for a slow one, and none changes threads that may not."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

import interop
from interop.environment import StepResult
from interop.server import loop
from tests.environments import Misbehaving, source


class Anywhere(Misbehaving):
    """Says in which thread it is stepped."""

    any_thread = True

    def step(self, action: Mapping[str, Any], /, **options: Any) -> StepResult:
        result = super().step(action, **options)
        result.observation |= {"count": self.count, "thread": threading.get_ident()}
        return result


class AtHome(Anywhere):
    """May be called from its own thread alone."""

    any_thread = False

    def __init__(self) -> None:
        super().__init__()
        self._home = threading.get_ident()

    def step(self, action: Mapping[str, Any], /, **options: Any) -> StepResult:
        assert threading.get_ident() == self._home
        return super().step(action, **options)


@pytest.fixture
def sessions() -> Iterator[list[interop.Session]]:
    """Four sessions of one server, all of them stepped once."""
    with interop.serve(source(Anywhere)) as server:
        opened = [interop.connect(server.url) for _ in range(4)]
        step(opened * 2)
        yield opened
        for session in opened:
            session.close()


def step(sessions: list[interop.Session], **action: Any) -> list[int]:
    """Step each, and say in which threads they ran."""
    return [session.step(action).observation["thread"] for session in sessions]


def answered(session: interop.Session) -> bool:
    """Whether a reply waits to be received."""
    return bool(select.select([session._connection.sock], [], [], 0)[0])


def test_quick_sessions_share_a_thread(sessions: list[interop.Session]) -> None:
    """Several sessions run in one thread, and each has its own environment."""
    assert len(set(step(sessions))) == 1
    sessions[0].reset()
    assert [session.state()["step_count"] for session in sessions] == [0, 3, 3, 3]


def test_a_session_alone_has_a_thread_of_its_own() -> None:
    """Nothing is shared where there is one session; it is taken when another comes."""
    with interop.serve(source(Anywhere)) as server, interop.connect(server.url) as first:
        alone = step([first] * 3)
        with interop.connect(server.url) as second:
            step([first, second] * 2)
            together = step([first, second])
    assert len(set(alone)) == 1
    assert len(set(together)) == 1


def test_others_keep_their_thread() -> None:
    """An environment that does not say that any thread may call it has one thread, however many sessions there are."""
    with interop.serve(source(AtHome)) as server:
        opened = [interop.connect(server.url) for _ in range(4)]
        assert len(set(step(opened * 3))) == 4
        for session in opened:
            session.close()


def test_nobody_waits_for_a_slow_session(sessions: list[interop.Session]) -> None:
    """The others go on in another thread while one sleeps, and it gets its own reply and its own thread."""
    slow, *others = sessions
    home = step([slow])[0]
    slow.send("step", {"do": "sleep", "seconds": 1.0})
    for _ in range(20):
        threads = step(others)
    assert not answered(slow)
    assert home not in threads  # the thread was left behind
    assert slow.receive()["observation"] == {"count": 4, "thread": home}
    assert step([slow])[0] == home not in step(others)


def test_a_session_that_is_a_little_slow_leaves(sessions: list[interop.Session]) -> None:
    """Answers of a few milliseconds do not hold the others up for long: after some the session has its own thread."""
    slow, *others = sessions
    assert step([slow]) == step(others[:1])
    step([slow] * 4, do="sleep", seconds=0.003)
    assert step([slow]) != step(others[:1])


def test_a_session_that_was_slow_once_comes_back(sessions: list[interop.Session]) -> None:
    """A session shares the thread again when its answers have been quick for a while."""
    step(sessions[:1], do="sleep", seconds=0.2)
    assert step(sessions[:1]) != step(sessions[1:2])
    for _ in range(20):
        step(sessions[:1] * 40)
        if step(sessions[:1]) == step(sessions[1:2]):
            return
    pytest.fail("it did not come back")


def test_messages_that_were_read_ahead_are_answered(sessions: list[interop.Session]) -> None:
    """A client may send before it has received, and what was read with an earlier message is not forgotten."""
    slow, eager, *_ = sessions
    codec = eager._session.codec
    message = codec.encode({"type": "state"})
    with eager._connection.lock:
        eager._connection.sock.sendall(eager._connection._frame(message, 0x82) * 50)
    slow.send("step", {"do": "sleep", "seconds": 0.3})
    for _ in range(50):
        payload, text = eager._connection.receive()
        assert codec.decode(payload, text=text)["data"]["step_count"] == 2
    assert slow.receive()["observation"]["count"] == 3


def test_a_part_of_a_message_is_waited_for(sessions: list[interop.Session]) -> None:
    """A message whose rest has not come keeps nobody busy, and is answered when it has."""
    eager, *others = sessions
    codec = eager._session.codec
    frame = eager._connection._frame(codec.encode({"type": "state"}), 0x82)
    eager._connection.sock.sendall(frame + frame[:5])
    eager._connection.receive()
    looked = 0
    ready = loop.Loop._ready

    def counted(self: loop.Loop) -> list[int]:
        nonlocal looked
        looked += 1
        return ready(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.Loop, "_ready", counted)
        step(others)
        time.sleep(0.2)
        step(others)
    assert looked < 20
    eager._connection.sock.sendall(frame[5:])
    payload, text = eager._connection.receive()
    assert codec.decode(payload, text=text)["data"]["step_count"] == 2


def test_a_session_for_which_no_thread_can_be_started_ends_alone(
    sessions: list[interop.Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a session cannot leave the shared thread, it is told, and the others go on."""

    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    slow, *others = sessions
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        with pytest.raises(interop.SessionLost, match="can't start new thread"):
            step([slow] * 5, do="sleep", seconds=0.003)
    assert len(set(step(others))) == 1


def test_a_client_that_does_not_read_holds_up_nobody(sessions: list[interop.Session]) -> None:
    """A reply that finds no room in the client's socket waits in a thread of its own, and comes whole."""
    greedy, *others = sessions
    greedy._connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    payload = greedy._session.codec.encode({"type": "step", "data": {"do": "big", "size": 100_000}})
    with greedy._connection.lock:
        greedy._connection.sock.sendall(greedy._connection._frame(payload, 0x82) * 100)
    for _ in range(20):
        step(others)  # ends, though the greedy one's replies have no room until they are read below
    for number in range(100):
        payload, text = greedy._connection.receive()
        observation = greedy._session.codec.decode(payload, text=text)["data"]["observation"]
        assert (observation["count"], len(observation["value"])) == (3 + number, 100_000)
    assert len(step(sessions)) == 4


def test_an_exit_ends_its_session_alone(sessions: list[interop.Session]) -> None:
    """An environment that calls sys.exit() ends its session, not the thread it shares."""
    with pytest.raises(interop.SessionLost, match="SystemExit"):
        sessions[0].step({"do": "exit"})
    assert len(set(step(sessions[1:]))) == 1


def test_a_server_that_stops_leaves_no_thread() -> None:
    """The shared thread and its watch end with the server."""
    before = threading.active_count()
    with interop.serve(source(Anywhere)) as server:
        opened = [interop.connect(server.url) for _ in range(3)]
        step(opened * 2)
    for session in opened:
        with pytest.raises(interop.SessionLost, match="1012"):
            session.step({})
    deadline = time.monotonic() + 5
    while threading.active_count() > before + 1 and time.monotonic() < deadline:  # the clients' keepalive stays
        time.sleep(0.02)
    assert threading.active_count() <= before + 1


def test_the_watch_rests_and_wakes(sessions: list[interop.Session], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks at a thread without work, and a slow answer after a rest is found all the same."""
    monkeypatch.setattr(loop, "REST", 2)
    time.sleep(0.3)
    slow, *others = sessions
    slow.send("step", {"do": "sleep", "seconds": 1.0})
    step(others)
    assert not answered(slow)
    assert slow.receive()["observation"]["count"] == 3
