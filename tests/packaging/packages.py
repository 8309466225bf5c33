"""Packages that tests write, and their servers as processes of their own."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx

START = 60.0


def official(port: int) -> list[str]:
    """How the official tools start a package."""
    return ["-m", "uvicorn", "server.app:app", "--host", "127.0.0.1", "--port", str(port)]


def image(port: int) -> list[str]:
    """How its image starts it."""
    return ["-m", "server.app", "--host", "127.0.0.1", "--port", str(port)]


@contextlib.contextmanager
def started(
    directory: Path, command: Sequence[str], port: int, python: Path | str = sys.executable, **env: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A package's server, in its directory, which answers."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [str(python), *command], cwd=directory, env={**os.environ, **env}, stdout=log, stderr=log
        )
        try:
            _wait(process, port, log)
            yield process
        finally:
            process.terminate()
            process.wait(30)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def _wait(process: subprocess.Popen[bytes], port: int, log: object) -> None:
    deadline = time.monotonic() + START
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200:
                return
        time.sleep(0.05)
    log.seek(0)  # type: ignore[attr-defined]
    raise AssertionError(log.read().decode(errors="replace"))  # type: ignore[attr-defined]
