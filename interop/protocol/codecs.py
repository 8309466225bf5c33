"""How frames become messages: JSON text, as the official server writes it, and `interop.msgpack.v1`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

from pydantic_core import from_json, to_json

from interop.environment import RawJSON, StepResult
from interop.errors import CannotCarry
from interop.protocol import binary, jsonrpc
from interop.protocol.frames import ErrorCode, FrameError

MSGPACK_V1 = "interop.msgpack.v1"


class Codec(Protocol):
    """One form of messages. `native` says whether values travel as they are, without a plain JSON form."""

    name: str
    native: bool

    def decode(self, payload: bytes, *, text: bool) -> Any:
        """The message's value. Raises `FrameError` for one the peer should not have sent."""

    def encode(self, frame: Mapping[str, Any]) -> bytes:
        """The message of a frame."""

    def encode_result(self, result: StepResult) -> bytes:
        """The message of an observation frame."""


class JsonCodec:
    """UTF-8 JSON text: compact, keys in the official order, floats as pydantic writes them, NaN as null."""

    name = "json"
    native = False

    def decode(self, payload: bytes, *, text: bool) -> Any:
        if not text:
            raise FrameError(
                ErrorCode.INVALID_JSON,
                "Invalid JSON: binary frames are not part of this session; send text, or negotiate " + MSGPACK_V1,
            )
        try:
            # Keeps integers of any size and reads NaN, as Python's own parser does, which is thrice as slow.
            return from_json(payload)
        except ValueError:
            pass
        try:
            return json.loads(payload)
        except (ValueError, RecursionError) as exc:
            raise FrameError(ErrorCode.INVALID_JSON, f"Invalid JSON: {exc}") from None

    def encode(self, frame: Mapping[str, Any]) -> bytes:
        data = frame.get("data")
        if type(data) is RawJSON:
            return b'{"type":%b,"data":%b}' % (to_json(frame["type"]), data.text)
        try:
            return to_json(frame, inf_nan_mode="null")
        except ValueError:
            if frame["type"] != "error":
                raise
            return to_json(_writable(frame), inf_nan_mode="null")

    def encode_result(self, result: StepResult) -> bytes:
        observation = result.observation
        if type(observation) is not RawJSON:
            data = {"observation": observation, "reward": result.reward, "done": result.done}
            if result.metadata:
                data["metadata"] = result.metadata
            return to_json({"type": "observation", "data": data}, inf_nan_mode="null")
        return b'{"type":"observation","data":{"observation":%b,"reward":%b,"done":%b%b}}' % (
            observation.text,
            to_json(result.reward, inf_nan_mode="null"),
            b"true" if result.done else b"false",
            b',"metadata":' + to_json(result.metadata, inf_nan_mode="null") if result.metadata else b"",
        )


class RpcCodec(JsonCodec):
    """The messages of `WS /mcp`, as the official server writes them: each is the `data` of an `mcp` frame.

    An error frame is an error response; its `id` is that of the request, where it is known.
    """

    def decode(self, payload: bytes, *, text: bool) -> Any:
        if not text:
            raise FrameError(ErrorCode.INVALID_JSON, "Parse error: binary messages are not part of this session")
        try:
            request = json.loads(payload.decode())
        except (ValueError, RecursionError) as exc:
            raise FrameError(ErrorCode.INVALID_JSON, f"Parse error: {exc}") from None
        if not isinstance(request, dict):
            raise FrameError(ErrorCode.INVALID_JSON, "Parse error")
        return {"type": "mcp", "data": request}

    def encode(self, frame: Mapping[str, Any]) -> bytes:
        data = frame["data"]
        if frame["type"] == "error":
            extra = {key: value for key, value in data.items() if key not in ("message", "code")}
            code = _RPC_CODES.get(data["code"], jsonrpc.SERVER_ERROR)
            data = jsonrpc.failure(frame.get("id"), code, data["message"], extra or None)
        return json.dumps(data).encode()


_RPC_CODES = {ErrorCode.INVALID_JSON: jsonrpc.PARSE_ERROR, ErrorCode.EXECUTION_ERROR: jsonrpc.INTERNAL_ERROR}
"""Of an error in one request; all others end the session."""


class MsgpackCodec:
    """MessagePack maps with the same keys; arrays and every other native value as they are (`binary`)."""

    name = MSGPACK_V1
    native = True

    def __init__(self) -> None:
        self._room = binary.ROOM

    def decode(self, payload: bytes, *, text: bool) -> Any:
        if text:
            why = f"this session speaks {MSGPACK_V1}; send binary messages"
            entry = {"type": "bytes_type", "loc": [], "msg": why, "input": payload.decode(errors="replace")[:200]}
            raise FrameError(ErrorCode.VALIDATION_ERROR, f"Invalid message: {why}", errors=[entry])  # BIN-6, ERR-12
        try:
            return binary.unpack(payload)
        except ValueError as exc:
            raise FrameError(ErrorCode.INVALID_JSON, f"Invalid MessagePack: {exc}") from None

    def encode(self, frame: Mapping[str, Any]) -> bytes:
        try:
            return self._pack(frame)
        except CannotCarry:
            if frame["type"] != "error":
                raise
            return self._pack(_writable(frame))

    def encode_result(self, result: StepResult) -> bytes:
        data = {"observation": result.observation, "reward": result.reward, "done": result.done}
        if result.metadata:
            data["metadata"] = result.metadata
        return self._pack({"type": "observation", "data": data})

    def _pack(self, frame: Mapping[str, Any]) -> bytes:
        message = binary.pack(frame, self._room)
        # The next one of a session is often as long. A buffer of 256 KiB, once given back, also keeps malloc from
        # returning memory to the kernel after each message, which is up to ten times the price of packing it.
        size = len(message)
        self._room = binary.ROOM if size <= binary.ROOM else max(1 << 18, 2 * size)
        return message


def _writable(value: Any) -> Any:
    """The value with what has no JSON form as its text: an error is told whatever is in it (ERR-19)."""
    if isinstance(value, Mapping):
        return {_writable(str(key)): _writable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_writable(item) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else repr(value)
    return text.encode(errors="backslashreplace").decode()


def codec(subprotocol: str | None) -> Codec:
    """The codec of a negotiated subprotocol; JSON where there is none."""
    return MsgpackCodec() if subprotocol == MSGPACK_V1 else JsonCodec()
