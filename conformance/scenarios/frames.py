"""Section 4 of the specification: what each frame may carry, and what answers it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from conformance.probe import Probe
from conformance.scenarios import scenario

STATE = {"type": "state"}
REQUEST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
TOOL = {"name": "no_such_tool", "arguments": {}}
MCP = {"type": "mcp", "data": REQUEST}


@scenario("frames.kinds")
def kinds(probe: Probe) -> None:
    """Every frame in one session, those of all revisions mixed, and a valid close."""
    probe.http("frames.post_mcp", "POST", "/mcp", {**REQUEST, "method": "no/such/method"})
    with probe.session("frames.kinds") as session:
        session.ask(STATE, "state")
        session.ask(MCP, "mcp")
        session.ask(probe.reset(seed=7), "reset")
        for what, method, params in (("method", "no/such/method", {}), ("tool", "tools/call", TOOL)):
            request = {**REQUEST, "method": method, "params": params}
            session.ask({"type": "mcp", "data": request}, f"mcp of an unknown {what}")
        session.ask({"type": "mcp", "data": {"hello": "you"}}, "mcp of no request")
        session.ask(STATE, "state after mcp")
        session.ask(probe.step(), "step")
        session.finish()


@scenario("frames.resets")
def resets(probe: Probe) -> None:
    """Resets without data, with empty data, and with arguments that no environment knows."""
    with probe.session("frames.resets") as session:
        session.ask({"type": "reset", "data": {}}, "reset with {}")
        session.ask(probe.step(), "step")
        session.ask({"type": "reset"}, "reset without data after a step")
        session.ask(STATE, "state after it")
    with probe.session("frames.arguments") as session:
        for label, arguments in (
            ("unknown", {"no_such_argument": {"deep": [1, None]}}),
            ("reserved", {"self": 1, "func": 2, "session_id": "3"}),
        ):
            session.ask({"type": "reset", "data": {**probe.inputs.reset, **arguments}}, label)
            session.ask(STATE, f"state after {label}")


@scenario("frames.data")
def data(probe: Probe) -> None:
    """Data that is missing, no object, or where none may be; and actions in a wrapping."""
    with probe.session("frames.data") as session:
        for label, frame in _no_objects(probe):
            session.ask(frame, label)
    with probe.session("frames.no_data") as session:
        session.ask({"type": "step"}, "step without data")
        session.ask({"type": "mcp"}, "mcp without data")
    with probe.session("frames.state_data") as session:
        for value in ({}, None, {"episode_id": "e-1"}):
            session.ask({**STATE, "data": value}, f"state with data {json.dumps(value)}")
    with probe.session("frames.actions") as session:
        session.ask(probe.reset(), "reset")
        session.ask(probe.step(), "step")
        action = probe.action()
        session.ask({"type": "step", "data": {"action": action}}, "step with a wrapped action")
        session.ask({"type": "step", "data": {**action, "timeout_s": 5.0}}, "step with timeout_s in the action")


def _no_objects(probe: Probe) -> Iterator[tuple[str, Any]]:
    """Frames whose data would be right if it were not null, in an array, or JSON in a string."""
    for kind, value in (("reset", {}), ("mcp", REQUEST), ("step", probe.action())):
        for name, wrong in (("null", None), ("an array", [value]), ("a string", json.dumps(value))):
            yield f"{kind} whose data is {name}", {"type": kind, "data": wrong}


@scenario("frames.keys")
def keys(probe: Probe) -> None:
    """Additional keys beside `type` and `data`, and types in another case."""
    with probe.session("frames.extra") as session:
        session.ask({**STATE, "id": 1}, "state with id")
        session.ask({**probe.reset(), "seed": 1}, "reset with seed")
        session.ask({**MCP, "id": 1}, "mcp with id")
        session.ask({**probe.step(), "timeout_s": 5.0}, "step with timeout_s")
    with probe.session("frames.close_extra") as session:
        for label, more in (("reason", {"reason": "done"}), ("data", {"data": {}})):
            session.ask({"type": "close", **more}, f"close with {label}")
            session.ask(STATE, f"state after close with {label}")
    with probe.session("frames.case") as session:
        session.ask({"type": "State"}, "State")
        session.ask({**probe.reset(), "type": "RESET"}, "RESET")
        session.ask({**MCP, "type": "Mcp"}, "Mcp")
        session.ask({"type": "CLOSE"}, "CLOSE")
        session.ask({**probe.step(), "type": "Step"}, "Step")


@scenario("frames.one_reply")
def one_reply(probe: Probe) -> None:
    """Each kind of frame, good and bad, and silence after its reply."""
    with probe.session("frames.one_reply") as session:
        for label, message in _one_of_each(probe):
            session.ask(message, label)
            session.quiet()


def _one_of_each(probe: Probe) -> Iterator[tuple[str, Any]]:
    yield "state", STATE
    yield "reset", probe.reset()
    yield "mcp", MCP
    yield "no JSON", '{"type":'
    yield "unknown type", {"type": "hello"}
    yield "state with data", {**STATE, "data": {}}
    if probe.inputs.raises is not None:
        yield "step that raises", {"type": "step", "data": probe.inputs.raises}
    yield "step", probe.step()
    yield "close with a reason", {"type": "close", "reason": "done"}
