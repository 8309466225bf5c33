"""Section 10.6 of the specification: MCP Streamable HTTP at `/mcp`."""

from __future__ import annotations

import re
from typing import Any

from jsonschema import Draft202012Validator, SchemaError
from jsonschema.validators import validator_for

from conformance.checks import check
from conformance.checks.mcp import ABSENT, code_of
from conformance.evidence import Exchange
from conformance.recorder import parsed
from conformance.scenarios.mcp import RESERVED
from conformance.scenarios.mcp_streamable import (
    EVENTS,
    JSON,
    NO_REVISION,
    SESSION,
    messages,
    response_of,
    result_of,
)
from conformance.view import Broken, Missing, NotApplicable, View, expect, short


def _opened(view: View) -> Exchange:
    """The request `initialize`. Raises `NotApplicable` where the server says that it does not know it."""
    exchange = view.exchange("mcp.http.initialize")
    if exchange.status in ABSENT:
        raise NotApplicable(f"the server has no POST /mcp ({exchange.status})")
    if code_of(parsed(exchange.body)) == -32601:
        raise NotApplicable("the server has no MCP Streamable HTTP: it does not know `initialize`")
    return exchange


def _result(view: View) -> dict[str, Any]:
    """The result of `initialize`. Raises `Missing` where it is none."""
    exchange = _opened(view)
    result = result_of(exchange)
    if not result:
        raise Missing(f"`initialize` is answered {_seen(exchange)}, without a result")
    return result


def _session(view: View) -> str:
    """The session id. Raises `NotApplicable` where the server assigns none."""
    _result(view)
    id = _opened(view).header(SESSION)
    if id is None:
        raise NotApplicable("the server assigns no session ids")
    return id


def _exchange(view: View, name: str) -> Exchange:
    """A request of the MCP session."""
    _result(view)
    return view.exchange(f"mcp.http.{name}")


def _exchanges(view: View, prefix: str) -> list[Exchange]:
    """The requests whose names begin so. Raises `Missing` where there are none."""
    _result(view)
    begin = f"mcp.http.{prefix}."
    found = [view.exchange(it.name) for it in view.evidence.exchanges() if it.name.startswith(begin)]
    if not found:
        raise Missing(f"nothing was recorded as `{begin}...`: {view.fact('stopped') or 'the run did not get there'}")
    return found


def _seen(exchange: Exchange) -> str:
    return f"{exchange.status}: {short(exchange.body.decode(errors='replace'))}"


def _expect_status(exchange: Exchange, status: int, what: str) -> None:
    expect(exchange.status == status, f"{what} is answered {_seen(exchange)}; expected {status}")


def _pages(view: View) -> list[dict[str, Any]]:
    """The pages of tools. Raises `NotApplicable` where the server says that it has none."""
    pages = _exchanges(view, "list")
    if code_of(response_of(pages[0])) == -32601:
        raise NotApplicable("the server has no tools: it does not know `tools/list`")
    expect(isinstance(result_of(pages[0]).get("tools"), list), f"`tools/list` is answered {_seen(pages[0])}")
    return [result_of(page) for page in pages]


def _tools(view: View) -> list[Any]:
    tools = [tool for page in _pages(view) for tool in page.get("tools", ())]
    if not tools:
        raise NotApplicable("the server lists no tools")
    return tools


def _calls(view: View) -> list[Exchange]:
    _tools(view)
    return _exchanges(view, "call")


# The session


@check("MCP-44")
def initialize(view: View) -> None:
    exchange = _opened(view)
    result = result_of(exchange)
    expect(result, f"`initialize` is answered {_seen(exchange)}, without a result")
    expect(isinstance(result.get("protocolVersion"), str), f"`protocolVersion` is no string: {short(result)}")
    expect(isinstance(result.get("capabilities"), dict), f"`capabilities` is no object: {short(result)}")
    info = result.get("serverInfo")
    texts = isinstance(info, dict) and all(isinstance(info.get(key), str) for key in ("name", "version"))
    expect(texts, f"`serverInfo` is {short(info)}, expected an object with the strings name and version")


@check("MCP-45")
def versions(view: View) -> None:
    offered: dict[Any, Any] = {"2025-06-18": _result(view).get("protocolVersion")}
    for exchange in _exchanges(view, "version"):
        asked = parsed(exchange.sent)["params"]["protocolVersion"] if exchange.method == "POST" else None
        if asked is not None:
            expect(result_of(exchange), f"`initialize` for {asked} is answered {_seen(exchange)}, without a result")
            offered[asked] = result_of(exchange).get("protocolVersion")
    if NO_REVISION not in offered:
        raise Missing("no revision was asked for that does not exist")
    expect(offered[NO_REVISION] != NO_REVISION, f"the server claims the revision {NO_REVISION}, which does not exist")
    for asked, version in offered.items():
        honest = offered.get(version, version) == version
        expect(honest, f"asked for {asked} the server offers {version}; asked for that, {offered.get(version)}")


@check("MCP-46")
def tools_capability(view: View) -> None:
    _tools(view)
    declared = _result(view)["capabilities"]
    expect(isinstance(declared.get("tools"), dict), f"tools are listed, and `capabilities` are {short(declared)}")


@check("MCP-47")
def visible_id(view: View) -> None:
    id = _session(view)
    expect(re.fullmatch(r"[\x21-\x7e]+", id), f"the session id {id!r} has characters outside 0x21 to 0x7E")


@check("MCP-48")
def unknown_session(view: View) -> None:
    _session(view)
    _expect_status(_exchange(view, "unknown_session"), 404, "an unknown session id")


@check("MCP-49")
def no_session(view: View) -> None:
    _session(view)
    _expect_status(_exchange(view, "no_session"), 400, "a request without the session id")


@check("MCP-50")
def delete(view: View) -> str:
    _session(view)
    deleted = _exchange(view, "delete")
    if deleted.status == 405:
        return "clients cannot end sessions (405)"
    expect(200 <= deleted.status < 300, f"DELETE is answered {_seen(deleted)}; expected 2xx or 405")
    _expect_status(_exchange(view, "deleted"), 404, "the id of a session that was deleted")
    return f"answered {deleted.status}"


# Messages


@check("MCP-51")
def stream(view: View) -> str:
    got = _exchange(view, "get")
    if got.status == 405:
        return "no event stream (405)"
    kind = _kind(got)
    expect(
        got.status == 200 and kind == EVENTS, f"GET is answered {got.status} with {kind!r}; expected {EVENTS} or 405"
    )
    return "an event stream"


@check("MCP-52")
def notification(view: View) -> None:
    exchange = _exchange(view, "initialized")
    _expect_status(exchange, 202, "a notification")
    expect(not exchange.body, f"a notification is answered with a body: {_seen(exchange)}")


@check("MCP-53")
def one_response(view: View) -> None:
    for name in ("ping", "string_id", "list.0"):
        exchange = _exchange(view, name)
        kind, id = _kind(exchange), parsed(exchange.sent)["id"]
        expect(
            kind in (JSON, EVENTS), f"a request is answered with the content type {kind!r}; expected {JSON} or {EVENTS}"
        )
        responses = [it for it in messages(exchange) if isinstance(it, dict) and "method" not in it]
        expect(len(responses) == 1, f"a request has {len(responses)} responses: {_seen(exchange)}")
        good = responses[0].get("jsonrpc") == "2.0" and ("result" in responses[0]) != ("error" in responses[0])
        expect(good, f"a response is none of JSON-RPC 2.0: {short(responses[0])}")
        same = responses[0].get("id") == id and type(responses[0].get("id")) is type(id)
        expect(same, f"the response to {id!r} has the id {short(responses[0].get('id'))}")


def _kind(exchange: Exchange) -> str:
    return (exchange.header("Content-Type") or "").partition(";")[0].strip().lower()


@check("MCP-54")
def not_acceptable(view: View) -> None:
    _expect_status(_exchange(view, "accept"), 406, "a POST that accepts only text/html")


@check("MCP-55")
def bad_version(view: View) -> None:
    if str(_result(view).get("protocolVersion")) < "2025-06-18":
        raise NotApplicable("the header MCP-Protocol-Version came with 2025-06-18, which the server does not speak")
    _expect_status(_exchange(view, "bad_version"), 400, f"MCP-Protocol-Version {NO_REVISION}")


@check("MCP-56")
def no_version(view: View) -> None:
    exchange = _exchange(view, "no_version")
    expect("result" in response_of(exchange), f"a ping without MCP-Protocol-Version is answered {_seen(exchange)}")


@check("MCP-57")
def foreign_origin(view: View) -> None:
    _expect_status(_exchange(view, "origin"), 403, "a POST with a foreign Origin")


@check("MCP-58")
def ping(view: View) -> None:
    exchange = _exchange(view, "ping")
    result = response_of(exchange).get("result")
    empty = isinstance(result, dict) and not result.keys() - {"_meta"}
    expect(empty, f"`ping` is answered {_seen(exchange)}; expected the result {{}}")


@check("MCP-59")
def unknown_method(view: View) -> None:
    code = code_of(response_of(_exchange(view, "unknown")))
    expect(code == -32601, f"an unknown method is answered with the error {code}; expected -32601")


# Tools


@check("MCP-60")
def tool_shape(view: View) -> None:
    for tool in _tools(view):
        expect(isinstance(tool, dict) and isinstance(tool.get("name"), str), f"a tool has no name: {short(tool)}")
        schema = tool.get("inputSchema")
        good = isinstance(schema, dict) and schema.get("type") == "object"
        expect(
            good, f"the tool {tool['name']!r} has the inputSchema {short(schema)}; expected an object of type object"
        )
        try:
            validator_for(schema, default=Draft202012Validator).check_schema(schema)
        except SchemaError as exc:
            raise Broken(f"the inputSchema of {tool['name']!r} is no JSON Schema: {exc.message}") from None


@check("MCP-61")
def cursors(view: View) -> str:
    pages = _pages(view)
    for page in pages:
        expect(isinstance(page.get("tools"), list), "the cursor of a page is answered without tools")
        cursor = page.get("nextCursor", "")
        expect(isinstance(cursor, str), f"`nextCursor` is {short(cursor)}, no string")
    names = [short(tool) for page in pages for tool in page["tools"]]
    twice = next((name for name in names if names.count(name) > 1), None)
    expect(len(pages) == 1 or twice is None, f"a tool is on two pages, so the cursor does not go on: {twice}")
    return f"{len(pages)} page{'s' if len(pages) > 1 else ''}"


@check("MCP-62")
def no_reserved_tools(view: View) -> None:
    bad = [it["name"] for it in _tools(view) if it["name"] in RESERVED]
    expect(not bad, f"there are tools named {', '.join(map(repr, bad))}")


@check("MCP-63")
def call_result(view: View) -> None:
    for exchange in _calls(view):
        response = response_of(exchange)
        if "error" in response:
            continue
        result = response.get("result")
        expect(isinstance(result, dict), f"a call is answered {_seen(exchange)}, without a result")
        content = result.get("content") if isinstance(result, dict) else None
        items = isinstance(content, list) and all(
            isinstance(it, dict) and isinstance(it.get("type"), str) for it in content
        )
        expect(items, f"the `content` of a call is {short(content)}; expected an array of objects with a type")
        flag = result_of(exchange).get("isError", False)
        expect(isinstance(flag, bool), f"the `isError` of a call is {short(flag)}, no boolean")


@check("MCP-64")
def failed_call(view: View) -> None:
    _tools(view)
    for exchange in _exchanges(view, "fail"):
        response = response_of(exchange)
        reported = "error" in response or result_of(exchange).get("isError") is True
        expect(reported, f"{short(exchange.sent.decode())} is answered like a success: {_seen(exchange)}")


@check("MCP-65")
def reward_hidden(view: View) -> None:
    for exchange in _calls(view):
        result = result_of(exchange)
        for part in (result, result.get("structuredContent")):
            shown = [key for key in ("reward", "done") if isinstance(part, dict) and key in part]
            expect(not shown, f"the result of a call shows {' and '.join(shown)}: {short(part)}")
