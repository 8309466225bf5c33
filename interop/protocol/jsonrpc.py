"""OpenEnv's JSON-RPC: the requests of `POST /mcp`, `WS /mcp` and of the `mcp` frame (`docs/protocol.md`, MCP)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603


class JsonRpcRequest(BaseModel):
    """One request. Its name is part of the wire: it stands in the text of the error -32600."""

    model_config = ConfigDict(extra="forbid")

    jsonrpc: Literal["2.0"]
    method: str
    params: dict[str, Any] = Field(default_factory=dict)
    id: str | int | None = None


def answer(data: Any, *, session_id: str | None = None) -> dict[str, Any]:
    """The response to one decoded request for an environment without tools.

    Args:
        data: The request.
        session_id: The session it came in by, if it did.
    """
    try:
        request = JsonRpcRequest.model_validate(data)
    except ValidationError as exc:
        return failure(None, INVALID_REQUEST, f"Invalid request: {exc}")
    match request.method:
        case "tools/call" if "name" not in request.params:  # MCP-9
            return failure(request.id, INVALID_PARAMS, "Missing 'name' in params")
        case "tools/list" | "tools/call":
            return failure(request.id, INTERNAL_ERROR, "Environment does not support MCP")
        case "openenv/session/create" if session_id is not None:
            return {"jsonrpc": "2.0", "id": request.id, "result": {"session_id": session_id}}
        case "openenv/session/close" if session_id is not None:
            return failure(request.id, INVALID_REQUEST, "Cannot close the session of the socket that asks")
    return failure(request.id, METHOD_NOT_FOUND, f"Method not found: {request.method}")


def failure(id: str | int | None, code: int, message: str) -> dict[str, Any]:
    """An error response."""
    return {"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message, "data": None}}
