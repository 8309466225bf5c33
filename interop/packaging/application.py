"""A source as an ASGI application, for whatever runs `server.app:app`, and as our own server, for images."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from interop.api import wrap
from interop.environment import Source
from interop.packaging.relay import Receive, Scope, Send, relay
from interop.server import Server, Settings

PYTHON = "INTEROP_PYTHON"
"""Names the interpreter that has the environment, where it runs in one of its own and an image has made it."""
SANDBOX = "INTEROP_SANDBOX"
"""Names the sandbox of harbor's tasks, where it is not `auto`: in an image it is the container itself."""
OWN = ("verifiers",)
"""The converters whose environments run in an interpreter of their own."""
PORT = 8000


class Application:
    """What a package serves.

    As an ASGI application it answers as our server does; WebSockets go through a relay, which costs speed. `main` runs
    our server itself. INTEROP_TOKEN is the bearer token that clients need, if it is set.

    Args:
        source: What to serve, such as `gym:CartPole-v1`.
        directory: Where a source that is a path begins.
        packages: What the environment needs, where it runs in an interpreter of its own and none is there.
    """

    def __init__(self, source: str, *, directory: Path | None = None, packages: Sequence[str] = ()) -> None:
        self._source = source
        self._directory = directory
        self._packages = tuple(packages)
        self._server: _Portless | None = None
        self._lock: asyncio.Lock | None = None

    def source(self) -> Source:
        """What is served. Raises `SourceError`."""
        name, _, target = self._source.partition(":")
        source = self._source if self._directory is None else f"{name}:{self._directory / target}"
        sandbox = os.environ.get(SANDBOX)
        if name == "harbor" and sandbox:
            return wrap(source, sandbox=sandbox)
        if name not in OWN:
            return wrap(source)
        python = os.environ.get(PYTHON)
        how: dict[str, Any] = {"python": python} if python else {"packages": self._packages} if self._packages else {}
        return wrap(source, **how)

    def main(self) -> None:
        """Serve until SIGINT or SIGTERM: the program of `python -m server.app`."""
        parser = argparse.ArgumentParser(description=f"Serve {self._source} over OpenEnv.")
        parser.add_argument("--host", default="0.0.0.0")
        parser.add_argument("--port", type=int, default=PORT)
        options = parser.parse_args()
        server = Server(self.source(), host=options.host, port=options.port, settings=_settings())
        # uvicorn raises a signal again when it has shut down, and a shutdown that was asked for is a success.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _end)
        server.run()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        server = await self._started()
        if scope["type"] == "websocket":
            await relay(server.accept, scope, receive, send)
        else:
            await server.http(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        """From the ASGI server's start to its end."""
        await receive()
        try:
            await self._started()
        except Exception as exc:
            await send({"type": "lifespan.startup.failed", "message": f"{type(exc).__name__}: {exc}"})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        server, self._server = self._server, None
        if server is not None:
            await asyncio.to_thread(server.stop)
        await send({"type": "lifespan.shutdown.complete"})

    async def _started(self) -> _Portless:
        """The server behind; an ASGI server without `lifespan` starts it with the first request."""
        self._lock = self._lock or asyncio.Lock()
        async with self._lock:
            if self._server is None:
                self._server = await asyncio.to_thread(lambda: _Portless(self.source(), settings=_settings()))
        return self._server


class _Portless(Server):
    """A server behind another one, which has the port."""

    def __init__(self, source: Source, *, settings: Settings) -> None:
        super().__init__(source, port=0, settings=settings)
        self._socket.close()
        self.http: Any = self._uvicorn.config.app

    def accept(self, sock: socket.socket, handshake: bytes) -> None:
        """Serve a WebSocket."""
        self._accept(sock, handshake)


def _settings() -> Settings:
    return Settings(token=os.environ.get("INTEROP_TOKEN") or None)


def _end(number: int, frame: object) -> None:
    raise SystemExit(0)
