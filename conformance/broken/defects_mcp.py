"""Defects of sections 10.1, 10.2 and 10.5: JSON-RPC, tools, and tools through step."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from conformance.broken import defect
from conformance.broken.healthy import Frame, Healthy, RpcError, Session, json_response, parse, rpc_error
from conformance.broken.tools import CALLS, Arguments, CallTool, Failed, Tools, Workshop
from conformance.broken.wire import Request, Response

Change = Callable[[Frame, Frame], Frame | None]


def tool_defect(name: str, *ids: str, **more: Any) -> None:
    """A defect of the tool environment."""
    defect(name, *ids, base=Tools, inputs=CALLS, **more)


def _rpc(change: Change) -> Any:
    """A method `rpc` whose response is changed by `change(request, response)`; None is as is."""

    def rpc(self: Healthy, request: Frame, session: Session | None) -> Frame:
        response = Healthy.rpc(self, request, session)
        changed = change(request, response)
        return response if changed is None else changed

    return rpc


def _on_socket(change: Change) -> Any:
    """The same on `WS /mcp` alone."""

    def answer_rpc(self: Tools, session: Session, request: Any) -> Frame:
        response = Tools.answer_rpc(self, session, request)
        changed = change(request, response) if isinstance(request, dict) else None
        return response if changed is None else changed

    return answer_rpc


def in_frames(change: Change) -> Any:
    """The same in `mcp` frames alone."""

    def on_mcp(self: Healthy, session: Session, frame: Frame) -> Frame:
        reply = Healthy.on_mcp(self, session, frame)
        changed = change(frame["data"], reply["data"])
        return reply if changed is None else {"type": "mcp", "data": changed}

    return on_mcp


def _posted(change: Callable[[Request, Any], Any]) -> Any:
    """A method `post_mcp` that answers what `change(request, message)` returns, unless that is None."""

    def post_mcp(self: Healthy, request: Request) -> Response:
        document = change(request, parse(request.body, True))
        return Healthy.post_mcp(self, request) if document is None else json_response(200, document)

    return post_mcp


def _code(old: int, new: int, method: str = "") -> Change:
    """Change the code of an error."""

    def change(request: Frame, response: Frame) -> Frame | None:
        wrong = response.get("error", {}).get("code") == old and str(request.get("method")).startswith(method)
        return {**response, "error": {**response["error"], "code": new}} if wrong else None

    return change


def _id(change: Callable[[Any], Any]) -> Change:
    """Change the id of responses to requests that have one."""
    return lambda request, response: {**response, "id": change(request["id"])} if request.get("id") else None


def answered(method: str, result: Any) -> Change:
    """Answer a well-formed request of a method with a result."""

    def change(request: Frame, response: Frame) -> Frame | None:
        malformed = response.get("error", {}).get("code") == -32600
        ok = {"jsonrpc": "2.0", "id": request.get("id"), "result": result}
        return ok if request.get("method") == method and not malformed else None

    return change


def _without(key: str, *, beside: str) -> Change:
    """Take a member away from responses that have another one."""

    def change(request: Frame, response: Frame) -> Frame | None:
        return {k: v for k, v in response.items() if k != key} if beside in response else None

    return change


def _error(**members: Any) -> Change:
    """Replace members of errors; None takes one away."""

    def change(request: Frame, response: Frame) -> Frame | None:
        if "error" not in response:
            return None
        changed = {key: value for key, value in {**response["error"], **members}.items() if key not in gone}
        return {**response, "error": changed}

    gone = [key for key, value in members.items() if value is None]
    return change


def _list_params(request: Frame, response: Frame) -> Frame | None:
    return _code(-32600, -32602)(request, response) if isinstance(request.get("params"), list) else None


def _takes(wrong: Callable[[Frame], bool]) -> Any:
    """A method `is_request` that takes some malformed requests."""
    return lambda self, request: wrong(request) or Healthy.is_request(self, request)


def _status(code: int, status: int) -> Any:
    """A method `post_mcp` that answers an error with a status."""

    def post_mcp(self: Healthy, request: Request) -> Response:
        response = Healthy.post_mcp(self, request)
        if json.loads(response.body).get("error", {}).get("code") == code:
            response.status = status
        return response

    return post_mcp


# JSON-RPC

defect("400 for what is not JSON-RPC", "MCP-1", post_mcp=_status(-32700, 400))
tool_defect("404 for an unknown session_id", "MCP-1", post_mcp=_status(-32602, 404))
defect("JSON-RPC 2.0 as a number", "MCP-2", rpc=_rpc(lambda request, response: {**response, "jsonrpc": 2.0}))
defect("no jsonrpc in frames", "MCP-2", on_mcp=in_frames(_without("jsonrpc", beside="id")))
tool_defect("results without id on WS /mcp", "MCP-2", answer_rpc=_on_socket(_without("id", beside="result")))
defect("errors without data", "MCP-3", rpc=_rpc(_error(data=None)))
defect("messages of errors are objects", "MCP-3", on_mcp=in_frames(_error(message={"text": "no"})))
tool_defect("errors without message on WS /mcp", "MCP-3", answer_rpc=_on_socket(_error(message=None)))
defect("small ids become strings", "MCP-4", rpc=_rpc(_id(lambda id: str(id) if id == 7 else id)))
defect("ids lose digits", "MCP-4", "ENC-16", rpc=_rpc(_id(lambda id: int(float(id)) if isinstance(id, int) else id)))
tool_defect("ids become strings on WS /mcp", "MCP-4", answer_rpc=_on_socket(_id(str)))
defect("an absent id is 0", "MCP-5", rpc=_rpc(lambda request, r: {**r, "id": 0} if "id" not in request else None))
defect(
    "batches of one are taken", "MCP-6",
    post_mcp=_posted(lambda request, message: rpc_error(1, -32603, "no tools") if isinstance(message, list) else None),
)  # fmt: skip
defect(
    "-32600 for an empty body", "MCP-6",
    post_mcp=_posted(lambda request, message: None if request.body else rpc_error(None, -32600, "Invalid request")),
)  # fmt: skip
defect(
    "parse errors have an id", "MCP-6",
    post_mcp=_posted(lambda request, message: rpc_error("?", -32700, "Parse error") if message is None else None),
)  # fmt: skip
defect("takes JSON-RPC 1.0", "MCP-7", is_request=_takes(lambda request: request.get("jsonrpc") == "1.0"))
defect("takes further members", "MCP-7", is_request=_takes(lambda request: "extra" in request))
defect("-32602 for params that are no object", "MCP-7", rpc=_rpc(_list_params))
defect("-32602 for an unknown method", "MCP-8", rpc=_rpc(_code(-32601, -32602, "tools/")))
tool_defect("unknown methods are fine on WS /mcp", "MCP-8", answer_rpc=_on_socket(answered("tools/no_such_method", {})))
defect("-32603 for a call without name", "MCP-9", rpc=_rpc(_code(-32602, -32603)))
defect("-32601 where there are no tools", "MCP-12", rpc=_rpc(_code(-32603, -32601)))
defect("an empty list in frames without tools", "MCP-12", on_mcp=in_frames(answered("tools/list", {"tools": []})))
defect("reset by JSON-RPC", "MCP-15", rpc=_rpc(answered("reset", {})))
defect("close by JSON-RPC in frames", "MCP-15", on_mcp=in_frames(answered("close", None)))

# Tools


def _each(change: Callable[[Frame], Frame]) -> Any:
    """A method `list_tools` each of whose tools is changed."""
    return lambda self, env: [change(tool) for tool in Tools.list_tools(self, env)]


def _build(**members: Any) -> Any:
    """A method `build` of another workshop."""
    return lambda self: type("BrokenWorkshop", (Workshop,), members)()


def _call(change: Callable[[Workshop, str, Frame], Any]) -> Any:
    """A method `call_tool` that answers what `change(env, name, params)` returns, unless that is None."""

    def call_tool(self: Tools, env: Workshop, params: Frame) -> Any:
        changed = change(env, params["name"], params)
        return Tools.call_tool(self, env, params) if changed is None else changed

    return call_tool


def _succeeds(env: Workshop, name: str, params: Frame) -> Any:
    try:
        env.call(name, params.get("arguments", {}))
    except Failed as exc:
        return {"content": [{"type": "text", "text": str(exc)}], "data": None, "is_error": False}
    return None


def _wants_arguments(env: Workshop, name: str, params: Frame) -> None:
    if "arguments" not in params:
        raise RpcError(-32602, "Missing 'arguments' in params")


def _unfit(env: Workshop, name: str, params: Frame) -> None:
    if name == "add" and not isinstance(params.get("arguments", {}).get("a"), int):
        raise RpcError(-32602, "Invalid arguments")


tool_defect("a call that fails looks like a success", "MCP-11", call_tool=_call(_succeeds))
tool_defect("-32602 for unfit arguments", "MCP-11", call_tool=_call(_unfit))
tool_defect("-32000 for what a tool raises", "MCP-11", rpc=_rpc(_code(-32603, -32000, "tools/call")))
tool_defect("a tool without schema", "MCP-16", list_tools=_each(
    lambda tool: {k: v for k, v in tool.items() if k != "inputSchema" or tool["name"] != "fail"}))  # fmt: skip
tool_defect("null for a tool without description", "MCP-17",
            list_tools=_each(lambda tool: {**tool, "description": tool["description"] or None}))  # fmt: skip
tool_defect("a tool named reset", "MCP-18", build=_build(tools={**Workshop.tools, "reset": ("Again.", Arguments)}))
tool_defect("a call wants arguments", "MCP-19", call_tool=_call(_wants_arguments))
tool_defect("a call shows the reward", "MCP-20",
            tool_result=lambda self, value: {**Tools.tool_result(self, value), "reward": 1.0})  # fmt: skip

# Tools through step


def _step(change: Callable[[Frame, Frame], Frame]) -> Any:
    """A method `build` of a workshop whose observations are changed by `change(action, observation)`."""

    def step(self: Workshop, action: Frame) -> Frame:
        data = Workshop.step(self, action)
        data["observation"] = change(action, data["observation"])
        return data

    return _build(step=step)


def _list_after_reset(self: Workshop, action: Frame) -> Frame:
    if action["type"] == "list_tools" and self.state["episode_id"] is None:
        raise RuntimeError("reset first")
    return Workshop.step(self, action)


def _raises(self: Workshop, action: Frame) -> Frame:
    if action.get("tool_name") not in (None, *self.tools):
        raise KeyError(action["tool_name"])
    return Workshop.step(self, action)


def _listing(change: Callable[[Frame], Frame]) -> Any:
    """Change each tool of `list_tools`."""
    return _step(lambda action, seen: {**seen, "tools": [*map(change, seen["tools"])]} if "tools" in seen else seen)


def _failing(change: Callable[[Frame], Any]) -> Any:
    """Change the errors of calls."""
    return _step(lambda action, seen: {**seen, "error": change(seen["error"])} if seen.get("error") else seen)


def _camel(tool: Frame) -> Frame:
    return {("inputSchema" if key == "input_schema" else key): value for key, value in tool.items()}


def _only_described(tool: Frame) -> Frame:
    return {key: value for key, value in tool.items() if key != "description" or value}


def _only_errors(action: Frame, seen: Frame) -> Frame:
    return {key: value for key, value in seen.items() if key != "error" or value}


class WantsArguments(CallTool):
    """A call whose arguments must be there."""

    arguments: dict[str, Any]


tool_defect("list_tools wants a reset", "MCP-37", build=_build(step=_list_after_reset))
tool_defect("list_tools leaves descriptions out", "MCP-38", build=_listing(_only_described))
tool_defect("list_tools in camel case", "MCP-38", build=_listing(_camel))
tool_defect("list_tools hides a tool", "MCP-39", build=_step(
    lambda action, seen: {**seen, "tools": seen["tools"][:-1]} if "tools" in seen else seen))  # fmt: skip
tool_defect("a call without error has no `error`", "MCP-40", build=_step(_only_errors))
tool_defect("a step with an unknown tool raises", "MCP-41", build=_build(step=_raises))
tool_defect("the error of a call is of another form", "MCP-41", build=_failing(
    lambda error: {"code": error["error_type"], "message": error["message"]}))  # fmt: skip
tool_defect("error types of its own", "MCP-42", build=_failing(lambda error: {**error, "error_type": "not_found"}))
tool_defect("a step wants arguments", "MCP-43", action_model=WantsArguments)
