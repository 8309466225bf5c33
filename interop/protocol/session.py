"""Who may say what, and when: the state machines of one session, one for each side."""

from __future__ import annotations

from enum import Enum, auto
from typing import Any, NoReturn

from interop.environment import StepResult
from interop.errors import (
    CapacityReached,
    ExecutionError,
    FactoryError,
    InteropError,
    ProtocolError,
    ServerError,
    SessionError,
    SessionLost,
    ValidationError,
)
from interop.protocol.codecs import Codec
from interop.protocol.frames import ErrorCode, FrameError, Kind, Request, parse, request


class State(Enum):
    """Where a session stands."""

    OPEN = auto()
    WAITING = auto()
    """A request is under way: the server owes a reply."""
    CLOSED = auto()


class ServerSession:
    """The server's side: one request at a time, exactly one reply to each, none to `close`."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self.state = State.OPEN

    def receive(self, payload: bytes, *, text: bool) -> Request:
        """The request in a message. Raises `FrameError`: answer it with `reply` and go on."""
        if self.state is not State.OPEN:
            raise ProtocolError(f"a message was handed in while the session is {self.state.name}")
        self.state = State.WAITING
        received = parse(self.codec.decode(payload, text=text), vector=self.codec.native)
        if received.kind == "close":
            self.state = State.CLOSED
        return received

    def result(self, result: StepResult) -> bytes:
        """The reply to `reset` and `step`. The request stays open if the result cannot be encoded."""
        message = self.codec.encode_result(result)
        self._answered()
        return message

    def reply(self, frame: dict[str, Any]) -> bytes:
        """The reply to anything else."""
        message = self.codec.encode(frame)
        self._answered()
        return message

    def refuse(self, code: ErrorCode, message: str, **extra: Any) -> bytes:
        """The error frame that ends the session, whatever its state."""
        self.state = State.CLOSED
        return self.codec.encode(FrameError(code, message, **extra).frame())

    def _answered(self) -> None:
        if self.state is not State.WAITING:
            raise ProtocolError(f"a reply without a request: the session is {self.state.name}")
        self.state = State.OPEN


_REPLIES: dict[str, str] = {"reset": "observation", "step": "observation"}
_RECOVERABLE: dict[str, type[ServerError]] = {
    ErrorCode.VALIDATION_ERROR: ValidationError,
    ErrorCode.EXECUTION_ERROR: ExecutionError,
}
_FATAL: dict[str, type[SessionError]] = {
    ErrorCode.CAPACITY_REACHED: CapacityReached,
    ErrorCode.FACTORY_ERROR: FactoryError,
    ErrorCode.SESSION_ERROR: SessionLost,
}


class ClientSession:
    """The client's side: it sends one request, takes the one reply, and never another's.

    `lose` ends it for good: every later call raises what was lost. There is no reconnecting.
    """

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self.state = State.OPEN
        self._pending: Kind = "state"
        self._lost: SessionError | None = None

    def send(self, kind: Kind, data: Any = None) -> bytes:
        """The message of a request. Raises `SessionError` after the end, `ProtocolError` out of turn."""
        self.check()
        if self.state is State.WAITING and kind != "close":
            raise ProtocolError(f"{kind} was called while the reply to {self._pending} is awaited")
        message = self.codec.encode(request(kind, data))
        self._pending = kind
        self.state = State.CLOSED if kind == "close" else State.WAITING
        return message

    def receive(self, payload: bytes, *, text: bool) -> Any:
        """The `data` of the reply.

        Raises:
            ServerError: An error frame after which the session lives on.
            SessionError: An error frame that ends the session, or a message that is no reply to the request.
        """
        if self.state is not State.WAITING:
            self.lose(ProtocolError("the server spoke out of turn"))
            self.check()
        try:
            frame = self.codec.decode(payload, text=text)
        except FrameError as exc:
            self._fail(f"the reply to {self._pending} is not readable: {exc}")
        if not isinstance(frame, dict) or not isinstance(frame.get("data"), dict):
            self._fail(f"the reply to {self._pending} has no data object: {frame!r:.200}")
        if frame.get("type") == _REPLIES.get(self._pending, self._pending):
            self.state = State.OPEN
            return frame["data"]
        if frame.get("type") == "error":
            self.state = State.OPEN
            raise self._server_error(frame["data"])
        return self._fail(f"the reply to {self._pending} has type {frame.get('type')!r}")

    def lose(self, cause: Exception) -> None:
        """End the session; `cause` is what later calls raise."""
        if self._lost is None:
            self._lost = cause if isinstance(cause, SessionError) else _lost(cause)
        self.state = State.CLOSED

    def check(self) -> None:
        """Raise if the session has ended."""
        if self._lost is not None:
            raise type(self._lost)(*self._lost.args) from self._lost.__cause__
        if self.state is State.CLOSED:
            raise SessionError("the session was closed; connect again for a new one")

    def _fail(self, why: str) -> NoReturn:
        self.lose(ProtocolError(why))
        self.check()
        raise AssertionError(why)

    def _server_error(self, data: dict[str, Any]) -> InteropError:
        code, message = str(data.get("code", "")), str(data.get("message", ""))
        if code in _FATAL:
            self.lose(_FATAL[code](f"{message} ({code})"))
            assert self._lost is not None
            return self._lost
        kind = _RECOVERABLE.get(code, ServerError)
        text = f"{message or 'no message'} ({code})"
        errors = data.get("errors")
        if isinstance(errors, list):
            text += "".join(f"\n  {_location(item)}: {item.get('msg')}" for item in errors if isinstance(item, dict))
        return kind(text, code=code, data=data)


def _location(item: dict[str, Any]) -> str:
    return ".".join(map(str, item.get("loc", ()))) or "the frame"


def _lost(cause: Exception) -> SessionLost:
    lost = SessionLost(f"the session is lost: {cause or type(cause).__name__}")
    lost.__cause__ = cause
    return lost
