"""Defects of section 10.6: MCP Streamable HTTP."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from conformance.broken import defect
from conformance.broken.healthy import Frame, Healthy, json_response
from conformance.broken.streamable import SESSION, Streamable, Streaming
from conformance.broken.tools import CALLS, Workshop
from conformance.broken.wire import Request, Response

Change = Callable[[Frame], Any]


def mcp_defect(name: str, *ids: str, base: type[Streamable] = Streamable, **more: Any) -> None:
    """A defect of the server with MCP Streamable HTTP."""
    defect(name, *ids, base=base, inputs=CALLS, **more)


# The session


def _opening(change: Change) -> Any:
    """A method `opening` whose result is changed."""
    return lambda self, wanted: change(Streamable.opening(self, wanted))


def _unknown_is_400(self: Streamable, request: Request, opening: bool) -> Response | None:
    refused = Streamable.refuse_mcp(self, request, opening)
    if refused is not None and refused.status == 404 and request.headers.get(SESSION) not in self.said:
        refused.status = 400
    return refused


def _delete_and_remember(self: Streamable, request: Request) -> Response:
    self.said.append(request.headers.get(SESSION, ""))
    return Streamable.delete_mcp(self, request)


def _offers_what_it_refuses(self: Streamable, wanted: Any) -> str:
    return str(wanted) if wanted in self.revisions else "2025-11-25" if wanted == "2024-11-05" else "2024-11-05"


mcp_defect("no serverInfo.version", "MCP-44", opening=_opening(lambda it: {**it, "serverInfo": {"name": "workshop"}}))
mcp_defect(
    "capabilities are a list", "MCP-44", "MCP-46", opening=_opening(lambda it: {**it, "capabilities": ["tools"]})
)
mcp_defect("claims any revision", "MCP-45", choose=lambda self, wanted: str(wanted))
mcp_defect("offers a revision that it refuses", "MCP-45", choose=_offers_what_it_refuses, speaks=lambda self, version: (
    version == "2024-11-05" or Streamable.speaks(self, version)))  # fmt: skip
mcp_defect("tools are not declared", "MCP-46", opening=_opening(lambda it: {**it, "capabilities": {"logging": {}}}))
mcp_defect("a space in the session id", "MCP-47", new_id=lambda self: f"session {uuid.uuid4()}")
mcp_defect("400 for an unknown MCP session", "MCP-48", refuse_mcp=_unknown_is_400, delete_mcp=_delete_and_remember)
mcp_defect("401 without an MCP session", "MCP-49", missing_session=401)
mcp_defect("DELETE does nothing", "MCP-50", delete_mcp=lambda self, request: Response(200))
mcp_defect("404 for DELETE", "MCP-50", delete_mcp=lambda self, request: json_response(404, {"detail": "Not Found"}))

# Messages


def _get(response: Callable[[], Response]) -> Any:
    """Routes with another GET."""

    def routes(self: Streamable) -> dict[str, dict[str, Any]]:
        found = Streamable.routes(self)
        found["/mcp"] |= {"GET": lambda request: response()}
        return found

    return routes


def _outcomes(method: str, outcome: Frame) -> Any:
    """A method `outcome` that answers one method otherwise."""
    return lambda self, env, asked, params: outcome if asked == method else Streamable.outcome(self, env, asked, params)


def _streamed(change: Callable[[Frame, Response], Response | None], base: type[Streamable] = Streamable) -> Any:
    """A method `stream_response` whose HTTP response is changed by `change(message, response)`; None is as is."""

    def stream_response(self: Streamable, request: Request, message: Frame) -> Response:
        response = base.stream_response(self, request, message)
        return change(message, response) or response

    return stream_response


def _plain(message: Frame, response: Response) -> Response | None:
    return Response(200, response.body, {"Content-Type": "text/plain"}) if message["id"] == 2 else None


def _as_batch(message: Frame, response: Response) -> Response | None:
    return json_response(200, [message]) if message["id"] == "three" else None


def _again(message: Frame, response: Response) -> Response | None:
    return Response(200, response.body * 2, response.headers) if message["id"] == 20 else None


def _string_ids(self: Streamable, response: Frame) -> Frame:
    return {**response, "id": "2"} if response["id"] == 2 else response


def _never_foreign(self: Healthy, request: Request) -> Response | None:
    return None if request.path == "/mcp" else Healthy.guard(self, request)


def _wants_version(self: Streamable, version: str | None) -> bool:
    return version in self.revisions


mcp_defect("GET is JSON", "MCP-51", routes=_get(lambda: json_response(200, {})))
mcp_defect("GET is not found", "MCP-51", routes=_get(lambda: json_response(404, {"detail": "Not Found"})))
mcp_defect("200 for a notification", "MCP-52", accepted=lambda self: Response(200))
mcp_defect(
    "a notification has a body",
    "MCP-52",
    accepted=lambda self: Response(202, b"accepted", {"Content-Type": "text/plain"}),
)

mcp_defect("responses are text/plain", "MCP-53", "HTTP-5", stream_response=_streamed(_plain))
mcp_defect("responses are batches", "MCP-53", "HTTP-17", stream_response=_streamed(_as_batch))
mcp_defect("a stream has a response twice", "MCP-53", base=Streaming, stream_response=_streamed(_again, Streaming))
mcp_defect("ids of MCP become strings", "MCP-53", "MCP-58", alter_stream=_string_ids)
mcp_defect("Accept does not matter", "MCP-54", acceptable=lambda self, accept: True)
mcp_defect("any MCP-Protocol-Version", "MCP-55", speaks=lambda self, version: True)
mcp_defect("wants MCP-Protocol-Version", "MCP-56", speaks=_wants_version)
mcp_defect("foreign pages may speak MCP", "MCP-57", "SEC-4", guard=_never_foreign)
mcp_defect("ping says pong", "MCP-58", outcome=_outcomes("ping", {"result": {"pong": True}}))
mcp_defect("-32602 for an unknown method of MCP", "MCP-59", outcome=_outcomes(
    "no/such/method", {"error": {"code": -32602, "message": "Invalid request parameters"}}))  # fmt: skip

# Tools


def _page(change: Change) -> Any:
    """A method `list_page` whose page is changed."""
    return lambda self, env, cursor: change(Streamable.list_page(self, env, cursor))


def _schemas(change: Change) -> Any:
    return _page(lambda page: {**page, "tools": [change(tool) for tool in page["tools"]]})


def _snake(tool: Frame) -> Frame:
    return {("input_schema" if key == "inputSchema" else key): value for key, value in tool.items()}


def _untyped(tool: Frame) -> Frame:
    return {**tool, "inputSchema": {} if tool["name"] == "fail" else tool["inputSchema"]}


def _misspelt(tool: Frame) -> Frame:
    return {**tool, "inputSchema": {**tool["inputSchema"], "properties": {"a": {"type": "int"}}}}


def _call_result(change: Callable[[Frame, Frame], Frame]) -> Any:
    """A method `call_result` whose result is changed by `change(params, result)`."""

    def call_result(self: Streamable, env: Workshop, params: Frame) -> Frame:
        return change(params, Streamable.call_result(self, env, params))

    return call_result


def _one_page_for_ever(self: Streamable, env: Workshop, cursor: str | None) -> Frame:
    return Streamable.list_page(self, env, None)


mcp_defect("inputSchema in snake case", "MCP-60", list_page=_schemas(_snake))
mcp_defect("an inputSchema without type", "MCP-60", list_page=_schemas(_untyped))
mcp_defect("an inputSchema that is none", "MCP-60", list_page=_schemas(_misspelt))
mcp_defect("a cursor is a number", "MCP-61", list_page=_page(
    lambda page: {**page, "nextCursor": int(page["nextCursor"])} if "nextCursor" in page else page))  # fmt: skip
mcp_defect("the last cursor is null", "MCP-61", list_page=_page(lambda page: {"nextCursor": None, **page}))
mcp_defect("a cursor leads nowhere", "MCP-61", list_page=_one_page_for_ever)
mcp_defect("a tool of MCP named step", "MCP-62", list_page=_page(lambda page: page if "nextCursor" in page else {
    "tools": [*page["tools"], {"name": "step", "description": "", "inputSchema": {"type": "object"}}]}))  # fmt: skip
mcp_defect("content is a text", "MCP-63", call_result=_call_result(lambda params, it: {**it, "content": "3"}))
mcp_defect("isError is a text", "MCP-63", call_result=_call_result(
    lambda params, it: it if it["isError"] else {**it, "isError": "no"}))  # fmt: skip
mcp_defect("content without types", "MCP-63", call_result=_call_result(
    lambda params, it: {**it, "content": [{"text": part["text"]} for part in it["content"]]}))  # fmt: skip
mcp_defect("a failed call is no error", "MCP-64", call_result=_call_result(lambda params, it: {**it, "isError": False}))
mcp_defect("an unknown tool is no error", "MCP-64", call_result=_call_result(
    lambda params, it: {**it, "isError": False} if params["name"] == "no_such_tool" else it))  # fmt: skip
mcp_defect("a call of MCP shows done", "MCP-65", call_result=_call_result(
    lambda params, it: {**it, "structuredContent": {"value": 3, "done": False}}))  # fmt: skip
