"""Section 10.1 of the specification: JSON-RPC requests and responses, on every door that the server has for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from conformance.checks import check
from conformance.evidence import Exchange, Socket
from conformance.recorder import parsed
from conformance.scenarios.mcp import ON_SOCKETS, REQUESTS, RESERVED
from conformance.view import Broken, Missing, NotApplicable, View, expect, short

ABSENT = (404, 405)
"""Statuses by which a server says that it has no `POST /mcp`."""
SHOWN = 3
"""Places that a check of every response shows where all is well."""


class Answer(NamedTuple):
    """A JSON-RPC response, and where it stands: a conversation, and an event in it on a WebSocket."""

    conversation: str
    event: int | None
    response: Any


# What the evidence says


def posted(view: View, name: str) -> dict[str, Any]:
    """The JSON object that a request to `POST /mcp` was answered with. Raises `Broken`."""
    exchange = view.exchange(name)
    response = parsed(exchange.body)
    body = short(exchange.body.decode(errors="replace"))
    expect(isinstance(response, dict), f"POST /mcp is answered {exchange.status} without a JSON object: {body}")
    return dict(response)


def has_socket(view: View) -> bool:
    """Whether `WS /mcp` is served: the server says so in the handshake. Raises `Missing` where it says nothing."""
    socket = view.any_socket("mcp.socket")
    if not socket.status:
        raise Missing(f"the handshake at {socket.path} was not answered: {socket.error}")
    return socket.is_open


def asked(view: View, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The responses to one of `REQUESTS` on every door, each with words for the door."""
    yield "POST /mcp", posted(view, f"mcp.post.{name}")
    if name in ON_SOCKETS:
        yield "an `mcp` frame", view.ask("mcp.frames", name).data
    if name in ON_SOCKETS and has_socket(view):
        response = view.ask("mcp.socket", name).frame
        expect(isinstance(response, dict), f"WS /mcp answers with no JSON object: {short(response)}")
        yield "WS /mcp", response


def group(name: str) -> list[str]:
    """The names of `REQUESTS` whose first part is this."""
    return [it for it in REQUESTS if it.partition(".")[0] == name]


def code_of(response: Any) -> Any:
    """The code of an error response, None where it is none."""
    error = response.get("error") if isinstance(response, dict) else None
    return error.get("code") if isinstance(error, dict) else None


def expect_code(name: str, door: str, response: dict[str, Any], code: int) -> None:
    """Raise `Broken` unless the response is an error of this code."""
    expect(code_of(response) == code, f"`{name}` by {door} is answered {short(response)}, expected the error {code}")


def posts(view: View) -> list[Exchange]:
    """The requests to `POST /mcp` outside MCP sessions. Raises `Missing` where none was answered."""
    found = [it for it in view.evidence.exchanges() if it.status and it.name.startswith("mcp.") and not _is_mcp(it)]
    if not found:
        raise Missing(f"no request to POST /mcp was answered: {view.fact('stopped') or 'nothing was recorded'}")
    return found


def _is_mcp(exchange: Exchange) -> bool:
    return exchange.name.startswith("mcp.http.")


def responses(view: View) -> Iterator[Answer]:
    """Every JSON-RPC response on every door."""
    for exchange in posts(view):
        if exchange.status == 200:
            yield Answer(exchange.name, None, parsed(exchange.body))
    for socket in view.evidence.sockets():
        if socket.is_open and socket.name.startswith("mcp."):
            yield from _on_socket(socket)


def _on_socket(socket: Socket) -> Iterator[Answer]:
    bare = socket.path.partition("?")[0].endswith("/mcp")
    for index, event in socket.received():
        message = parsed(event.payload)
        if isinstance(message, dict) and "method" in message:  # no response, and judged as MCP-30
            continue
        if bare:
            yield Answer(socket.name, index, message)
        elif isinstance(message, dict) and message.get("type") == "mcp":
            yield Answer(socket.name, index, message.get("data"))


def judge(view: View, answers: Iterable[Answer], wrong: Callable[[Any], str | None]) -> None:
    """Raise `Broken` with what is wrong with the first response that has something wrong, `Missing` without any."""
    some = False
    for answer in answers:
        words = wrong(answer.response)
        if words:
            view.trail.clear()
        if words or len(view.trail) < SHOWN:
            view.look(answer.conversation, answer.event)
        if words:
            raise Broken(f"{words}: {short(answer.response)}")
        some = True
    if not some:
        raise Missing("no JSON-RPC response was received")


# Requests and responses


@check("MCP-1")
def status_200(view: View) -> None:
    unbuildable = "FACTORY_ERROR" in str(view.fact("stopped"))
    for exchange in posts(view):
        if exchange.status != 200 and not (unbuildable and exchange.status == 500):
            view.look(exchange.name)
            sent = short(exchange.sent.decode(errors="replace"))
            raise Broken(f"POST /mcp with {sent} is answered {exchange.status}, expected 200")
    for exchange in posts(view)[:SHOWN]:
        view.look(exchange.name)


@check("MCP-2")
def envelope(view: View) -> None:
    def wrong(response: Any) -> str | None:
        if not isinstance(response, dict):
            return "a response is no object"
        if response.get("jsonrpc") != "2.0":
            return 'a response has no `jsonrpc` "2.0"'
        if "id" not in response:
            return "a response has no `id`"
        return None if ("result" in response) != ("error" in response) else "not exactly one of `result` and `error`"

    judge(view, responses(view), wrong)


@check("MCP-3")
def error_object(view: View) -> None:
    def wrong(response: Any) -> str | None:
        error = response["error"]
        if not isinstance(error, dict):
            return "`error` is no object"
        if type(error.get("code")) is not int:
            return "the `code` of an error is no integer"
        if not isinstance(error.get("message"), str):
            return "the `message` of an error is no string"
        return None if "data" in error else "an error has no `data`; null says that there is none"

    judge(view, (it for it in responses(view) if isinstance(it.response, dict) and "error" in it.response), wrong)


@check("MCP-4")
def id_echoed(view: View) -> None:
    for name in group("id"):
        wanted = REQUESTS[name]["id"]
        for door, response in asked(view, name):
            same = "id" in response and response["id"] == wanted and type(response["id"]) is type(wanted)
            expect(same, f"the id {wanted!r} comes back by {door} as {short(response.get('id', 'nothing'))}")


@check("MCP-5")
def id_absent(view: View) -> None:
    for name in group("absent"):
        for door, response in asked(view, name):
            null = "id" in response and response["id"] is None
            expect(null, f'a request without id is answered by {door} with {short(response)}, expected `"id":null`')


@check("MCP-6")
def parse_error(view: View) -> None:
    for name in group("text"):
        for door, response in asked(view, name):
            expect_code(name, door, response, -32700)
            expect(response.get("id") is None, f"the answer to no JSON object has the id {short(response.get('id'))}")


@check("MCP-7")
def invalid_request(view: View) -> None:
    for name in group("form"):
        for door, response in asked(view, name):
            expect_code(name, door, response, -32600)


@check("MCP-8")
def unknown_method(view: View) -> None:
    for name in group("method"):
        for door, response in asked(view, name):
            expect_code(str(REQUESTS[name]["method"]), door, response, -32601)


@check("MCP-9")
def call_without_name(view: View) -> None:
    for door, response in asked(view, "nameless"):
        expect_code("tools/call without name", door, response, -32602)


@check("MCP-12")
def no_tools(view: View) -> None:
    if "result" in posted(view, "mcp.post.list"):
        raise NotApplicable("the environment has tools")
    for name in ("list", "call"):
        for door, response in asked(view, name):
            expect_code(str(REQUESTS[name]["method"]), door, response, -32603)


@check("MCP-15")
def no_control_methods(view: View) -> None:
    for name in RESERVED:
        for door, response in asked(view, f"reserved.{name}"):
            refused = "result" not in response and "error" in response
            expect(refused, f"the method `{name}` is accepted by {door}: {short(response)}")


@check("MCP-35")
def streamable_besides(view: View) -> str:
    code = code_of(parsed(view.exchange("mcp.http.initialize").body))
    return "MCP Streamable HTTP is not spoken" if code == -32601 else "`initialize` is answered: see section 10.6"
