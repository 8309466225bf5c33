"""The program of the sidecar as a process on this machine, with files of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.harbor import sidecar
from converters.harbor.templates.openenv_mcp import Tools

PROGRAM = """\
import pathlib, sys
from converters.harbor import sidecar
sidecar.EPISODE, sidecar.STATE = map(pathlib.Path, sys.argv[2:])
try:
    sidecar.main(sys.argv[1])
except sidecar.Failed as exc:
    sys.exit(f"sidecar: {exc}")
"""


@dataclass
class Sidecar:
    """One of them: where it keeps what is for root alone, and its door."""

    episode: Path
    state: Path
    port: int
    env: Mapping[str, str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    def tools(self) -> Tools:
        """An agent at the door."""
        return Tools(self.url)

    def command(self, name: str) -> list[str]:
        return [sys.executable, "-c", PROGRAM, name, str(self.episode), str(self.state)]

    def run(self, name: str) -> None:
        """Run a command. Raises `sidecar.Failed`."""
        done = subprocess.run(self.command(name), env=self.env, capture_output=True, text=True, check=False)
        if done.returncode:
            raise sidecar.Failed(done.stderr)


@contextmanager
def run_sidecar(directory: Path, reset: Mapping[str, Any], *, serve: Any = None, **env: str) -> Iterator[Sidecar]:
    """Serve an episode until the end of the block. Raises `sidecar.Failed` where it does not begin."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = int(sock.getsockname()[1])
    episode = {"reset": reset, "host": "127.0.0.1", "port": port} | ({"serve": serve} if serve else {})
    (directory / "episode.json").write_text(json.dumps(episode))
    it = Sidecar(directory / "episode.json", directory / "state", port, {**os.environ, **env})
    process = subprocess.Popen(it.command("serve"), env=it.env, stderr=subprocess.PIPE, text=True)
    try:
        while not (it.state / "session.json").exists():
            if process.poll() is not None:
                assert process.stderr is not None
                raise sidecar.Failed(process.stderr.read())
            _moment(process)
        yield it
    finally:
        process.terminate()
        process.wait(30)
        assert process.stderr is not None
        process.stderr.close()


def _moment(process: subprocess.Popen[str]) -> None:
    """Wait a moment, or until it has ended."""
    try:
        process.wait(0.05)
    except subprocess.TimeoutExpired:
        pass
