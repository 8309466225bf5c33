"""What a scenario talks through: the recorder, the actions that the server takes, and care not to overrun it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from conformance.evidence import Exchange
from conformance.recorder import Ended, Recorder, Timing, WebSocket, parsed

MOST_SESSIONS = 8
"""Sessions that a run opens at a time to find the server's capacity; a server that allows more is not filled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What a run is given about the environment. Nothing is needed; each field lets more requirements be tested.

    Attributes:
        actions: Valid actions, played in order and again from the start.
        reset: Arguments of every reset.
        invalid: Actions that do not fit the action schema, beside the derived ones.
        rejected: An action that fits the schema and that a validator of the environment rejects.
        raises: An action on which the environment raises.
        uncarryable: An action whose observation cannot be encoded.
        slow: An action whose step takes two seconds or more.
        exits: An action on which the environment ends its process.
        ends: Valid actions that end an episode.
        echo: A valid action whose longest value (as JSON) the observation repeats as it is.
        idle_timeout: Seconds, at most 15, after which the server says it ends an idle session.
        calls: Calls of tools, `{"name": ..., "arguments": {...}}`; best with one whose result depends on those before.
        private: Strings that no client may ever see (answers, tests).
    """

    actions: tuple[Mapping[str, Any], ...] = ()
    reset: Mapping[str, Any] = field(default_factory=dict)
    invalid: tuple[Mapping[str, Any], ...] = ()
    rejected: Mapping[str, Any] | None = None
    raises: Mapping[str, Any] | None = None
    uncarryable: Mapping[str, Any] | None = None
    slow: Mapping[str, Any] | None = None
    exits: Mapping[str, Any] | None = None
    ends: tuple[Mapping[str, Any], ...] = ()
    echo: Mapping[str, Any] | None = None
    idle_timeout: float | None = None
    calls: tuple[Mapping[str, Any], ...] = ()
    private: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """As JSON, without what was not given."""
        return {key: value for key, value in asdict(self).items() if value}


class Probe:
    """Talks to a server for the scenarios.

    Attributes:
        recorder: Keeps everything.
        inputs: What the run was given.
        actions: Actions that the server accepted, set once they are known.
        schema: The body of `GET /schema`, `{}` where there is none.
    """

    def __init__(self, recorder: Recorder, inputs: Inputs | None = None) -> None:
        self.recorder = recorder
        self.inputs = inputs or Inputs()
        self.actions: list[Mapping[str, Any]] = []
        self.schema: Mapping[str, Any] = {}

    @property
    def timing(self) -> Timing:
        """How long to wait."""
        return self.recorder.timing

    @property
    def facts(self) -> dict[str, Any]:
        """The facts of the run."""
        return self.recorder.evidence.facts

    def http(self, name: str, method: str, path: str, body: Any = None, **options: Any) -> Exchange:
        """Make one HTTP request; options as for `Recorder.request`."""
        return self.recorder.request(name, method, path, body, **options)

    def connect(self, name: str, path: str = "/ws", **options: Any) -> WebSocket:
        """Open a WebSocket and take what comes; options as for `Recorder.connect`."""
        return self.recorder.connect(name, path, **options)

    def session(
        self, name: str, path: str = "/ws", *, busy: Callable[[Any], bool] | None = None, **options: Any
    ) -> Session:
        """Open a session; where the server is still full of ones that have ended, it is tried again.

        `busy` says whether a first reply means that; by default that the server is at capacity.
        """
        session = Session(self.recorder, name, self.recorder.opening(path, **options))
        session.busy = busy or _is_full
        session.open()
        return session

    def create_session(self, name: str) -> str | None:
        """The id of a session made by `POST /mcp`; None where the server makes none.

        It is asked for again while the server is full of sessions that have ended.
        """
        deadline, number = time.monotonic() + self.timing.settle, 0
        request = {"jsonrpc": "2.0", "id": 1, "method": "openenv/session/create"}
        while True:
            response = parsed(self.http(name, "POST", "/mcp", request).body)
            response = response if isinstance(response, dict) else {}
            error, result = response.get("error"), response.get("result")
            if not isinstance(error, dict) or error.get("code") != -32000 or time.monotonic() > deadline:
                return result.get("session_id") if isinstance(result, dict) else None
            number += 1
            self.recorder.rename(name, f"{name}~{number}")
            time.sleep(min(0.05 * number, 0.5))

    def close_session(self, name: str, id: str) -> Exchange:
        """Close a session by `POST /mcp`."""
        request = {"jsonrpc": "2.0", "id": 1, "method": "openenv/session/close", "params": {"session_id": id}}
        return self.http(name, "POST", "/mcp", request)

    # Frames

    def reset(self, **arguments: Any) -> dict[str, Any]:
        """A reset frame."""
        return {"type": "reset", "data": {**self.inputs.reset, **arguments}}

    def action(self, number: int = 0) -> Mapping[str, Any]:
        """A valid action. Raises `Ended` where none is known: what needs one cannot go on."""
        if not self.actions:
            raise Ended
        return self.actions[number % len(self.actions)]

    def step(self, number: int = 0) -> dict[str, Any]:
        """A step frame with a valid action."""
        return {"type": "step", "data": self.action(number)}

    @property
    def capacity(self) -> int | None:
        """Sessions that the server allows at a time; None where it is more than was tried."""
        capacity = self.facts.get("capacity")
        return int(capacity) if capacity is not None else None


class Session(WebSocket):
    """A WebSocket whose first request is sent again on a new one while the server is busy."""

    busy: Callable[[Any], bool]
    _admitted = False

    def quiet(self, seconds: float | None = None) -> None:
        """As `WebSocket.quiet`; where the server is busy the silence is that of another one."""
        deadline, number = time.monotonic() + self.timing.settle, 0
        super().quiet(seconds)
        while not self._admitted and self._was_refused() and time.monotonic() < deadline:
            number += 1
            self._try_again(number)
            super().quiet(seconds)

    def ask(self, message: Any, label: str, *, timeout: float | None = None, fragments: int = 1) -> Any:
        """As `WebSocket.ask`."""
        deadline, number = time.monotonic() + self.timing.settle, 0
        while True:
            reply = self._refusal() or super().ask(message, label, timeout=timeout, fragments=fragments)
            if self._admitted or not self.busy(reply) or time.monotonic() > deadline:
                self._admitted = True
                return reply
            number += 1
            self._try_again(number)

    def _try_again(self, number: int) -> None:
        self.reopen(number)
        time.sleep(min(0.05 * number, 0.5))

    def _was_refused(self) -> bool:
        _, first = next(self.socket.received(), (0, None))
        return first is not None and self.busy(self.value(first))

    def _refusal(self) -> Any:
        """A refusal that came with the handshake, before anything could be asked."""
        first = self.value(self._pending[0]) if self._pending and not (self._admitted or self.is_open) else None
        return first if self.busy(first) else None


def _is_full(reply: Any) -> bool:
    """Whether a reply refuses a session for capacity, on `/ws` or on `WS /mcp`."""
    if not isinstance(reply, dict):
        return False
    data, error = reply.get("data"), reply.get("error")
    if isinstance(error, dict):
        return error.get("code") == -32000 and reply.get("id") is None
    return isinstance(data, dict) and data.get("code") == "CAPACITY_REACHED"
