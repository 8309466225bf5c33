"""Sections 10.2 and 10.5 of the specification: lists and calls of tools, and tools through step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from conformance.checks import check
from conformance.checks.mcp import ABSENT, asked, code_of, posted
from conformance.recorder import parsed
from conformance.scenarios.mcp import RESERVED, input_schema, takes_call_tool
from conformance.view import Broken, Missing, NotApplicable, Reply, View, expect, short

ERROR_TYPES = ("execution_error", "invalid_args", "transport_error", "tool_not_found", "timeout")


def tools_of(view: View) -> list[Any]:
    """The tools that `POST /mcp` lists. Raises `NotApplicable` where the server says that there are none."""
    exchange = view.exchange("mcp.post.list")
    if exchange.status in ABSENT:
        raise NotApplicable(f"the server has no POST /mcp ({exchange.status})")
    response = posted(view, "mcp.post.list")
    if code_of(response) in (-32603, -32601):  # the second is wrong, and judged as MCP-12
        raise NotApplicable(f"the environment has no tools: {short(response['error'].get('message'))}")
    result = response.get("result")
    tools = result.get("tools") if isinstance(result, dict) else None
    expect(
        isinstance(tools, list), f"tools/list is answered {short(response)}, expected a result with an array `tools`"
    )
    return list(tools or ())


def failed(response: Any) -> bool:
    """Whether a response to a call reports a failure, as an error or inside the result."""
    result = response.get("result") if isinstance(response, dict) else None
    if not isinstance(result, dict):
        return code_of(response) is not None
    return result.get("error") is not None or result.get("isError") is True or result.get("is_error") is True


def _calls(view: View) -> Iterator[Any]:
    """The responses to calls without a session."""
    tools_of(view)
    called = [it for it in view.evidence.exchanges() if it.status and it.name.startswith("mcp.call.")]
    if not called:
        raise Missing("no tool was called: `tools/list` names none")
    for exchange in called:
        view.look(exchange.name)
        yield parsed(exchange.body)


@check("MCP-11")
def failed_call(view: View) -> None:
    tools_of(view)
    for door, response in asked(view, "call"):
        expect(failed(response), f"a call of an unknown tool by {door} is answered {short(response)}")
        _right_code(response)
    if "mcp.tools.unfit" in view.evidence.conversations:
        _right_code(posted(view, "mcp.tools.unfit"))
    for response in _calls(view):
        _right_code(response)


def _right_code(response: Any) -> None:
    code = code_of(response)
    expect(code in (None, -32603), f"a call that fails is answered with the error {code}, expected -32603")


@check("MCP-16")
def tool_shape(view: View) -> None:
    for tool in tools_of(view):
        expect(isinstance(tool, dict) and isinstance(tool.get("name"), str), f"a tool has no name: {short(tool)}")
        schema = input_schema(tool)
        expect(isinstance(schema, dict), f"the tool {tool['name']!r} has the input schema {short(schema)}, no object")


@check("MCP-17")
def tool_description(view: View) -> None:
    bad = [it.get("name") for it in tools_of(view) if not isinstance(it.get("description"), str)]
    expect(not bad, f"the description of {', '.join(map(repr, bad))} is no string")


@check("MCP-18")
def no_reserved_tools(view: View) -> None:
    bad = [it["name"] for it in tools_of(view) if it["name"] in RESERVED]
    expect(not bad, f"there are tools named {', '.join(map(repr, bad))}")


@check("MCP-19")
def call_without_arguments(view: View) -> None:
    if not tools_of(view):
        raise NotApplicable("the environment lists no tools")
    bare, empty = posted(view, "mcp.tools.bare"), posted(view, "mcp.tools.empty")
    same = (failed(bare), code_of(bare)) == (failed(empty), code_of(empty))
    expect(same, f"without arguments a call is answered {short(bare)}, with {{}} {short(empty)}")


@check("MCP-20")
def reward_hidden(view: View) -> None:
    if not tools_of(view):
        raise NotApplicable("the environment lists no tools")
    for response in _calls(view):
        result = response.get("result") if isinstance(response, dict) else None
        shown = [key for key in ("reward", "done") if isinstance(result, dict) and key in result]
        expect(not shown, f"the result of a call shows {' and '.join(shown)}: {short(result)}")


# Tools through step


def _step(view: View, label: str) -> Reply:
    """The reply to a step with a tool. Raises `NotApplicable` where the action schema has none."""
    if not takes_call_tool(view.schema):
        raise NotApplicable("the action schema does not describe `call_tool`: no tool environment")
    return view.ask("mcp.step", label)


def _called(view: View) -> list[dict[str, Any]]:
    """The observations of calls through step. Raises `Missing` where there are none."""
    _step(view, "unknown")
    labels = [
        it.label for it in view.socket("mcp.step").events if it.label == "unknown" or it.label.startswith("call.")
    ]
    found = [reply.observation for reply in (view.ask("mcp.step", it) for it in labels) if reply.code is None]
    if not found:
        raise Missing("no call of a tool was answered with an observation")
    return found


def _listed(view: View) -> list[Any]:
    tools = _step(view, "list_again").observation.get("tools")
    expect(isinstance(tools, list), f"`list_tools` is answered with `tools` {short(tools)}, no array")
    return list(tools or ())


@check("MCP-37")
def list_before_reset(view: View) -> None:
    _step(view, "list").expect_type("observation")


@check("MCP-38")
def list_observation(view: View) -> None:
    for tool in _listed(view):
        missing = [
            key for key in ("name", "description", "input_schema") if not isinstance(tool, dict) or key not in tool
        ]
        expect(not missing, f"a tool of `list_tools` has no {' and no '.join(missing)}: {short(tool)}")


@check("MCP-39")
def same_names(view: View) -> None:
    listed, named = [{str(it.get("name")) for it in tools} for tools in (_listed(view), tools_of(view))]
    expect(listed == named, f"`list_tools` lists {sorted(listed)}, tools/list {sorted(named)}")


@check("MCP-40")
def call_observation(view: View) -> None:
    for observation in _called(view):
        missing = [key for key in ("tool_name", "result", "error") if key not in observation]
        expect(not missing, f"the observation of a call has no {' and no '.join(missing)}: {short(observation)}")


@check("MCP-41")
def call_error(view: View) -> None:
    reply = _step(view, "unknown")
    error = reply.observation.get("error")
    texts = isinstance(error, dict) and all(isinstance(error.get(key), str) for key in ("error_type", "message"))
    expect(texts, f"the call of an unknown tool is answered with `error` {short(error)}")


@check("MCP-42")
def error_types(view: View) -> None:
    for observation in _called(view):
        error = observation.get("error")
        if isinstance(error, dict) and "error_type" in error and error.get("error_type") not in ERROR_TYPES:
            raise Broken(f"the error type {short(error.get('error_type'))} is none of {', '.join(ERROR_TYPES)}")


@check("MCP-43")
def step_without_arguments(view: View) -> None:
    _step(view, "bare").expect_type("observation")
