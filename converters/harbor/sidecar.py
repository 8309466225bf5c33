"""Keeps one episode of an OpenEnv server, and gives the agent its MCP door and nothing else. Standard library alone.

It runs in a container, as root, from a copy beside `episode.json`:

    {"reset": {...}, "host": ..., "port": ..., "serve": [...]}

`reset` has the arguments of the episode's reset. `serve` is what starts the server here, on loopback: a command that
says `{"url": ...}` in a line when it serves. Without it the server is that at OPENENV_URL, with the bearer token
OPENENV_TOKEN.

    python3 sidecar.py serve      begins the episode and is its door at http://host:port/mcp until SIGTERM
    python3 sidecar.py start      the same in the background; returns when the door is open
    python3 sidecar.py collect    writes the episode's result and ends it; what was collected stays
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

EPISODE = Path(__file__).parent / "episode.json"
STATE = Path("/var/lib/openenv")
"""For root alone: `session.json`, which opens every door of the session and is there once the agent's is open;
`result.json`; the `log` of `start`."""
START_TIMEOUT = 600.0
"""Seconds for the server to start; some environments load much."""
CALL_TIMEOUT = 3600.0
"""Seconds for an answer of the server."""
LARGEST = 16 * 1024 * 1024
"""Bytes of a message of the agent."""
ASKED = ("Accept", "Content-Type", "Mcp-Session-Id", "MCP-Protocol-Version", "Last-Event-ID")
ANSWERED = ("Content-Type", "Mcp-Session-Id", "Allow")


class Failed(Exception):
    """There is no episode, or no result of it; the text says why."""


# The server


def main(command: str) -> None:
    """Run one command. Raises `Failed`."""
    episode = json.loads(EPISODE.read_text(encoding="utf-8"))
    STATE.mkdir(mode=0o700, parents=True, exist_ok=True)
    if command == "serve":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        with _server(episode.get("serve")) as (url, token), _session(url, token, episode["reset"]) as (session, door):
            _serve(episode["host"], episode["port"], door, session)
    elif command == "start":
        start()
    elif command == "collect":
        collect()
    else:
        raise Failed(f"{command!r} is no command; accepted are serve, start and collect")


@contextlib.contextmanager
def _server(command: list[str] | None) -> Iterator[tuple[str, str]]:
    """The address and the token of the server, which is started where there is a command for it."""
    if command is None:
        yield os.environ["OPENENV_URL"].rstrip("/"), os.environ.get("OPENENV_TOKEN", "")
        return
    token = secrets.token_urlsafe(32)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "INTEROP_TOKEN": token})
    try:
        assert process.stdout is not None
        url = next(filter(None, map(_url, process.stdout)), None)
        if url is None:
            raise Failed(f"{' '.join(command)} ended with code {process.wait()} before it served")
        # What environments print must not fill the pipe.
        threading.Thread(target=process.stdout.read, daemon=True).start()
        yield url, token
    finally:
        process.terminate()
        process.wait()


def _url(line: bytes) -> str | None:
    """The address in the line that says it."""
    with contextlib.suppress(ValueError, TypeError, KeyError):
        return str(json.loads(line)["url"])
    return None


@contextlib.contextmanager
def _session(url: str, token: str, reset: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], tuple[str, str]]]:
    """Begin the episode, and end it: what opens all of it, and the address of its MCP door with the token for that."""
    body = _ask("POST", f"{url}/sessions", token, reset)
    session: dict[str, Any] = {"address": f"{url}/sessions/{body['session_id']}", "token": token, "pid": os.getpid()}
    try:
        # The server may know itself by another name.
        yield session, (f"{url}/sessions/{body['mcp_url'].partition('/sessions/')[2]}", body["token"])
    finally:
        with contextlib.suppress(Failed):  # it was collected
            _ask("DELETE", session["address"], token)


def collect() -> None:
    """Write the episode's result and end it. A result that is there stays, so that nothing is added to it."""
    if (STATE / "result.json").exists():
        return
    session = _running()
    if session is None:
        raise Failed("no episode has begun, or its server has ended")
    result = _ask("GET", f"{session['address']}/result", session["token"])
    _write("result.json", {**result, "reward": result["rewards"][-1] if result["rewards"] else None})
    _ask("DELETE", session["address"], session["token"])


def start() -> None:
    """Serve in the background, unless it does already."""
    if _running() is not None:
        return
    log = STATE / "log"
    with open(os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600), "wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-I", __file__, "serve"],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    deadline = time.monotonic() + START_TIMEOUT
    while _running() is None:
        if process.poll() is not None or time.monotonic() > deadline:
            raise Failed(f"there is no episode:\n{log.read_text(errors='replace')[-4000:]}")
        time.sleep(0.05)


def _running() -> dict[str, Any] | None:
    """The session whose door is open; None if there is none."""
    try:
        session: dict[str, Any] = json.loads((STATE / "session.json").read_text(encoding="utf-8"))
        os.kill(session["pid"], 0)
    except (FileNotFoundError, ProcessLookupError):
        return None
    return session


def _write(name: str, document: Mapping[str, Any]) -> None:
    """Write a file that is there as a whole or not at all, for root alone."""
    new = STATE / f".{name}"
    with open(os.open(new, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump(document, file)
    os.replace(new, STATE / name)


def _ask(method: str, address: str, token: str, body: Any = None) -> Any:
    """The JSON of the server's answer; None where it has none. Raises `Failed`."""
    headers = {"Content-Type": "application/json"}
    try:
        with _answer(method, address, token, headers, json.dumps(body).encode() if body is not None else b"") as answer:
            text = answer.read()
    except (OSError, http.client.HTTPException) as exc:
        raise Failed(f"{method} {address}: no server answers: {exc}") from exc
    if answer.status >= 300:
        raise Failed(f"{method} {address} is answered {answer.status}: {text[:1000].decode(errors='replace')}")
    return json.loads(text) if text else None


@contextlib.contextmanager
def _answer(
    method: str, address: str, token: str, headers: Mapping[str, str], body: bytes
) -> Iterator[http.client.HTTPResponse]:
    parts = urlsplit(address)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=CALL_TIMEOUT)
    try:
        bearer = {"Authorization": f"Bearer {token}"} if token else {}
        connection.request(method, parts.path, body, {**headers, **bearer})
        yield connection.getresponse()
    finally:
        connection.close()


# The door


def _serve(host: str, port: int, door: tuple[str, str], session: Mapping[str, Any]) -> None:
    class Handler(_Door):
        address, token = door

    try:
        server = ThreadingHTTPServer((host, port), Handler)
    except OSError as exc:
        raise Failed(f"cannot listen on {host}, port {port}: {exc.strerror}") from exc
    with server:
        _write("session.json", session)  # says that the door is open
        server.serve_forever()


class _Door(BaseHTTPRequestHandler):
    """Passes what is asked of `/mcp` on to the session's door, and the answer back. There is no other path."""

    protocol_version = "HTTP/1.1"
    address: str
    token: str

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            self._refuse(411, "Content-Length is needed")
        elif int(length) > LARGEST:
            self._refuse(413, f"{length} bytes are too many; accepted are {LARGEST}")
        else:
            self._pass(self.rfile.read(int(length)))

    def do_GET(self) -> None:
        self._pass(b"")

    def do_DELETE(self) -> None:
        self._pass(b"")

    def _pass(self, body: bytes) -> None:
        if self.path != "/mcp":
            self._refuse(404, "There is nothing but /mcp")
            return
        headers = {name: self.headers[name] for name in ASKED if name in self.headers}
        begun = False
        try:
            with _answer(self.command, self.address, self.token, headers, body) as answer:
                self.send_response(answer.status)
                begun = True
                self._copy(answer)
        except (OSError, http.client.HTTPException) as exc:
            self.close_connection = True  # the agent is gone, or gets what is cut off as that
            if not begun:
                self._refuse(502, f"The environment does not answer: {type(exc).__name__}")

    def _copy(self, answer: http.client.HTTPResponse) -> None:
        """The headers and the body, each part of a stream as it comes."""
        for name in ANSWERED:
            if answer.headers[name] is not None:
                self.send_header(name, answer.headers[name])
        if answer.length is not None:
            self.send_header("Content-Length", str(answer.length))
            self.end_headers()
            self.wfile.write(answer.read())
            return
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while part := answer.read1(65536):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        self.wfile.write(b"0\r\n\r\n")

    def _refuse(self, status: int, why: str) -> None:
        body = json.dumps({"detail": why}).encode()
        self.close_connection = True  # a body that was not read is no request
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a log of the agent's calls is the agent's."""


if __name__ == "__main__":
    try:
        main(sys.argv[1] if len(sys.argv) == 2 else "")
    except Failed as exc:
        sys.exit(f"sidecar: {exc}")
