"""An MCP server on stdin and stdout, in front of an OpenEnv server: for agents that speak stdio alone.

A server that speaks MCP Streamable HTTP gets the messages of the agent as they are. Any other OpenEnv server is played
over its `/ws`: the session of the agent is an episode there, with the tools of `interop.server.tools`.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import httpx
from pydantic_core import to_json

from interop.client import ClientOptions, Session
from interop.client._common import http_url
from interop.environment import Description, StepResult
from interop.errors import InteropError
from interop.protocol import jsonrpc, mcp
from interop.protocol.jsonrpc import JsonRpcRequest, failure, success
from interop.server.tools import ToolError, carried, shown, tools_of

CALL_TIMEOUT = 600.0
"""Seconds for an answer, the default `step_timeout` of a server."""
AT_ONCE = 16
"""Calls that wait for a server at a time."""
HEADERS = {"Accept": "application/json, text/event-stream"}


class Unreachable(Exception):
    """There is no server, or it does not let anybody in."""


class Door(Protocol):
    """A way into a server."""

    at_once: int
    """How many calls it takes at a time."""
    opening: dict[str, Any]
    """The response to `initialize`."""

    def ask(self, message: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """What a request is answered with: its response, and notes before it."""

    def notify(self, message: dict[str, Any]) -> None:
        """Pass a notification on."""

    def close(self) -> None:
        """End the session."""


class Bridge:
    """Answers the lines of one agent, each a JSON-RPC message, until they end.

    Args:
        url: The OpenEnv server.
        token: Its bearer token, if it asks for one.
        write: Takes the lines for the agent; called by one thread at a time.
    """

    def __init__(self, url: str, token: str | None, write: Callable[[bytes], None]) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._write = write
        self._writing = threading.Lock()
        self._door: Door | None = None
        self._calls: dict[Any, Future[None]] = {}
        self._pool: ThreadPoolExecutor

    def run(self, lines: Iterable[bytes]) -> None:
        """Answer all lines, then end the session."""
        try:
            for line in lines:
                if line.strip():
                    self._take(line)
        finally:
            if self._door is not None:
                self._pool.shutdown()
                self._door.close()

    def _take(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            self._say(failure(None, jsonrpc.PARSE_ERROR, "Parse error"))
            return
        if isinstance(message, dict) and "method" in message and "id" not in message:
            self._notified(message)
            return
        if isinstance(message, dict) and "method" not in message and ("result" in message or "error" in message):
            return  # nothing was asked
        request = jsonrpc.read(message)
        if isinstance(request, dict):
            self._say(request)
        elif request.method == "ping":
            self._say(success(request.id, {}))
        elif request.method == "initialize":
            self._initialize(request, message)
        elif self._door is None:
            self._say(failure(request.id, jsonrpc.INVALID_REQUEST, "Not initialized; begin with initialize"))
        else:
            self._calls = {id: call for id, call in self._calls.items() if not call.done()}
            self._calls[request.id] = self._pool.submit(self._answer, self._door, message)

    def _initialize(self, request: JsonRpcRequest, message: dict[str, Any]) -> None:
        if self._door is not None:
            self._say(failure(request.id, jsonrpc.INVALID_REQUEST, "Already initialized"))
            return
        try:
            self._door = _http_door(self._url, self._headers, message) or _SessionDoor(
                self._url, self._headers, request
            )
        except (Unreachable, InteropError) as exc:
            self._say(failure(request.id, jsonrpc.SERVER_ERROR, str(exc)))
            return
        self._pool = ThreadPoolExecutor(self._door.at_once)
        self._say(self._door.opening)

    def _notified(self, message: dict[str, Any]) -> None:
        params = message.get("params")
        if message["method"] == "notifications/cancelled" and isinstance(params, dict):
            id = params.get("requestId")
            call = self._calls.get(id) if isinstance(id, str | int) else None
            if call is not None and call.cancel():
                return
        if self._door is not None:
            self._door.notify(message)

    def _answer(self, door: Door, message: dict[str, Any]) -> None:
        for answer in door.ask(message):
            self._say(answer)

    def _say(self, message: dict[str, Any]) -> None:
        with self._writing:
            self._write(to_json(message, inf_nan_mode="null") + b"\n")


# A server that speaks MCP


def messages(response: httpx.Response) -> Iterator[Any]:
    """The JSON of a response that is being read: its body, or the data of each event of a stream as it comes."""
    if not response.headers.get("Content-Type", "").startswith("text/event-stream"):
        texts: Iterable[str] = [response.read().decode(errors="replace")]
    else:
        texts = _events(response.iter_lines())
    for text in texts:
        with contextlib.suppress(ValueError):
            yield json.loads(text)


def _events(lines: Iterable[str]) -> Iterator[str]:
    data: list[str] = []
    for line in lines:
        if line.startswith("data:"):
            data.append(line[5:])
        elif not line and data:
            yield "\n".join(data)
            data = []
    if data:
        yield "\n".join(data)


def _http_door(url: str, headers: Mapping[str, str], opening: dict[str, Any]) -> Door | None:
    """The door of a server that speaks MCP; None where it does not. Raises `Unreachable`."""
    address = f"{http_url(url)}/mcp"
    http = httpx.Client(headers={**HEADERS, **headers}, timeout=CALL_TIMEOUT, trust_env=False)
    try:
        with http.stream("POST", address, json=opening) as response:
            if response.status_code in (401, 403):
                raise Unreachable(f"{address} does not let this client in ({response.status_code}): give it a token")
            answers = [it for it in messages(response) if isinstance(it, dict)]
    except httpx.HTTPError as exc:
        http.close()
        raise Unreachable(f"no server answers at {address}: {exc}") from exc
    except Unreachable:
        http.close()
        raise
    opened = next((it for it in answers if isinstance(it.get("result"), dict)), None)
    if opened is not None:
        return _HttpDoor(http, address, response.headers.get("Mcp-Session-Id"), opened)
    http.close()
    if response.status_code == 503:  # it speaks MCP, but has no place
        raise Unreachable(f"{address} has no session to give: {_why(answers, response)}")
    return None


def _why(answers: Iterable[dict[str, Any]], response: httpx.Response) -> str:
    errors = [
        it["error"]["message"] for it in answers if isinstance(it.get("error"), dict) and "message" in it["error"]
    ]
    return str(errors[-1]) if errors else f"HTTP {response.status_code}"


class _HttpDoor:
    at_once = AT_ONCE

    def __init__(self, http: httpx.Client, address: str, session: str | None, opening: dict[str, Any]) -> None:
        self._http = http
        self._address = address
        self.opening = opening
        if session is not None:
            http.headers["Mcp-Session-Id"] = session
        http.headers["MCP-Protocol-Version"] = str(opening["result"].get("protocolVersion", mcp.REVISIONS[-1]))

    def ask(self, message: dict[str, Any]) -> Iterator[dict[str, Any]]:
        id, answers, why = message["id"], [], ""
        try:
            with self._http.stream("POST", self._address, json=message) as response:
                for answer in messages(response):
                    if isinstance(answer, dict) and ("method" in answer or answer.get("id") == id):
                        yield answer
                        if "method" not in answer:
                            return
                    elif isinstance(answer, dict):
                        answers.append(answer)
                why = _why(answers, response)
        except httpx.HTTPError as exc:
            why = f"no answer of {self._address}: {exc or type(exc).__name__}"
        yield failure(id, jsonrpc.INTERNAL_ERROR, why)

    def notify(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(httpx.HTTPError):
            self._http.post(self._address, json=message)

    def close(self) -> None:
        with contextlib.suppress(httpx.HTTPError):
            self._http.delete(self._address, timeout=5)
        self._http.close()


# Any other OpenEnv server


class _SessionDoor:
    at_once = 1

    def __init__(self, url: str, headers: Mapping[str, str], request: JsonRpcRequest) -> None:
        base = http_url(url)
        about, schemas = _document(base, "metadata", headers), _document(base, "schema", headers)
        name = str(about.get("name") or "OpenEnv environment")
        description = Description(
            name=name,
            description=str(about.get("description") or name),
            version=str(about.get("version") or "1.0.0"),
            action=schemas.get("action") or {},
            observation={},
            state={},
        )
        self._session = Session(base, ClientOptions(binary=False, headers=dict(headers), timeout=CALL_TIMEOUT))
        try:
            self._last = self._session.reset()
        except BaseException:
            self._session.close()
            raise
        self._tools = tools_of(description, self._act, self._look, lambda: shown(self._last.observation))
        self.opening = mcp.opened(request, name=name, version=description.version, instructions=description.description)

    def _act(self, action: Mapping[str, Any]) -> Mapping[str, Any]:
        if self._last.done:
            raise ToolError("the episode is over")
        self._last = self._session.step(action)
        return shown(self._last.observation)

    def _look(self, action: Mapping[str, Any]) -> Mapping[str, Any]:
        result: StepResult = self._session.step(action)
        return shown(result.observation)

    def list(self) -> list[dict[str, Any]]:
        return self._tools.list()

    def call(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        return carried(self._tools.call(name, arguments))

    def ask(self, message: dict[str, Any]) -> Iterator[dict[str, Any]]:
        request = jsonrpc.read(message)
        assert not isinstance(request, dict)
        yield mcp.response(request, jsonrpc.answer(message, self))

    def notify(self, message: dict[str, Any]) -> None:
        """A step that is under way runs to its end."""

    def close(self) -> None:
        self._session.close()


def _document(base: str, name: str, headers: Mapping[str, str]) -> dict[str, Any]:
    """A server's description of itself; empty where it has none."""
    try:
        response = httpx.get(f"{base}/{name}", headers=dict(headers), timeout=CALL_TIMEOUT, trust_env=False)
        document = response.json() if response.status_code == 200 else {}
    except (httpx.HTTPError, ValueError) as exc:
        raise Unreachable(f"{base}/{name} is not readable: {exc}") from exc
    return document if isinstance(document, dict) else {}
