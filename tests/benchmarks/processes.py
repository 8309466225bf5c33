"""Servers and load generators as processes of their own: started, waited for with a limit, ended by their id."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).parents[2]
PEER = ROOT / ".venv/peers/openenv-0.10.0/bin/python"
START_TIMEOUT = 60.0
MAX_SESSIONS = 320
SLACK = 30.0
"""Seconds that a window may take beyond its own length."""

# Processes find their bytecode compiled, as an installed package's is, whatever PYTHONDONTWRITEBYTECODE says here.
_BYTECODE = tempfile.TemporaryDirectory(prefix="interop-benchmarks-")
ENVIRON = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
ENVIRON["PYTHONPYCACHEPREFIX"] = _BYTECODE.name


class BenchmarkError(Exception):
    """A process did not do its part; the text ends with what it wrote to stderr."""


class ServerEnded(Exception):
    """A server accepts no connections."""


@dataclass(frozen=True, slots=True)
class Running:
    """A server that runs."""

    process: subprocess.Popen[bytes]
    url: str
    started: float
    """When it was started, on the clock of `time.perf_counter`."""


def official(name: str) -> list[str]:
    """The command of an official server; the port is its last argument."""
    return [str(PEER), str(ROOT / "tests/interop_peers/official_servers.py"), name]


def ours(source: str, *options: str) -> list[str]:
    """The command of our server, as users start it; the port is its last argument."""
    return [sys.executable, "-m", "interop", "serve", source, "--max-sessions", str(MAX_SESSIONS), *options, "--port"]


@contextmanager
def server(command: Sequence[str], *, ready: bool = True) -> Iterator[Running]:
    """Run a server on a free port of the loopback interface; `ready` waits until it accepts connections."""
    port = _free_port()
    placed = [*command, str(port)]
    with tempfile.TemporaryFile() as log:
        started = time.perf_counter()
        process = subprocess.Popen(
            placed, cwd=ROOT, env=ENVIRON, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log
        )
        running = Running(process, f"http://127.0.0.1:{port}", started)
        try:
            if ready:
                wait_for(running)
            yield running
        except ServerEnded as exc:
            raise BenchmarkError(f"{' '.join(placed)}: {exc}\n{_text(log)}") from exc
        finally:
            _end(process)


def wait_for(running: Running) -> None:
    """Return when the server accepts connections."""
    host, port = running.url.removeprefix("http://").split(":")
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        if running.process.poll() is not None:
            raise ServerEnded(f"it ended with code {running.process.returncode}")
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
            return
        except OSError:
            time.sleep(0.005)
    raise ServerEnded(f"it accepts no connection after {START_TIMEOUT:g} s")


class Generator:
    """A load generator; a context manager. A window is `prepare`, `begin`, `finish`."""

    def __init__(self, name: str) -> None:
        python = PEER if name == "official" else Path(sys.executable)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self._process = subprocess.Popen(
            [str(python), "-m", f"tests.benchmarks.load_{name}"],
            cwd=ROOT,
            env=ENVIRON,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            bufsize=0,
        )
        self.name = name
        self.pid = self._process.pid

    def prepare(self, request: Mapping[str, Any]) -> None:
        """Let it connect."""
        self._write(json.dumps(request))

    def begin(self) -> None:
        """The window begins."""
        self._write("")

    def answer(self, seconds: float) -> dict[str, float]:
        """What it says next, within `seconds` and some slack: nothing when it is connected, then the figures."""
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], seconds + SLACK)
        try:
            answer: Any = json.loads(self._process.stdout.readline()) if ready else None
        except ValueError:
            answer = None
        if answer is None:
            raise BenchmarkError(f"the load generator {self.name} gave no result\n{_text(self._log)}")
        return {str(name): float(figure) for name, figure in answer.items()}

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode() + b"\n")
        except OSError as exc:
            raise BenchmarkError(f"the load generator {self.name} has ended\n{_text(self._log)}") from exc

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()  # it ends when there are no more requests
        _end(self._process)
        self._log.close()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _text(log: Any) -> str:
    log.seek(0)
    return str(log.read().decode(errors="replace")[-4000:])
