"""Sections 10.3 and 10.4 of the specification: sessions over HTTP, `mcp` frames and `WS /mcp`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from conformance.checks import check
from conformance.checks.mcp import ABSENT, code_of, expect_code, has_socket, posted
from conformance.checks.mcp_tools import tools_of
from conformance.evidence import Exchange, Socket
from conformance.recorder import parsed
from conformance.scenarios.mcp import session_id
from conformance.view import Broken, Missing, NotApplicable, Untested, View, expect, short

LIMITS = ("active_sessions", "max_sessions")


def _created(view: View, name: str = "mcp.attach.create") -> dict[str, Any]:
    """The response to a create. Raises `NotApplicable` where the server says that it has no sessions over HTTP."""
    exchange = view.exchange(name)
    if exchange.status in ABSENT:
        raise NotApplicable(f"the server has no POST /mcp ({exchange.status})")
    response = posted(view, name)
    if code_of(response) == -32601:
        raise NotApplicable("the server has no sessions over HTTP: it does not know openenv/session/create")
    return response


def _open(view: View, name: str = "mcp.socket") -> Socket:
    """A `WS /mcp`. Raises `NotApplicable` where the server refuses the handshake."""
    if not has_socket(view):
        raise NotApplicable(f"the server has no WS /mcp: it refuses the handshake ({view.any_socket(name).status})")
    return view.socket(name)


def _full(view: View) -> None:
    if view.fact("capacity") is None:
        raise Untested("no session was refused: the server allows more sessions than were opened")


def _expect_full(response: Any, what: str) -> None:
    error = response.get("error") if isinstance(response, dict) else None
    data = error.get("data") if isinstance(error, dict) else None
    expect(code_of(response) == -32000, f"{what} beyond the capacity is answered {short(response)}, expected -32000")
    numbers = isinstance(data, dict) and all(type(data.get(key)) is int for key in LIMITS)
    expect(
        numbers, f"{what} beyond the capacity has `data` {short(data)}, expected the integers {' and '.join(LIMITS)}"
    )


# Tools whose result depends on the calls before


def _results(view: View, prefix: str) -> dict[str, Any]:
    """The results of the calls of a conversation (a WebSocket, or HTTP requests that begin so), by label."""
    found = view.evidence.conversations.get(prefix)
    if isinstance(found, Socket):
        labels = [event.label for event in found.events if event.label.startswith("call.")]
        frames = {label: view.answer(prefix, label) for label in labels} if found.is_open else {}
        return {label: parsed(reply.event.payload) for label, reply in frames.items() if reply}
    begin = f"{prefix}.call."
    exchanges = [it for it in view.evidence.exchanges() if it.name.startswith(begin) and it.status]
    return {it.name.removeprefix(f"{prefix}."): parsed(it.body) for it in exchanges}


def _changes(results: dict[str, Any], number: int) -> bool:
    """Whether two equal calls had different results."""
    first, second = results.get(f"call.{number}.first"), results.get(f"call.{number}.second")
    return first is not None and second is not None and first != second


def _stateful(view: View) -> list[int]:
    """Calls whose result depends on the calls before: constant without a session, different in one, by any door.

    Raises `Untested` where no such call is known, `NotApplicable` where there are no tools.
    """
    if not tools_of(view):
        raise NotApplicable("the environment lists no tools")
    trail = list(view.trail)
    alone = _results(view, "mcp")
    doors = [_results(view, name) for name in ("mcp.tools.frames", "mcp.tools", "mcp.socket")]
    view.trail[:] = trail
    numbers = {int(label.split(".")[1]) for label in alone if label.split(".")[1].isdigit()}
    known = [it for it in sorted(numbers) if not _changes(alone, it) and any(_changes(door, it) for door in doors)]
    if not known:
        raise Untested(
            'no tool is known whose result depends on the calls before; give one as "calls" in --actions FILE'
        )
    return known


def _expect_kept(view: View, conversation: str) -> None:
    """Raise `Broken` unless the calls of a conversation see what the calls before did."""
    for number in _stateful(view):
        results = _results(view, conversation)
        if f"call.{number}.second" not in results:
            raise Missing(f"call {number} of a tool was not answered in `{conversation}`")
        same = short(results[f"call.{number}.first"])
        expect(_changes(results, number), f"the second of two calls does not see the first; both are answered {same}")


# Sessions over HTTP


@check("MCP-10")
def unknown_session(view: View) -> None:
    _created(view)
    for name in ("unknown_session.list", "unknown_session.close"):
        expect_code(name, "POST /mcp", posted(view, f"mcp.post.{name}"), -32602)


@check("MCP-13")
def create_when_full(view: View) -> None:
    _created(view)
    _full(view)
    _expect_full(posted(view, "mcp.capacity.create"), "openenv/session/create")


@check("MCP-14")
def create_unbuildable(view: View) -> None:
    _created(view)
    refused = [it for it in view.evidence.exchanges() if b'"openenv/session/create"' in it.sent and _is_unbuildable(it)]
    if not refused:
        raise Untested("every environment of this server was built; certify one that cannot be")
    for exchange in refused:
        view.look(exchange.name)
        response = parsed(exchange.body)
        data = response["error"].get("data")
        named = isinstance(data, dict) and isinstance(data.get("factory_name"), str)
        expect(named, f"a create is refused with {short(response)}; expected the string factory_name in `data`")


def _is_unbuildable(exchange: Exchange) -> bool:
    """Whether a create was refused, for no capacity."""
    response = parsed(exchange.body)
    error = response.get("error") if isinstance(response, dict) else None
    data = error.get("data") if isinstance(error, dict) else None
    return code_of(response) == -32000 and not (isinstance(data, dict) and set(LIMITS) & data.keys())


@check("MCP-23")
def create(view: View) -> None:
    responses = [_created(view), _created(view, "mcp.tools.create")]
    ids = [session_id(response) for response in responses]
    for id, response in zip(ids, responses, strict=True):
        expect(id, f"openenv/session/create is answered {short(response)}, expected a string session_id")
    expect(ids[0] != ids[1], f"two sessions have the same id {ids[0]!r}")


@check("MCP-24")
def one_environment(view: View) -> None:
    _created(view, "mcp.tools.create")
    _expect_kept(view, "mcp.tools")


@check("MCP-25")
def close(view: View) -> None:
    _created(view, "mcp.tools.create")
    response = posted(view, "mcp.tools.close")
    result = response.get("result")
    expect(isinstance(result, dict) and result.get("closed") is True, f"a close is answered {short(response)}")
    expect_code("tools/list of a closed session", "POST /mcp", posted(view, "mcp.tools.closed"), -32602)


@check("MCP-26")
def close_nothing(view: View) -> None:
    _created(view)
    expect_code("openenv/session/close without session_id", "POST /mcp", posted(view, "mcp.post.close_nothing"), -32602)


@check("MCP-27")
def attach(view: View) -> None:
    _created(view)
    view.ask("mcp.attach.first", "reset").expect_type("observation")
    states = [view.ask(*at) for at in (("mcp.attach.first", "state"), ("mcp.attach.second", "attached"))]
    for state in states:
        state.expect_type("state")
    before, after = [(it.data.get("episode_id"), it.data.get("step_count")) for it in states]
    expect(before == after, f"attached again, the session is in episode and step {after}; before it was in {before}")


@check("MCP-28")
def close_attached(view: View) -> None:
    _created(view)
    view.socket("mcp.attach.second")
    response = posted(view, "mcp.attach.close")
    result = response.get("result")
    told = isinstance(result, dict) and result.get("closed") is False and result.get("closing") is True
    expect(told, f"the close of an attached session is answered {short(response)}")
    view.ask("mcp.attach.second", "after_close").expect_type("state")
    expect_code(
        "tools/list of a session that was closed and left", "POST /mcp", posted(view, "mcp.attach.gone"), -32602
    )


# WebSockets


@check("MCP-30")
def socket(view: View) -> None:
    mine = _open(view)
    _one_each(view, mine)
    ids = [_own_id(view, name) for name in ("mcp.socket", "mcp.socket.other")]
    expect(ids[0] != ids[1], f"two connections of WS /mcp have one session, {ids[0]!r}")
    try:
        _expect_kept(view, "mcp.socket")
    except (Untested, NotApplicable):
        return
    first, second = _results(view, "mcp.socket"), _results(view, "mcp.socket.other")
    for label in (f"call.{number}.first" for number in _stateful(view)):
        shared = "a new connection of WS /mcp goes on where the one before ended"
        expect(first[label] == second.get(label), f"{shared}: {short(second.get(label))}")


def _one_each(view: View, socket: Socket) -> None:
    """Up to the strange messages, each request has one response, a text message."""
    waiting = 0
    for index, event in enumerate(socket.events):
        if not event.is_message:
            continue
        if event.kind == "send" and event.label.startswith("odd."):
            return
        waiting += 1 if event.kind == "send" else -1
        if event.opcode != "text" or waiting not in (0, 1):
            view.look(socket.name, index)
            expect(event.opcode == "text", f"WS /mcp sends a {event.opcode} message of {event.size} bytes")
            raise Broken(f"WS /mcp sends a message that answers no request: {short(event.payload.decode())}")


def _own_id(view: View, name: str) -> str:
    response = view.ask(name, "create").frame
    id = session_id(response)
    if id is None:
        raise Missing(f"openenv/session/create on WS /mcp is answered {short(response)}")
    return id


@check("MCP-31")
def socket_when_full(view: View) -> None:
    _open(view)
    _full(view)
    refused = view.socket("mcp.capacity.socket")
    messages = [(index, event) for index, event in refused.received()]
    for index, _ in messages:
        view.look(refused.name, index)
    expect(len(messages) == 1, f"a connection beyond the capacity gets {len(messages)} messages, expected one")
    response = parsed(messages[0][1].payload)
    _expect_full(response, "WS /mcp")
    expect(
        "id" in response and response["id"] is None, f"the refusal has the id {short(response.get('id', 'nothing'))}"
    )
    end = refused.end
    good = end is not None and end.kind == "close" and end.code == 1000
    expect(good, f"after the refusal the connection ended with {end.code or end.kind if end else 'nothing'}, not 1000")


@check("MCP-32")
def odd_messages(view: View) -> None:
    _open(view)
    for name in ("array", "text", "number"):
        code = code_of(view.ask("mcp.socket", f"odd.{name}").frame)
        expect(code in (-32600, -32700), f"JSON that is no object ({name}) is answered with the error {code}")
        view.ask("mcp.socket", f"after.{name}")


@check("MCP-66")
def cut_messages(view: View) -> None:
    _open(view)
    response = view.ask("mcp.socket", "odd.cut").frame
    expect_code("odd.cut", "WS /mcp", response, -32700)
    expect("id" in response and response["id"] is None, f"a message that is not JSON is answered {short(response)}")
    view.ask("mcp.socket", "after.cut")


@check("MCP-67")
def binary_messages(view: View) -> None:
    _open(view)
    response = view.ask("mcp.socket.other", "odd.binary").frame
    expect(code_of(response) is not None, f"a binary message is answered {short(response)}, expected an error")
    view.ask("mcp.socket.other", "after.binary")


@check("MCP-33")
def frames_share(view: View) -> None:
    _expect_kept(view, "mcp.tools.frames")
    if "mcp.tools.mixed" not in view.evidence.conversations:
        return
    fresh, after = _results(view, "mcp.tools.frames"), _results(view, "mcp.tools.mixed")
    for number in _stateful(view):
        seen = after.get(f"call.{number}.frame")
        expect(seen is not None, f"call {number} of a tool was not answered in `mcp.tools.mixed`")
        unmoved = seen == fresh[f"call.{number}.first"]
        expect(not unmoved, f"an `mcp` frame does not see the step before it: {short(seen)}")


@check("MCP-34")
def create_on_socket(view: View) -> None:
    for where, one, two in _creates(view):
        expect(session_id(one), f"openenv/session/create {where} is answered {short(one)}, expected a session_id")
        expect(
            one.get("result") == two.get("result"), f"asked twice, the session {where} is {short(one)} and {short(two)}"
        )
    try:
        _created(view)
    except NotApplicable:
        return
    code = code_of(posted(view, "mcp.frames.outside"))
    expect(code != -32602, "the session id that a WebSocket was told is unknown to POST /mcp")


def _creates(view: View) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    yield "in an `mcp` frame", view.ask("mcp.frames", "create").data, view.ask("mcp.frames", "create_again").data
    if has_socket(view):
        yield "on WS /mcp", view.ask("mcp.socket", "create").frame, view.ask("mcp.socket", "create_again").frame


@check("MCP-36")
def strict_json(view: View) -> None:
    _open(view)
    for reply in view.replies(path="/mcp"):
        view.trail[:] = view.trail[:3]
        try:
            json.loads(reply.raw, parse_constant=_refuse)
        except ValueError as exc:
            view.look(reply.socket.name, reply.index)
            raise Broken(f"WS /mcp sends what is not JSON ({exc}): {short(reply.raw)}") from None


def _refuse(literal: str) -> None:
    raise ValueError(f"it has the literal {literal}")
