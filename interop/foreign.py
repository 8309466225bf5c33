"""A worker in an interpreter of its own, for environments whose packages must not be in the hub's.

Its program is a script that needs nothing but the standard library and those packages. Messages are lines of JSON over
a socket pair; each request has an id, so that many sessions ask at once. The worker ends when the hub does.

    worker: {"ready": {...}} or {"failed": "..."}, once
    hub:    {"id": 1, "op": "step", ...}
    worker: {"id": 1, "result": ...}, {"id": 1, "refused": "..."} or {"id": 1, "failed": "..."}
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import weakref
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from interop.errors import EnvironmentLost, InteropError

LOG_LINES = 20
"""Last lines of a worker's log that the error of its death has."""
STOP_TIMEOUT = 5.0
"""Seconds for a worker to close its sessions."""


class WorkerFailed(InteropError):
    """What the worker was asked for failed."""


class Refused(InteropError):
    """The worker does not accept what it was asked for; nothing has changed."""


class ForeignWorker:
    """One worker. Requests may be made by any thread; they are answered as they are done.

    Args:
        python: The interpreter.
        script: The program; it gets the descriptor of its socket and `spec` as arguments.
        spec: What it shall load, as JSON.
        name: Of its lines in the log.

    Raises:
        WorkerFailed: The interpreter cannot be started.
    """

    def __init__(self, python: Path, script: Path, spec: Mapping[str, Any], *, name: str) -> None:
        self._name = name
        self._log: deque[str] = deque(maxlen=LOG_LINES)
        self._lock = threading.Lock()
        self._next = 0
        self._asked: dict[int, Future[Any]] = {}
        self._ready: Future[Any] = Future()
        self._ended: str | None = None
        ours, theirs = socket.socketpair()
        try:
            self._process = subprocess.Popen(
                [str(python), "-u", str(script), str(theirs.fileno()), json.dumps(spec)],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONSAFEPATH": "1"},
                start_new_session=True,  # Ctrl+C is the hub's to handle
            )
        except OSError as exc:
            ours.close()
            raise WorkerFailed(f"{python} cannot be started: {exc.strerror}") from exc
        finally:
            theirs.close()
        self._socket = ours
        self._finalizer = weakref.finalize(self, _end, self._process, ours)
        self._logging = threading.Thread(target=self._forward, name=f"{name}-log", daemon=True)
        self._logging.start()
        threading.Thread(target=self._read, name=f"{name}-replies", daemon=True).start()

    def ready(self, timeout: float) -> dict[str, Any]:
        """What the worker says of what it has loaded. Raises `WorkerFailed`."""
        try:
            about = self._ready.result(timeout)
        except TimeoutError:
            self.stop()
            raise WorkerFailed(f"{self._name} is not loaded in {timeout:g} s") from None
        assert isinstance(about, dict)
        return about

    def ask(self, op: str, **arguments: Any) -> Any:
        """The answer to a request; blocks until it is there. Raises `Refused`, `WorkerFailed` or `EnvironmentLost`."""
        answer: Future[Any] = Future()
        with self._lock:
            if self._ended is not None:
                raise EnvironmentLost(self._ended)
            self._next += 1
            self._asked[self._next] = answer
            line = json.dumps({"id": self._next, "op": op, **arguments}).encode() + b"\n"
            with contextlib.suppress(OSError):  # its end is told by the reader
                self._socket.sendall(line)
        return answer.result()

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self._ended is not None

    def stop(self) -> None:
        """End the worker, after it has closed its sessions."""
        self._finalizer()

    def _read(self) -> None:
        try:
            with contextlib.suppress(OSError), self._socket.makefile("rb") as lines:
                for line in lines:
                    message = json.loads(line)
                    if "id" in message:
                        with self._lock:
                            answer = self._asked.pop(message["id"])
                        _settle(answer, message)
                    elif not self._ready.done():
                        self._loaded(message)
        finally:
            self._over()

    def _loaded(self, message: Mapping[str, Any]) -> None:
        if "ready" in message:
            self._ready.set_result(message["ready"])
        else:
            self._ready.set_exception(WorkerFailed(str(message["failed"])))

    def _over(self) -> None:
        """The worker has ended: so have its sessions."""
        try:
            code: int | str = self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            code = "unknown"
        self._logging.join(1)
        log = "\n".join(self._log)
        why = f"the worker of {self._name} has ended (exit code {code})" + (f"; its last lines:\n{log}" if log else "")
        with self._lock:
            self._ended = why
            waiting = list(self._asked.values())
            self._asked.clear()
        for answer in waiting:
            answer.set_exception(EnvironmentLost(why))
        if not self._ready.done():
            self._ready.set_exception(WorkerFailed(why))

    def _forward(self) -> None:
        """Its output goes to stderr, line by line."""
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                text = line.decode(errors="replace").rstrip().rpartition("\r")[2]  # of a progress bar its last state
                self._log.append(text)
                with contextlib.suppress(OSError, ValueError):  # a worker whose output is not read would stand still
                    print(f"[{self._name}] {text}", file=sys.stderr)


def _settle(answer: Future[Any], message: Mapping[str, Any]) -> None:
    if "result" in message:
        answer.set_result(message["result"])
    elif "refused" in message:
        answer.set_exception(Refused(str(message["refused"])))
    else:
        answer.set_exception(WorkerFailed(str(message["failed"])))


def _end(process: subprocess.Popen[bytes], sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_WR)  # it reads the end, closes its sessions and leaves
    try:
        process.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    sock.close()
