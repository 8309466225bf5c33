"""OpenEnv's JSON-RPC: the requests of `POST /mcp`, `WS /mcp` and of the `mcp` frame (`docs/protocol.md`, MCP)."""

from __future__ import annotations

from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from interop.errors import EnvironmentLost

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
SERVER_ERROR = -32000
CREATE, CLOSE = "openenv/session/create", "openenv/session/close"


class JsonRpcRequest(BaseModel):
    """One request. Its name is part of the wire: it stands in the text of the error -32600."""

    model_config = ConfigDict(extra="forbid")

    jsonrpc: Literal["2.0"]
    method: str
    params: dict[str, Any] = Field(default_factory=dict)
    id: str | int | None = None


class Tools(Protocol):
    """The tools of a session, as section 10 has them."""

    def list(self) -> list[dict[str, Any]]:
        """`name`, `description` and `inputSchema` of each."""

    def call(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """The result of a call. Raises what makes it fail; `EnvironmentLost` is not answered."""


def read(data: Any) -> JsonRpcRequest | dict[str, Any]:
    """The request in decoded data, or the response that refuses it."""
    if not isinstance(data, dict):
        return failure(None, PARSE_ERROR, "Parse error")
    try:
        return JsonRpcRequest.model_validate(data)
    except ValidationError as exc:
        return failure(None, INVALID_REQUEST, f"Invalid request: {exc}")


def answer(data: Any, tools: Tools, *, session_id: str | None = None) -> dict[str, Any]:
    """The response to one decoded request.

    Args:
        data: The request.
        tools: The session's, or those of an environment that lives for this call.
        session_id: The session it came in by, if it did.
    """
    request = read(data)
    if isinstance(request, dict):
        return request
    params = request.params
    match request.method:
        case "tools/call" if not isinstance(params.get("name"), str):  # MCP-9
            return failure(request.id, INVALID_PARAMS, "Missing 'name' in params")
        case "tools/call" if not isinstance(params.get("arguments") or {}, dict):
            return failure(request.id, INTERNAL_ERROR, "'arguments' in params is no object")
        case "tools/list" | "tools/call":
            try:
                if request.method == "tools/list":
                    return success(request.id, {"tools": tools.list()})
                return success(request.id, tools.call(params["name"], params.get("arguments") or {}))
            except EnvironmentLost:  # the end of the session, not of the call
                raise
            except Exception as exc:
                return failure(request.id, INTERNAL_ERROR, str(exc) or type(exc).__name__)
        case method if method == CREATE and session_id is not None:
            return success(request.id, {"session_id": session_id})
        case method if method == CLOSE and session_id is not None:
            return _close(request, session_id)
    return failure(request.id, METHOD_NOT_FOUND, f"Method not found: {request.method}")


def _close(request: JsonRpcRequest, own: str) -> dict[str, Any]:
    """The response of a session to a close: its own ends with its socket, and it knows no other."""
    id = request.params.get("session_id")
    if not id:
        return failure(request.id, INVALID_PARAMS, "Invalid params - 'session_id' is required")
    if id != own:
        return failure(request.id, INVALID_PARAMS, f"Unknown session_id: {id}")
    return failure(request.id, INVALID_REQUEST, "Cannot close active WebSocket-managed session via MCP method")


def success(id: str | int | None, result: Any) -> dict[str, Any]:
    """A response that has a result."""
    return {"jsonrpc": "2.0", "id": id, "result": result}


def failure(id: str | int | None, code: int, message: str, data: Any = None) -> dict[str, Any]:
    """An error response."""
    return {"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message, "data": data}}
