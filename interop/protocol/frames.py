"""The frames of `/ws`: what a client may send, and what a server answers (`docs/protocol.md`, Frames)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Kind = Literal["reset", "step", "state", "close", "mcp", "vector"]


class ErrorCode(StrEnum):
    """The codes of an error frame. The first four leave the session open, the last three end it."""

    INVALID_JSON = "INVALID_JSON"
    UNKNOWN_TYPE = "UNKNOWN_TYPE"
    VALIDATION_ERROR = "VALIDATION_ERROR"
    EXECUTION_ERROR = "EXECUTION_ERROR"
    CAPACITY_REACHED = "CAPACITY_REACHED"
    FACTORY_ERROR = "FACTORY_ERROR"
    SESSION_ERROR = "SESSION_ERROR"


class Request(NamedTuple):
    """One valid frame of a client; `data` is empty where the frame has none."""

    kind: Kind
    data: dict[str, Any]


class FrameError(Exception):
    """A frame that is answered with an error frame."""

    def __init__(self, code: ErrorCode, message: str, **extra: Any) -> None:
        super().__init__(message)
        self.code = code
        self.extra = extra

    def frame(self) -> dict[str, Any]:
        return error(self.code, str(self), **self.extra)


# The models serve the refusals alone: a well-formed frame is recognised without them.
class _Frame(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Reset(_Frame):
    type: Literal["reset"]
    data: dict[str, Any] = Field(default_factory=dict)


class _Step(_Frame):
    type: Literal["step"]
    data: dict[str, Any]


class _State(_Frame):
    type: Literal["state"]


class _Close(_Frame):
    type: Literal["close"]


class _Mcp(_Frame):
    type: Literal["mcp"]
    data: dict[str, Any]


class _Vector(_Frame):
    type: Literal["vector"]
    data: dict[str, Any]


class _Object(BaseModel):
    model_config = ConfigDict(extra="allow")


_MODELS: dict[str, type[_Frame]] = {"reset": _Reset, "step": _Step, "state": _State, "close": _Close, "mcp": _Mcp}
_KEYS = {"type", "data"}


def parse(frame: Any, *, vector: bool = False) -> Request:
    """The request in a decoded message.

    Args:
        frame: What the codec decoded; anything.
        vector: Whether vector messages were negotiated.

    Raises:
        FrameError: UNKNOWN_TYPE or VALIDATION_ERROR; the session lives on.
    """
    if type(frame) is not dict:
        raise FrameError(ErrorCode.VALIDATION_ERROR, "Invalid message", errors=_not_an_object(frame))
    kind = frame.get("type")
    if kind == "step" or kind == "reset" or (vector and kind == "vector"):
        data = frame.get("data")
        if type(data) is dict and len(frame) == 2:
            return Request(kind, data)
    model = _MODELS.get(kind) if isinstance(kind, str) else None
    if vector and kind == "vector":
        model = _Vector
    if model is None:
        # "Unknown message type: " is followed by nothing where the type is missing.
        raise FrameError(ErrorCode.UNKNOWN_TYPE, f"Unknown message type: {frame.get('type', '')}")
    try:
        valid = model.model_validate(frame)
    except ValidationError as exc:
        raise invalid(exc) from None
    return Request(valid.type, getattr(valid, "data", {}))  # type: ignore[attr-defined]


def invalid(exc: ValidationError) -> FrameError:
    """The VALIDATION_ERROR frame of a pydantic error."""
    return FrameError(ErrorCode.VALIDATION_ERROR, "Invalid message", errors=error_list(exc))


def error_list(exc: ValidationError) -> list[Any]:
    """pydantic's error list, in the types of JSON: `loc` an array, and an exception in `ctx` as its text."""
    errors: list[Any] = list(exc.errors())
    for item in errors:
        item["loc"] = list(item["loc"])  # MessagePack would carry the tuple
        for key, value in item.get("ctx", {}).items():
            if isinstance(value, Exception):
                item["ctx"][key] = str(value)
    return errors


def _not_an_object(value: Any) -> list[Any]:
    try:
        _Object.model_validate(value)
    except ValidationError as exc:
        errors: list[Any] = [
            {**item, "type": "dict_type", "loc": [], "msg": "Input should be a valid dictionary"}
            for item in exc.errors(include_context=False)
        ]
        for item in errors:
            item["url"] = item["url"].replace("model_type", "dict_type")
        return errors
    raise AssertionError(f"{value!r} is an object")


def error(code: str, message: str, **extra: Any) -> dict[str, Any]:
    """An error frame; `extra` are further keys of `data`."""
    return {"type": "error", "data": {"message": message, "code": str(code), **extra}}


def request(kind: Kind, data: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A client's frame; `state` and `close` have no `data`."""
    return {"type": kind} if kind in ("state", "close") else {"type": kind, "data": data or {}}
