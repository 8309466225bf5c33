"""Section 5 of the specification: every error that a client can cause, and what the session is worth after it."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from conformance.actions import invalid
from conformance.probe import Probe
from conformance.recorder import Ended, WebSocket
from conformance.scenarios import scenario

STATE = {"type": "state"}
NO_JSON = ('{"typ', "", "hello", "{'type':'state'}", '{"type":"state",}', '{"type":"state"}}', '{"type":"st\nate"}')
NO_TYPE: tuple[dict[str, Any], ...] = ({}, {"data": {}}, {"type": None}, {"type": 5}, {"type": ""}, {"type": ["state"]})
NO_OBJECT = ([1, 2], "state", 5, None, True)


@scenario("errors.messages")
def messages(probe: Probe) -> None:
    """Texts that are no JSON, objects without a type that is known, JSON that is no object, and a binary message."""
    with probe.session("errors.no_json") as session:
        for number, text in enumerate(NO_JSON):
            session.ask(text, f"no JSON {number}")
    with probe.session("errors.no_type") as session:
        session.ask({"type": "hello"}, "hello")
        for number, frame in enumerate(NO_TYPE):
            session.ask(frame, f"no type {number}")
    for number, value in enumerate(NO_OBJECT):
        with probe.session(f"errors.no_object.{number}") as session:
            session.ask(json.dumps(value), "value")
            session.ask(STATE, "state")
    with probe.session("errors.binary") as session:
        session.ask(STATE, "state before")
        session.ask(b'{"type":"state"}', "binary")
        session.ask(STATE, "state")


@scenario("errors.actions")
def actions(probe: Probe) -> None:
    """Actions that do not fit the schema, and those that the run was given in their roles."""
    with probe.session("errors.actions") as session:
        session.ask(probe.reset(), "reset")
        for number, action in enumerate(_unfit(probe)):
            session.ask({"type": "step", "data": action}, f"unfit action {number}")
    for role in ("raises", "rejected", "uncarryable"):
        action = getattr(probe.inputs, role)
        if action is not None:
            with probe.session(f"errors.{role}") as session:
                session.ask(probe.reset(), "reset")
                session.ask({"type": "step", "data": action}, role)
                session.ask(STATE, f"state after {role}")
                session.ask(probe.reset(), "reset at last")


@scenario("errors.untouched")
def untouched(probe: Probe) -> None:
    """Frames that are refused for their form, in the middle of an episode, each followed by a look at the state."""
    with probe.session("errors.untouched") as session:
        session.ask(probe.reset(), "reset")
        session.ask(probe.step(), "step")
        session.ask(STATE, "state")
        session.ask(STATE, "state again")
        for label, message in _refused(probe):
            session.ask(message, label)
            session.ask(STATE, f"state after {label}")
        session.ask(probe.reset(), "reset at last")


@scenario("errors.refusals")
def refusals(probe: Probe) -> None:
    """Sessions that do not exist, and frames after their refusal."""
    for name, wanted in (("uuid", str(uuid.uuid4())), ("word", "no-such-session")):
        with probe.session(f"errors.unknown_id.{name}", f"/ws?session_id={wanted}") as session:
            session.ask(STATE, "state")
            _go_on(session)


@scenario("errors.taken")
def taken(probe: Probe) -> None:
    """A second socket for a session that has one."""
    wanted = probe.create_session("errors.create")
    if wanted is None:
        return
    with probe.session("errors.taken.first", f"/ws?session_id={wanted}") as first:
        first.ask(probe.reset(), "reset")
        first.ask(STATE, "state")
        with probe.session("errors.taken.second", f"/ws?session_id={wanted}") as second:
            second.ask(probe.reset(episode_id="of-the-second-socket"), "reset")
            _go_on(second)
        first.ask(STATE, "state after the second socket")
    probe.close_session("errors.create.close", wanted)


@scenario("errors.exits", alone=True)
def exits(probe: Probe) -> None:
    """An environment that ends its process, with a frame waiting behind."""
    if probe.inputs.exits is None:
        return
    with probe.session("errors.exits") as session:
        session.ask(probe.reset(), "reset")
        session.send({"type": "step", "data": probe.inputs.exits}, "exits")
        session.send(STATE, "state")
        session.until_end()


def _unfit(probe: Probe) -> Iterator[Mapping[str, Any]]:
    yield from probe.inputs.invalid
    schema = probe.schema.get("action")
    if isinstance(schema, Mapping):
        yield from (it.action for it in invalid(schema, probe.action()))


def _refused(probe: Probe) -> Iterator[tuple[str, Any]]:
    """Messages that would step or reset the environment if anything of them were taken."""
    step, reset = probe.step(), probe.reset(episode_id="refused")
    yield "no JSON", json.dumps(step)[:-1]
    yield "an unknown type", {**step, "type": "STEP"}
    yield "a missing type", {"data": step["data"]}
    yield "an additional key in a step", {**step, "id": 1}
    yield "an additional key in a reset", {**reset, "id": 1}
    yield "a reset with null", {"type": "reset", "data": None}
    yield "a step without data", {"type": "step"}
    for number, action in enumerate(_unfit(probe)):
        yield f"unfit action {number}", {"type": "step", "data": action}


def _go_on(session: WebSocket) -> None:
    """Send one more frame, if that is still possible, and wait for the end."""
    with contextlib.suppress(Ended):
        session.send(STATE, "one more")
    session.until_end(1.0)
