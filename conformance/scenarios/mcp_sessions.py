"""Sections 10.3 and 10.4 of the specification: calls in sessions, sessions over HTTP, and a full server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

from conformance.evidence import Exchange
from conformance.probe import Probe, Session
from conformance.recorder import Ended, parsed
from conformance.scenarios import scenario
from conformance.scenarios.mcp import (
    CREATE,
    call_step,
    call_twice,
    frame,
    rpc,
    session_id,
    takes_call_tool,
    tool_calls,
)


@scenario("mcp.tools.sessions", "mcp")
def tools_in_sessions(probe: Probe) -> None:
    """The same calls in a session of `/ws`, behind steps in another, and in a session over HTTP."""
    calls = tool_calls(probe, "mcp.tools.sessions.list")
    if calls:
        with probe.session("mcp.tools.frames") as session:
            call_twice(session, calls, frame)
    if calls and takes_call_tool(probe.schema):
        with probe.session("mcp.tools.mixed") as session:
            for number, call in enumerate(calls):
                session.ask(call_step(call), f"call.{number}.step")
                session.ask(frame(rpc("tools/call", **call)), f"call.{number}.frame")
    id = probe.create_session("mcp.tools.create")
    if id is not None:
        for number, call in enumerate(calls):
            for time_ in ("first", "second"):
                request = rpc("tools/call", **call, session_id=id)
                probe.http(f"mcp.tools.call.{number}.{time_}", "POST", "/mcp", request)
        probe.close_session("mcp.tools.close", id)
        probe.http("mcp.tools.closed", "POST", "/mcp", rpc("tools/list", session_id=id))


@scenario("mcp.attach", "mcp")
def attach(probe: Probe) -> None:
    """A session over HTTP: attached, detached, attached again, and closed while it is attached."""
    id = probe.create_session("mcp.attach.create")
    if id is None:
        return
    with _attach(probe, "mcp.attach.first", id) as session:
        session.ask(probe.reset(episode_id=f"attached-{id}"), "reset")
        session.ask({"type": "state"}, "state")
    with _attach(probe, "mcp.attach.second", id) as session:
        session.ask({"type": "state"}, "state")
        probe.close_session("mcp.attach.close", id)
        session.ask({"type": "state"}, "after_close")
    for _ in _until_settled(probe, "mcp.attach.gone"):
        gone = probe.http("mcp.attach.gone", "POST", "/mcp", rpc("tools/list", session_id=id))
        if error_code(gone) == -32602:
            return
    probe.close_session("mcp.attach.last_close", id)


@scenario("mcp.capacity", "mcp", alone=True)
def capacity(probe: Probe) -> None:
    """A session over HTTP and one of `WS /mcp`, asked of a server that is full."""
    if probe.capacity is None:
        return
    with ExitStack() as stack:
        for number in range(probe.capacity):
            session = stack.enter_context(probe.session(f"mcp.capacity.{number}"))
            with suppress(Ended):
                session.ask({"type": "state"}, "state")
        full = probe.http("mcp.capacity.create", "POST", "/mcp", rpc(CREATE))
        id = session_id(parsed(full.body))
        if id is not None:
            probe.close_session("mcp.capacity.close", id)
        with probe.connect("mcp.capacity.socket", "/mcp") as refused:
            refused.until_end(probe.timing.settle if refused.is_open else 0)


# Sessions over HTTP


def error_code(exchange: Exchange) -> Any:
    """The code of a JSON-RPC error, None where there is none."""
    body = parsed(exchange.body)
    error = body.get("error") if isinstance(body, dict) else None
    return error.get("code") if isinstance(error, dict) else None


def _attach(probe: Probe, name: str, id: str) -> Session:
    """A socket of a session over HTTP; the one before it may still be leaving."""
    session = probe.session(name, f"/ws?session_id={id}")
    for number in _until_settled(probe, None):
        with suppress(Ended):
            reply = session.ask({"type": "state"}, "attached")
            if not isinstance(reply, dict) or reply.get("type") != "error":
                break
        session.reopen(number)
    return session


def _until_settled(probe: Probe, name: str | None) -> Iterator[int]:
    """Numbers from 1 on until things had time to settle; what was recorded as `name` is kept as `NAME~NUMBER`."""
    deadline, number = time.monotonic() + probe.timing.settle, 1
    while True:
        yield number
        if time.monotonic() > deadline:
            return
        if name is not None:
            probe.recorder.rename(name, f"{name}~{number}")
        time.sleep(min(0.02 * number, 0.5))
        number += 1
