"""Section 13 of the specification: Gymnasium environments in JSON sessions, and sessions that speak MessagePack."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from conformance.evidence import Exchange
from conformance.probe import Probe
from conformance.recorder import Ended, WebSocket, parsed
from conformance.scenarios import scenario
from conformance.spaces import Space, decode
from conformance.values import MSGPACK_V1

STATE = {"type": "state"}
SEED = 7
STEPS = 5
"""Steps of an episode that is played twice."""
MOST_STEPS = 300
"""Steps in which an episode is awaited to end."""
ENOUGH = 8 * 1024 * 1024
"""Bytes of replies after which it is not awaited any more."""
OFFER = ("no.such.protocol", MSGPACK_V1)
REFUSED: tuple[Any, ...] = (
    {"type": "no such type"}, {"type": "state", "data": {}}, {"type": "step"}, {"type": "step", "data": {}}, {},
    {"type": "close", "data": {}}, {"type": "reset", "data": [1]},
)  # fmt: skip
"""Frames that are refused alike in JSON and in MessagePack."""
NOT_MSGPACK = {"reserved": b"\xc1", "short": b"\x82\xa4type", "long": b"\x80\x80"}
NO_MAPS: dict[str, Any] = {"array": [{"type": "state"}], "number": 5, "text": b"\xa5state", "nil": None}
VECTOR = {"type": "vector", "data": {"op": "make", "num_envs": 2, "autoreset_mode": "NextStep"}}


def document(probe: Probe) -> dict[str, Any] | None:
    """The body of `GET /gymnasium`; None where the server has none."""
    exchange = probe.recorder.evidence.conversations["http.gymnasium"]
    body = parsed(exchange.body) if isinstance(exchange, Exchange) and exchange.status == 200 else None
    return body if isinstance(body, dict) else None


def wrapped(probe: Probe) -> dict[str, Any]:
    """The body of `GET /gymnasium`. Raises `Ended` where the server has none."""
    body = document(probe)
    if body is None:
        raise Ended
    return body


def packed(probe: Probe, name: str, selected: Callable[[WebSocket], Any]) -> None:
    """Talk in a session with the subprotocol, where the server selects it."""
    with probe.session(name, subprotocols=OFFER) as session:
        if session.is_packed:
            selected(session)


def native(probe: Probe, action: Mapping[str, Any]) -> dict[str, Any]:
    """An action as a session with the subprotocol takes it."""
    space: Space | None = (document(probe) or {}).get("action_space")
    if not isinstance(space, Mapping) or "action" not in action:
        return dict(action)
    try:
        value = decode(action["action"], space, action.get("types", {}), "/action")
        return {**{key: item for key, item in action.items() if key != "types"}, "action": value}
    except (ValueError, LookupError, TypeError):
        return dict(action)


def course(probe: Probe, index: int) -> Callable[[int], Mapping[str, Any]]:
    """The actions of one of several environments, by step: those that end an episode, else one again and again."""
    ends = probe.inputs.ends

    def action(number: int) -> Mapping[str, Any]:
        return ends[number] if number < len(ends) else probe.action(index)

    return action


def play(session: WebSocket, label: str, reset: Any, action: Callable[[int], Any], steps: int) -> bool:
    """Play an episode until it is done, at most some steps, labelled `LABEL.reset` and `LABEL.step.N`.

    Returns:
        Whether it is done.
    """
    reply = session.ask(reset, f"{label}.reset")
    for number in range(steps):
        if is_done(reply) or received(session) > ENOUGH:
            break
        reply = session.ask({"type": "step", "data": action(number)}, f"{label}.step.{number}")
    return is_done(reply)


def is_done(reply: Any) -> bool:
    """Whether a reply ends an episode, or is an error."""
    data = reply.get("data") if isinstance(reply, dict) else None
    return not isinstance(data, dict) or "done" not in data or data["done"] is True


def received(session: WebSocket) -> int:
    """Bytes of the replies so far."""
    return sum(event.size for event in session.socket.events if event.kind == "receive")


@scenario("gymnasium.codecs", "gymnasium")
def codecs(probe: Probe) -> None:
    """Subprotocols: offered alone and among others, names that are nearly right, and those that the server lists."""
    with probe.session("gymnasium.offered", subprotocols=OFFER) as session:
        session.ask(STATE, "state")
    with probe.session("gymnasium.near", subprotocols=("interop.msgpack", "interop.msgpack.v2")) as session:
        session.ask(STATE, "state")
    with probe.session("gymnasium.json_vector") as session:
        session.ask(VECTOR, "vector")
        session.ask(STATE, "state")
    listed = (document(probe) or {}).get("codecs")
    others = [it for it in listed if isinstance(it, str) and it != "json"] if isinstance(listed, list) else []
    for codec in others[:4]:
        probe.connect(f"gymnasium.codec.{codec}", subprotocols=(codec,)).close()


@scenario("gymnasium.episodes", "gymnasium")
def episodes(probe: Probe) -> None:
    """The same two episodes in two sessions, then whole episodes, and a step after the end of one."""
    wrapped(probe)
    for name in ("gymnasium.first", "gymnasium.second"):
        with probe.session(name) as session:
            play(session, "seeded", probe.reset(seed=SEED), probe.action, STEPS)
            play(session, "next", probe.reset(), probe.action, STEPS)
            session.ask(STATE, "state")
    for index in (0, 1):
        with probe.session(f"gymnasium.single.{index}") as session:
            action = course(probe, index)
            if play(session, "whole", probe.reset(seed=SEED + index), action, MOST_STEPS):
                play(session, "again", probe.reset(), lambda number, action=action: action(0), 1)  # type: ignore[misc]
    with probe.session("gymnasium.after") as session:
        if play(session, "whole", probe.reset(seed=SEED), course(probe, 0), MOST_STEPS):
            session.ask(STATE, "done.state")
            session.ask({"type": "step", "data": course(probe, 0)(0)}, "after.step")
            session.ask(STATE, "after.state")


@scenario("gymnasium.render", "gymnasium")
def render(probe: Probe) -> None:
    """Render modes: asked for by the first reset, by a later one, and ones that there are not."""
    modes = wrapped(probe).get("render_modes")
    known = [it for it in modes if isinstance(it, str)] if isinstance(modes, list) else []
    mode = "ansi" if "ansi" in known else next(iter(known), None)
    with probe.session("gymnasium.modes") as session:
        for name in ("no_such_mode", "human"):
            session.ask(probe.reset(render_mode=name), name)
        session.ask(probe.reset(), "reset")
        session.ask(STATE, "state")
        if mode is not None:
            session.ask(probe.reset(render_mode=mode), "late.reset")
            session.ask(STATE, "late.state")
    if mode is not None:
        with probe.session("gymnasium.render") as session:
            session.ask(STATE, "before")
            session.ask(probe.reset(render_mode=mode), "reset")
            session.ask(STATE, "state")
            session.ask(probe.reset(), "again.reset")
            session.ask(STATE, "again.state")


@scenario("gymnasium.actions", "gymnasium")
def actions(probe: Probe) -> None:
    """Actions outside the form of the action space."""
    space = wrapped(probe).get("action_space")
    with probe.session("gymnasium.actions") as session:
        session.ask(probe.reset(seed=SEED), "reset")
        session.ask(STATE, "before")
        for name, action in outside(space, probe.action()).items():
            session.ask({"type": "step", "data": action}, f"outside.{name}")
        session.ask(STATE, "after")
        session.ask(probe.step(), "step")


def outside(space: Any, action: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Actions next to a valid one that no server may take."""
    good = action.get("action")
    found: dict[str, Any] = {"object": {"no such key": 1}, "nested": [[[[good]]]], "null": None}
    kind = space.get("type") if isinstance(space, Mapping) else None
    if kind != "Text":
        found["text"] = "no action"
    if kind == "Discrete":
        found |= {"beyond": space["start"] + space["n"], "below": space["start"] - 1, "fraction": space["start"] + 0.5}
    if kind in ("Box", "MultiDiscrete", "MultiBinary", "Tuple") and isinstance(good, list):
        found |= {"longer": [*good, *good[:1]], "shorter": good[1:]}
    if kind == "Dict" and isinstance(good, dict):
        found |= {"empty": {}, "key": {**good, "no such key": 1}}
    if kind in ("Custom", "Graph", "OneOf"):  # what they take is not known well enough
        found = {}
    extra = {"missing": {}, "extra": {**action, "no_such_field": 1}}
    return {name: {"action": value} for name, value in found.items()} | extra


@scenario("gymnasium.describe", "gymnasium", alone=True)
def describe(probe: Probe) -> None:
    """The time that `GET /gymnasium` takes, and that of a request that builds an environment."""
    wrapped(probe)
    for number in range(3):
        probe.http(f"gymnasium.builds.{number}", "GET", "/state")
        probe.http(f"gymnasium.describes.{number}", "GET", "/gymnasium")


# MessagePack


@scenario("gymnasium.binary", "gymnasium")
def binary(probe: Probe) -> None:
    """Sessions with the subprotocol: the episodes of JSON sessions, malformed messages, frames without waiting."""
    packed(probe, "gymnasium.binary", lambda session: _binary_episodes(probe, session))
    packed(probe, "gymnasium.text", lambda session: _malformed(session, {"text": '{"type": "state"}'}))
    packed(probe, "gymnasium.no_msgpack", lambda session: _malformed(session, NOT_MSGPACK))
    packed(probe, "gymnasium.no_map", lambda session: _malformed(session, NO_MAPS))
    packed(probe, "gymnasium.refused.binary", _refused)
    packed(probe, "gymnasium.pipelined", lambda session: _pipelined(probe, session))
    with probe.session("gymnasium.refused.json") as session:
        _refused(session)


def _binary_episodes(probe: Probe, session: WebSocket) -> None:
    def action(number: int) -> dict[str, Any]:
        return native(probe, probe.action(number))

    play(session, "seeded", probe.reset(seed=SEED), action, STEPS)
    play(session, "next", probe.reset(), action, STEPS)
    session.ask(STATE, "state")
    session.finish()


def _malformed(session: WebSocket, messages: Mapping[str, Any]) -> None:
    for name, message in messages.items():
        session.ask(message, name)
        session.ask(STATE, f"{name}.state")


def _refused(session: WebSocket) -> None:
    for number, frame in enumerate(REFUSED):
        session.ask(frame, f"refused.{number}")
    session.ask(STATE, "refused.state")


def _pipelined(probe: Probe, session: WebSocket) -> None:
    session.ask(STATE, "first")
    session.send(probe.reset(), "second")
    session.send({"type": "no such type"}, "third")
    session.send(STATE, "fourth")
    for _ in range(3):
        session.receive()
    session.quiet()


@scenario("gymnasium.full", "gymnasium", alone=True)
def full(probe: Probe) -> None:
    """A vector session of many sub-environments, more sessions up to the capacity, and beyond."""
    capacity = probe.capacity
    if capacity is None:
        return
    with probe.session("gymnasium.full.1", subprotocols=OFFER) as session:
        if not session.is_packed:
            return
        make = {"op": "make", "num_envs": capacity + 1, "autoreset_mode": "NextStep"}
        session.ask({"type": "vector", "data": make}, "make")
        session.ask(STATE, "state")
        _fill(probe, capacity)
        session.ask(STATE, "again")


def _fill(probe: Probe, capacity: int) -> None:
    others = [
        probe.session(f"gymnasium.full.{number}", subprotocols=OFFER if number % 2 else ())
        for number in range(2, capacity + 1)
    ]
    try:
        for session in others:
            with contextlib.suppress(Ended):
                session.ask(STATE, "state")
        for name, offer in (("gymnasium.beyond.binary", OFFER), ("gymnasium.beyond.json", ())):
            with probe.connect(name, subprotocols=offer) as beyond:
                beyond.ask(STATE, "state")
                beyond.until_end()
    finally:
        for session in others:
            session.close()
