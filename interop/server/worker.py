"""The worker process: `python -m interop.server.worker FD`. It does one job after another; a session is its last."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import sys
import threading
from multiprocessing import reduction
from multiprocessing.connection import Connection as Pipe
from types import FrameType
from typing import Any

from interop.environment import Source
from interop.errors import EnvironmentLost, SourceError
from interop.server.connection import run_connection
from interop.server.hosted import CODEC
from interop.server.serving import Serving
from interop.server.session import Record, Session
from interop.server.settings import Settings
from interop.server.stateless import call
from interop.server.supervisor import Supervisor

HEARTBEAT = 1.0


def main() -> None:
    """Take the source, then jobs, until the server is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server's to handle
    pipe = Pipe(int(sys.argv[1]))
    os.set_inheritable(pipe.fileno(), False)  # no program that an environment starts keeps our descriptors
    try:
        path, pickled, settings = pickle.loads(pipe.recv_bytes())
        sys.path[:] = path
        source = _load(pickled)
        pipe.send(source if isinstance(source, SourceError) else "ready")
        while not isinstance(source, SourceError):
            job, *arguments = pipe.recv()
            if job == "session":
                sock = socket.socket(fileno=reduction.recv_handle(pipe))
                sock.set_inheritable(False)
                exposed = _run_session(pipe, sock, source, settings, *arguments)
                if exposed is not None:
                    _host(pipe, exposed)
                break
            if job == "host":
                hosted = Session(source, CODEC, *arguments, show_rewards=settings.show_rewards)
                hosted.record = Record()
                pipe.send(hosted.open())
                _host(pipe, hosted)
                break
            pipe.send(_describe(source) if job == "describe" else call(source, *arguments))
    except (EOFError, OSError):
        pass  # the server is gone


def _host(pipe: Pipe, session: Session) -> None:
    """Answer the requests for a session without a connection of its own, to its end."""
    while True:
        match pipe.recv():
            case "frame", payload, text:
                try:
                    pipe.send(session.handle(payload, text=text))
                except EnvironmentLost as exc:
                    pipe.send(exc)
            case ("result",):
                pipe.send(session.result())
            case ("close",):
                session.close()
                pipe.send(None)
                return


def _load(pickled: bytes) -> Source | SourceError:
    try:
        source = pickle.loads(pickled)
    except Exception as exc:
        return SourceError(f"the source cannot be loaded in a worker process: {exc}")
    assert isinstance(source, Source)
    return source


def _describe(source: Source) -> Any:
    try:
        return source.describe()
    except SourceError as exc:
        return exc


def _run_session(
    pipe: Pipe, sock: socket.socket, source: Source, settings: Settings, handshake: bytes, backlog: bytes
) -> Session | None:
    """Serve a connection; the session if the server goes on with it by `frame` jobs."""
    done = threading.Event()
    sending = threading.Lock()

    def say(word: str) -> None:
        try:
            with sending:
                pipe.send(word)
        except OSError:
            os._exit(1)  # the server is gone

    def leave() -> None:
        # The hung step is in the main thread; nothing but the end of the process ends it.
        say("done")
        os._exit(1)

    supervisor = Supervisor(settings, hung=leave)

    def terminate(_: int, __: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough
        # The session ends with its connection and closes its environment. In a thread, since the one that is
        # interrupted may hold the locks that this takes.
        threading.Thread(target=supervisor.stop, daemon=True).start()

    def beat() -> None:
        while not done.wait(HEARTBEAT):
            say("alive")

    signal.signal(signal.SIGTERM, terminate)
    heart = threading.Thread(target=beat, daemon=True)
    heart.start()
    exposed: list[Serving] = []
    run_connection(
        sock,
        handshake,
        source,
        settings,
        supervisor,
        greeted=True,
        backlog=backlog,
        release=lambda: say("closed"),
        expose=exposed.append,
    )
    done.set()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if not exposed:
        say("done")
        return None
    heart.join()  # what it says is no answer to a job
    session = exposed[0].session
    exposed[0].connection.sock.close()  # the server has it too
    say(f"exposed {session.id}")
    return session


if __name__ == "__main__":
    main()
