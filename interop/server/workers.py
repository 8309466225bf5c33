"""Environments in processes of their own: a worker serves one session and ends with it.

The worker gets the client's socket itself, so a step costs what it costs in a thread. What it does to its process, by a
crash in C code or a step that never ends, is the end of that one session.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from multiprocessing import reduction
from multiprocessing.connection import Pipe as open_pipe
from typing import Any

import cloudpickle

from interop._sockets import abort
from interop.environment import Description, Source
from interop.errors import EnvironmentLost, SourceError
from interop.protocol.codecs import codec
from interop.protocol.frames import ErrorCode, error
from interop.server.connection import greet, run_connection
from interop.server.hosted import Engine, Expose, OpenEngine
from interop.server.runner import CLOSE_TIMEOUT, SessionThreads
from interop.server.settings import Settings
from interop.server.stateless import FAILED, Reply
from interop.websocket import Closed
from interop.websocket import Connection as WebSocket

START_TIMEOUT = 120.0
"""Longest start of a worker: heavy ecosystems take ten seconds to import."""
GRACE = 3.0
"""Sign of life that may be late: a worker gives one each second, unless C code holds its interpreter."""


class WorkerDied(Exception):
    """A worker ended before it answered."""


class ClientGone(Exception):
    """A client ended its connection before there was a worker for it."""


class Worker:
    """One process; `ask` and `run_session` are its only uses."""

    def __init__(self, source: bytes, settings: Settings) -> None:
        self._ready = False
        self._stopping = threading.Lock()
        self._stopped = False
        self._pipe, theirs = open_pipe()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "interop.server.worker", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                # What the environment starts is in its group and ends with it; Ctrl+C is the server's alone.
                start_new_session=True,
            )
        with contextlib.suppress(OSError):  # one that died already is found out by `wait_ready`
            self._pipe.send_bytes(cloudpickle.dumps((list(sys.path), source, settings)))

    def wait_ready(self, connection: WebSocket | None = None) -> None:
        """Return when the worker can take a job; meanwhile the pings of the client that waits for it are answered.

        Raises `WorkerDied`, `SourceError` or `ClientGone`.
        """
        if not self._ready:
            self._receive(START_TIMEOUT, connection)
            self._ready = True

    def ask(self, job: tuple[Any, ...], timeout: float) -> Any:
        """The answer to a job that is not a session. Raises `WorkerDied`, `SourceError` or `EnvironmentLost`."""
        with contextlib.suppress(OSError):  # it died: the answer says so
            self._pipe.send(job)
        return self._receive(timeout)

    def run_session(self, connection: WebSocket, handshake: bytes, silence: float, release: Callable[[], None]) -> str:
        """Hand a connection over and wait until the worker has ended it or wants it exposed: its last word.

        That is `done`, `exposed ID`, or nothing if it gives no sign of life.

        `silence` is how long it may give none; `release` is called when its environment is closed.
        Raises `WorkerDied` if it ends before the session.
        """
        try:
            self._pipe.send(("session", handshake, bytes(connection.backlog or b"")))
            reduction.send_handle(self._pipe, connection.sock.fileno(), self.process.pid)
            while self._wait(silence):
                word = self._pipe.recv()
                if word == "closed":
                    release()
                if word == "done" or word.startswith("exposed"):
                    return str(word)
        except (EOFError, OSError):
            raise WorkerDied(f"ended with {self._ending()}") from None
        return ""

    def stop(self, *, grace: float = 0.0) -> None:
        """End the process and what it started. `grace` is how long it may take to close its environment."""
        with self._stopping:
            if self._stopped:
                return
            self._stopped = True
            if grace > 0:
                self.process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.wait(grace)
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            with contextlib.suppress(OSError):
                self._pipe.close()

    def _wait(self, timeout: float, connection: WebSocket | None = None) -> bool:
        """Whether it says something in time. Raises `EOFError` if it ends without."""
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            if self._pipe.poll(min(left, 1.0 if connection is None else 0.2)):
                return True
            if connection is not None and not connection.pump():
                raise ClientGone
            # The pipe alone does not tell: a child of the environment may hold its other end open.
            if self.process.poll() is not None and not self._pipe.poll():
                raise EOFError
        return False

    def _receive(self, timeout: float, connection: WebSocket | None = None) -> Any:
        try:
            if not self._wait(timeout, connection):
                raise WorkerDied(f"gave no answer in {timeout:g} s")
            answer = self._pipe.recv()
        except (EOFError, OSError):
            raise WorkerDied(f"ended with {self._ending()}") from None
        if isinstance(answer, SourceError | EnvironmentLost):
            raise answer
        return answer

    def _ending(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(2)
        return ending(self.process.poll())


class _WorkerSession:
    """A hosted session in a worker."""

    def __init__(self, runner: ProcessRunner, id: str, worker: Worker | None = None) -> None:
        self._runner = runner
        self._id = id
        self._worker = worker

    def open(self) -> bytes | None:
        self._worker = self._runner._take()
        self._runner._prepare_spare()
        refusal = self._worker.ask(("host", self._id), START_TIMEOUT)
        assert refusal is None or isinstance(refusal, bytes)
        return refusal

    def handle(self, payload: bytes, *, text: bool) -> bytes | None:
        assert self._worker is not None
        reply = self._worker.ask(("frame", payload, text), self._runner._settings.step_timeout)
        assert reply is None or isinstance(reply, bytes)
        return reply

    def result(self) -> dict[str, Any]:
        assert self._worker is not None
        result = self._worker.ask(("result",), self._runner._settings.step_timeout)
        assert isinstance(result, dict)
        return result

    def interrupt(self) -> None:
        """The process is ended in any case."""

    def close(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            with contextlib.suppress(WorkerDied):
                worker.ask(("close",), CLOSE_TIMEOUT)
            self._runner._end(worker)


def ending(code: int | None) -> str:
    """An exit code in words."""
    if code is None:
        return "no exit code"
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


class ProcessRunner:
    """Environments in worker processes. One spare worker is always ready, so that a client does not wait."""

    expose: Expose

    def __init__(self, source: Source, settings: Settings) -> None:
        self._settings = settings
        try:
            self._source = cloudpickle.dumps(source)
        except Exception as exc:
            raise SourceError(f"the source cannot be sent to another process ({exc}); use isolation='thread'") from exc
        self._spares: list[Worker] = []
        self._live: set[Worker] = set()
        self._lock = threading.Lock()
        self._preparing = threading.Lock()
        self._threads = SessionThreads()
        self._stopped = False

    def describe(self) -> Description:
        try:
            worker = self._take()
            description = worker.ask(("describe",), START_TIMEOUT)
        except WorkerDied as exc:
            raise SourceError(f"the environment cannot be described: its process {exc}") from exc
        assert isinstance(description, Description)
        self._give_back(worker)
        return description

    def call(self, operation: str, arguments: Mapping[str, Any]) -> Reply:
        worker = None
        try:
            worker = self._take()
            status, body = worker.ask(("call", operation, dict(arguments)), self._settings.step_timeout)
        except (WorkerDied, SourceError):
            if worker is not None:
                self._end(worker)
            return FAILED
        self._give_back(worker)
        return status, body

    def engine(self, id: str) -> Engine:
        return _WorkerSession(self, id)

    def connect(
        self, sock: socket.socket, handshake: bytes, full: tuple[int, int] | None, release: Callable[[], None]
    ) -> None:
        if full is None:
            self._threads.start(self._session, sock, handshake, release)
        else:
            self._threads.start(self._refuse, sock, handshake, full)

    def stop(self) -> None:
        deadline = time.monotonic() + CLOSE_TIMEOUT
        with self._lock:
            self._stopped = True
            workers = [*self._live, *self._spares]
            self._spares = []
        for worker in workers:
            worker.process.terminate()
        for worker in workers:
            worker.stop(grace=max(0.01, deadline - time.monotonic()))
        self._threads.join(deadline + 1)

    def _session(self, sock: socket.socket, handshake: bytes, release: Callable[[], None]) -> None:
        try:
            # The client gets its answer before there is a worker: some ecosystems take ten seconds to import.
            greeting = greet(sock, handshake, self._settings)
            if greeting is not None:
                self._serve(greeting[0], handshake, release)
        finally:
            abort(sock)
            release()

    def _serve(self, connection: WebSocket, handshake: bytes, release: Callable[[], None]) -> None:
        worker = None
        connection.backlog = bytearray()
        try:
            worker = self._take(connection)
            self._prepare_spare()
            word = worker.run_session(connection, handshake, self._settings.step_timeout + GRACE, release)
            if not word:
                worker.stop()
                self._say(connection, "the environment's process gave no sign of life and was ended")
            elif word != "done":
                id = word.removeprefix("exposed ")
                connection.backlog = None
                engine, worker = _WorkerSession(self, id, worker), None
                self.expose(id, OpenEngine(engine), connection, release)
        except ClientGone:
            connection.close(timeout=1)
        except (WorkerDied, SourceError) as exc:
            self._say(connection, f"the environment's process {exc}")
        finally:
            if worker is not None:
                self._end(worker)

    def _say(self, connection: WebSocket, why: str) -> None:
        """The last words of a session whose worker cannot say them."""
        if self._stopped:
            connection.fail(1012, "")
            return
        messages = codec(connection.protocol.subprotocol)
        words = messages.encode(error(ErrorCode.SESSION_ERROR, f"{why}; the session is lost"))
        with contextlib.suppress(Closed, OSError):
            connection.send(words, text=not messages.native)
            connection.close(timeout=1)

    def _refuse(self, sock: socket.socket, handshake: bytes, full: tuple[int, int]) -> None:
        # Nothing of the environment is needed to say that there is no place.
        run_connection(sock, handshake, None, self._settings, None, full=full)

    def _take(self, connection: WebSocket | None = None) -> Worker:
        """A worker that is ready. Raises as `wait_ready`."""
        worker = self._spare() or self._start()
        with self._lock:
            self._live.add(worker)
            stopped = self._stopped
        try:
            if stopped:
                raise WorkerDied("is not started: the server stops")
            worker.wait_ready(connection)
        except ClientGone:
            self._give_back(worker)
            raise
        except BaseException:
            self._end(worker)
            raise
        return worker

    def _spare(self) -> Worker | None:
        while True:
            with self._lock:
                if not self._spares:
                    return None
                worker = self._spares.pop()
            if worker.process.poll() is None:
                return worker
            worker.stop()  # it died while it waited

    def _start(self) -> Worker:
        try:
            return Worker(self._source, self._settings)
        except OSError as exc:
            raise WorkerDied(f"cannot be started: {exc}") from exc

    def _prepare_spare(self) -> None:
        # Not under the lock, which all sessions take: starting a process takes a while.
        if not self._preparing.acquire(blocking=False):
            return
        try:
            if not self._spares and not self._stopped:
                self._give_back(self._start())
        except WorkerDied:
            pass  # the next session tries again
        finally:
            self._preparing.release()

    def _give_back(self, worker: Worker) -> None:
        with self._lock:
            self._live.discard(worker)
            if not self._spares and not self._stopped:
                self._spares.append(worker)
                return
        worker.stop()

    def _end(self, worker: Worker) -> None:
        with self._lock:
            self._live.discard(worker)
        worker.stop(grace=CLOSE_TIMEOUT)
