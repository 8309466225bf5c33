"""Section 10 of the specification: JSON-RPC on every door, calls of tools, and tools through step."""

from __future__ import annotations

import uuid
from typing import Any

from conformance.actions import fits, invalid, valid
from conformance.probe import Probe
from conformance.recorder import WebSocket, parsed
from conformance.scenarios import scenario

MOST_TOOLS = 4
"""Tools that are called."""
NO_TOOL = "no_such_tool"
RESERVED = ("reset", "step", "state", "close")
CREATE, CLOSE = "openenv/session/create", "openenv/session/close"


def rpc(method: str, id: Any = 1, **params: Any) -> dict[str, Any]:
    """A JSON-RPC request."""
    return {"jsonrpc": "2.0", "id": id, "method": method, "params": params}


REQUESTS: dict[str, Any] = {
    "id.integer": rpc("no/such/method", 7),
    "id.large": rpc("no/such/method", 2**53 + 1),
    "id.string": rpc("no/such/method", "seven"),
    "id.digits": rpc("no/such/method", "7"),
    "id.null": rpc("no/such/method", None),
    "absent.unknown": {"jsonrpc": "2.0", "method": "no/such/method"},
    "absent.notification": {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {}},
    "text.empty": b"",
    "text.cut": b'{"jsonrpc":"2.0","id":1,"method":',
    "text.words": b"tools/list",
    "text.batch": [rpc("tools/list")],
    "text.string": b'"tools/list"',
    "text.number": b"5",
    "text.null": b"null",
    "form.version": {**rpc("tools/list"), "jsonrpc": "1.0"},
    "form.no_version": {"id": 1, "method": "tools/list"},
    "form.no_method": {"jsonrpc": "2.0", "id": 1},
    "form.method": {**rpc("tools/list"), "method": 5},
    "form.extra": {**rpc("tools/list"), "extra": 1},
    "form.params": {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": [1]},
    "form.id": {**rpc("tools/list"), "id": {"a": 1}},
    "method.unknown": rpc("tools/no_such_method"),
    "method.openenv": rpc("openenv/no/such/method"),
    **{f"reserved.{name}": rpc(name) for name in RESERVED},
    "list": rpc("tools/list"),
    "call": rpc("tools/call", name=NO_TOOL, arguments={}),
    "nameless": rpc("tools/call", arguments={}),
    "unknown_session.list": rpc("tools/list", session_id=str(uuid.UUID(int=0))),
    "unknown_session.close": rpc(CLOSE, session_id="no-such-session"),
    "close_nothing": rpc(CLOSE),
}
"""What is sent to `POST /mcp`, by name; the first part of a name is what a check looks for."""
ON_SOCKETS = ("id.string", "id.integer", "absent.unknown", "form.version", "method.unknown", "list", "call", "nameless",
              *(f"reserved.{name}" for name in RESERVED))  # fmt: skip
"""Those of them that are asked on WebSockets too."""


@scenario("mcp.jsonrpc", "mcp")
def jsonrpc(probe: Probe) -> None:
    """Well-formed, malformed and unreadable requests to `POST /mcp`, and whether it has MCP Streamable HTTP."""
    for name, body in REQUESTS.items():
        probe.http(f"mcp.post.{name}", "POST", "/mcp", body)


@scenario("mcp.frames", "mcp")
def frames(probe: Probe) -> None:
    """The same as `mcp` frames, and the session's own id, used from outside."""
    with probe.session("mcp.frames") as session:
        for name in ON_SOCKETS:
            session.ask(frame(REQUESTS[name]), name)
        created = session.ask(frame(rpc(CREATE)), "create")
        session.ask(frame(rpc(CREATE)), "create_again")
        id = session_id(created.get("data") if isinstance(created, dict) else None)
        if id is not None:
            probe.http("mcp.frames.outside", "POST", "/mcp", rpc("tools/list", session_id=id))


@scenario("mcp.socket", "mcp")
def socket(probe: Probe) -> None:
    """`WS /mcp`: two connections, one after the other."""
    calls = tool_calls(probe, "mcp.socket.list")
    with probe.session("mcp.socket", "/mcp") as session:
        session.ask(rpc(CREATE), "create")
        session.ask(rpc(CREATE), "create_again")
        call_twice(session, calls, lambda request: request)
        for name in ON_SOCKETS:
            session.ask(REQUESTS[name], name)
        session.quiet()
        for name, message in (("cut", "{bad"), ("array", "[1,2]"), ("text", '"tools/list"'), ("number", "5")):
            session.ask(message, f"odd.{name}")
            session.ask(rpc("tools/list"), f"after.{name}")
    if session.socket.is_open:
        with probe.session("mcp.socket.other", "/mcp") as session:
            session.ask(rpc(CREATE), "create")
            call_twice(session, calls, lambda request: request)
            session.ask(b"{}", "odd.binary")
            session.ask(rpc("tools/list"), "after.binary")


@scenario("mcp.tools", "mcp")
def tools(probe: Probe) -> None:
    """Calls without a session, each twice, and calls that must fail."""
    listed = list_of_tools(probe, "mcp.tools.list")
    calls = calls_among(probe, listed)
    for number, call in enumerate(calls):
        for time_ in ("first", "second"):
            probe.http(f"mcp.call.{number}.{time_}", "POST", "/mcp", rpc("tools/call", **call))
    if listed:
        name = next((it["name"] for it in listed if fits(input_schema(it) or {}, {})), listed[0]["name"])
        probe.http("mcp.tools.bare", "POST", "/mcp", rpc("tools/call", name=name))
        probe.http("mcp.tools.empty", "POST", "/mcp", rpc("tools/call", name=name, arguments={}))
    unfit = unfit_call(listed)
    if unfit is not None:
        probe.http("mcp.tools.unfit", "POST", "/mcp", rpc("tools/call", **unfit))


@scenario("mcp.step", "mcp")
def step(probe: Probe) -> None:
    """Tools through step: listed before the first reset, called, and called wrongly."""
    if not takes_call_tool(probe.schema):
        return
    calls = tool_calls(probe, "mcp.step.list")
    with probe.session("mcp.step") as session:
        session.ask({"type": "step", "data": {"type": "list_tools"}}, "list")
        session.ask(probe.reset(), "reset")
        session.ask({"type": "step", "data": {"type": "list_tools"}}, "list_again")
        session.ask(call_step({"name": NO_TOOL, "arguments": {}}), "unknown")
        for number, call in enumerate(calls):
            session.ask(call_step(call), f"call.{number}")
        name = calls[0]["name"] if calls else NO_TOOL
        session.ask({"type": "step", "data": {"type": "call_tool", "tool_name": name}}, "bare")


# Requests


def frame(request: dict[str, Any]) -> dict[str, Any]:
    """An `mcp` frame."""
    return {"type": "mcp", "data": request}


def call_step(call: dict[str, Any]) -> dict[str, Any]:
    """A step that calls a tool."""
    return {"type": "step", "data": {"type": "call_tool", "tool_name": call["name"], "arguments": call["arguments"]}}


def takes_call_tool(schema: Any) -> bool:
    """Whether the action schema of a `/schema` body describes `call_tool`."""
    return _mentions(schema.get("action") if isinstance(schema, dict) else None)


def _mentions(schema: Any) -> bool:
    if isinstance(schema, list):
        return any(_mentions(it) for it in schema)
    if not isinstance(schema, dict):
        return False
    here = schema.get("const") == "call_tool" or "call_tool" in (schema.get("enum") or [])
    return here or any(_mentions(it) for it in schema.values())


def input_schema(tool: Any) -> Any:
    """The schema of a tool's arguments, in either spelling; None where there is none."""
    return tool.get("inputSchema", tool.get("input_schema")) if isinstance(tool, dict) else None


def arguments_of(tool: Any) -> dict[str, Any]:
    """Arguments that fit a tool, as far as its schema tells."""
    schema = input_schema(tool)
    return next(iter(valid(schema, 1)), {}) if isinstance(schema, dict) else {}


def unfit_call(tools: list[dict[str, Any]]) -> dict[str, Any] | None:
    """A call whose arguments a tool must refuse; None where no schema excludes anything but additional ones."""
    for tool in tools:
        schema = input_schema(tool)
        for it in invalid(schema, arguments_of(tool)) if isinstance(schema, dict) else []:
            if it.wrong in ("missing", "type"):
                return {"name": tool["name"], "arguments": it.action}
    return None


def list_of_tools(probe: Probe, name: str) -> list[dict[str, Any]]:
    """The tools that `POST /mcp` lists."""
    return named_tools(parsed(probe.http(name, "POST", "/mcp", rpc("tools/list")).body))


def named_tools(response: Any) -> list[dict[str, Any]]:
    """The tools of a response that have names."""
    result = response.get("result") if isinstance(response, dict) else None
    found = result.get("tools") if isinstance(result, dict) else None
    listed = found if isinstance(found, list) else []
    return [it for it in listed if isinstance(it, dict) and isinstance(it.get("name"), str)]


def calls_among(probe: Probe, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Calls of tools: those given, else one of each of the first of those found."""
    given = [{"arguments": {}, **call} for call in probe.inputs.calls] if found else []
    return given or [{"name": tool["name"], "arguments": arguments_of(tool)} for tool in found[:MOST_TOOLS]]


def tool_calls(probe: Probe, name: str) -> list[dict[str, Any]]:
    """The same of the tools that `POST /mcp` lists."""
    return calls_among(probe, list_of_tools(probe, name))


def call_twice(session: WebSocket, calls: list[dict[str, Any]], wrap: Any) -> None:
    """Make each call twice; `wrap` makes a message of a request."""
    for number, call in enumerate(calls):
        for time_ in ("first", "second"):
            session.ask(wrap(rpc("tools/call", **call)), f"call.{number}.{time_}")


def session_id(response: Any) -> str | None:
    """The `session_id` of a response."""
    result = response.get("result") if isinstance(response, dict) else None
    id = result.get("session_id") if isinstance(result, dict) else None
    return id if isinstance(id, str) else None
