"""The healthy server of a tool environment that speaks MCP Streamable HTTP at `/mcp` besides."""

from __future__ import annotations

import json
import uuid
from typing import Any

from conformance.broken.healthy import Frame, json_response, parse, rpc_error
from conformance.broken.tools import Failed, Tools, Workshop
from conformance.broken.wire import Request, Response

EVENTS = "text/event-stream"
SESSION, VERSION = "mcp-session-id", "mcp-protocol-version"


class Streamable(Tools):
    """The server. Each MCP session has an environment; `page` tools are listed at a time."""

    revisions = ("2025-03-26", "2025-06-18", "2025-11-25")
    page = 2
    missing_session = 400
    unknown_session = 404

    def __init__(self) -> None:
        super().__init__()
        self.streams: dict[str, Workshop] = {}

    def routes(self) -> dict[str, dict[str, Any]]:
        """Handlers by path and method."""
        routes = super().routes()
        routes["/mcp"] |= {"DELETE": self.delete_mcp}
        return routes

    def post_mcp(self, request: Request) -> Response:
        """A message of MCP, or of OpenEnv."""
        message = parse(request.body, True)
        opening = isinstance(message, dict) and message.get("method") == "initialize"
        if not opening and SESSION not in request.headers and VERSION not in request.headers:
            return super().post_mcp(request)
        refused = self.refuse_mcp(request, opening)
        if refused is not None:
            return refused
        if opening:
            return self.initialize(request, message)
        return self.answer_mcp(request, message)

    def refuse_mcp(self, request: Request, opening: bool) -> Response | None:
        """Refuse a request for its headers."""
        if not self.acceptable(request.headers.get("accept", "*/*")):
            return json_response(406, rpc_error(None, -32600, "Not acceptable"))
        if opening:
            return None
        id = request.headers.get(SESSION)
        if id not in self.streams:
            status = self.missing_session if id is None else self.unknown_session
            return json_response(status, rpc_error(None, -32600, "Session not found"))
        if not self.speaks(request.headers.get(VERSION)):
            return json_response(400, rpc_error(None, -32600, "Unsupported protocol version"))
        return None

    def acceptable(self, accept: str) -> bool:
        """Whether a client takes what this server sends."""
        return any(kind in accept for kind in ("*/*", "application/json", EVENTS))

    def speaks(self, version: str | None) -> bool:
        """Whether a header MCP-Protocol-Version is fine."""
        return version is None or version in self.revisions

    # Messages

    def initialize(self, request: Request, message: Frame) -> Response:
        """Begin a session."""
        id = self.new_id()
        self.streams[id] = self.build()
        wanted = message.get("params", {}).get("protocolVersion")
        response = self.stream_response(request, {**_envelope(message), "result": self.opening(wanted)})
        response.headers["Mcp-Session-Id"] = id
        return response

    def new_id(self) -> str:
        """A session id."""
        return str(uuid.uuid4())

    def opening(self, wanted: Any) -> Frame:
        """The result of `initialize`."""
        return {
            "protocolVersion": self.choose(wanted),
            "capabilities": {"tools": {"listChanged": False}},
            "serverInfo": {"name": self.env_name, "version": "1.0.0"},
        }

    def choose(self, wanted: Any) -> str:
        """The revision for a session."""
        return wanted if wanted in self.revisions else self.revisions[-1]

    def answer_mcp(self, request: Request, message: Any) -> Response:
        """Answer a message of a session."""
        if not isinstance(message, dict) or not isinstance(message.get("method"), str):
            return json_response(400, rpc_error(None, -32600, "Invalid request"))
        if "id" not in message:
            return self.accepted()
        env = self.streams[request.headers[SESSION]]
        outcome = self.outcome(env, message["method"], message.get("params", {}))
        return self.stream_response(request, self.alter_stream({**_envelope(message), **outcome}))

    def accepted(self) -> Response:
        """The answer to a notification."""
        return Response(202)

    def alter_stream(self, response: Frame) -> Frame:
        """Where defects change responses."""
        return response

    def stream_response(self, request: Request, response: Frame) -> Response:
        """A response as JSON."""
        return json_response(200, response)

    def delete_mcp(self, request: Request) -> Response:
        """End a session."""
        env = self.streams.pop(request.headers.get(SESSION, ""), None)
        if env is None:
            return json_response(404, rpc_error(None, -32600, "Session not found"))
        env.close()
        return Response(204)

    # Methods

    def outcome(self, env: Workshop, method: str, params: Frame) -> Frame:
        """The `result` or the `error` of a method."""
        match method:
            case "ping":
                return {"result": {}}
            case "tools/list":
                return {"result": self.list_page(env, params.get("cursor"))}
            case "tools/call":
                return {"result": self.call_result(env, params)}
        return {"error": {"code": -32601, "message": f"Method not found: {method}"}}

    def list_page(self, env: Workshop, cursor: str | None) -> Frame:
        """A page of tools."""
        tools = self.list_tools(env)
        start = int(cursor or 0)
        more = {"nextCursor": str(start + self.page)} if start + self.page < len(tools) else {}
        return {"tools": tools[start : start + self.page], **more}

    def call_result(self, env: Workshop, params: Frame) -> Frame:
        """The result of a call."""
        try:
            value = env.call(params["name"], params.get("arguments", {}))
        except Failed as exc:
            return {"content": [{"type": "text", "text": str(exc)}], "isError": True}
        text = {"type": "text", "text": json.dumps(value)}
        return {"content": [text], "structuredContent": {"value": value}, "isError": False}


class Streaming(Streamable):
    """The same with event streams: every response is one, after an empty event and a notification; so is GET."""

    def stream_response(self, request: Request, response: Frame) -> Response:
        """A response as a stream of events."""
        note = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "working"}}
        events = [b"id: 1\ndata:\n\n", b": comment\n\n", _event(note), _event(response)]
        return Response(200, b"".join(events), {"Content-Type": f"{EVENTS}; charset=utf-8"})

    def routes(self) -> dict[str, dict[str, Any]]:
        """Handlers by path and method."""
        routes = super().routes()
        routes["/mcp"] |= {"GET": self.get_mcp}
        return routes

    def get_mcp(self, request: Request) -> Response:
        """A stream of what the server says by itself, which is nothing."""
        return Response(200, b": nothing to say\n\n", {"Content-Type": EVENTS})


def _envelope(message: Frame) -> Frame:
    return {"jsonrpc": "2.0", "id": message["id"]}


def _event(message: Frame) -> bytes:
    return b"event: message\ndata: " + json.dumps(message).encode() + b"\n\n"
