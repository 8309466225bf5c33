"""Section 13.2 of the specification: vector messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conformance.probe import Probe
from conformance.recorder import Ended, WebSocket
from conformance.scenarios import scenario
from conformance.scenarios.gymnasium import ENOUGH, MOST_STEPS, SEED, STATE, course, native, packed, received, wrapped
from conformance.spaces import batch
from conformance.values import Array

MODES = ("NextStep", "SameStep", "Disabled")
NUM_ENVS = 2
TOO_MANY = 4097
"""One more than the most sub-environments."""
WRONG_MAKES: dict[str, dict[str, Any]] = {
    "none": {"num_envs": 0}, "words": {"num_envs": "two"}, "fraction": {"num_envs": 1.5}, "missing": {},
    "mode": {"num_envs": 1, "autoreset_mode": "Never"},
    "way": {"num_envs": 1, "vectorization": "no such way"},
    "extra": {"num_envs": 1, "no_such_key": 1},
}  # fmt: skip
WRONG_FRAMES: dict[str, Any] = {
    "op": {"op": "no such op"}, "no_op": {}, "render.extra": {"op": "render", "no_such_key": 1},
    "step.none": {"op": "step"}, "step.text": {"op": "step", "actions": "no actions"},
    "reset.seed": {"op": "reset", "seed": "no seed"}, "reset.options": {"op": "reset", "options": 5},
}  # fmt: skip


def vector(op: str, **arguments: Any) -> dict[str, Any]:
    """A vector frame."""
    return {"type": "vector", "data": {"op": op, **arguments}}


def make(mode: str = "NextStep", num_envs: int = NUM_ENVS, **arguments: Any) -> dict[str, Any]:
    """A request for sub-environments that are stepped one by one, as sessions are."""
    return vector("make", num_envs=num_envs, autoreset_mode=mode, vectorization="sync", **arguments)


def step(probe: Probe, *actions: Mapping[str, Any]) -> dict[str, Any]:
    """A step with one action for each sub-environment. Raises `Ended` where they do not fit the action space."""
    space = wrapped(probe).get("action_space")
    try:
        return vector("step", actions=batch([native(probe, action)["action"] for action in actions], space or {}))
    except (LookupError, AttributeError, TypeError):
        raise Ended from None


def moves(probe: Probe, number: int) -> dict[str, Any]:
    """A step with what the sessions `gymnasium.single.N` do."""
    return step(probe, *(course(probe, index)(number) for index in range(NUM_ENVS)))


@scenario("gymnasium.vector", "gymnasium")
def episodes(probe: Probe) -> None:
    """Episodes in each mode until a sub-environment is done, and what comes then."""
    packed(probe, "gymnasium.vector", lambda session: session.ask(make(), "make"))
    for mode in MODES:
        packed(probe, f"gymnasium.vector.{mode}", lambda session, mode=mode: _episode(probe, session, mode))  # type: ignore[misc]


def _episode(probe: Probe, session: WebSocket, mode: str) -> None:
    session.ask(make(mode), "make")
    session.ask(vector("reset", seed=SEED), "reset")
    for number in range(MOST_STEPS):
        ended = _ended(session.ask(moves(probe, number), f"step.{number}"))
        if ended is None or received(session) > ENOUGH:
            return
        if any(ended):
            break
    else:
        return
    if mode == "Disabled":
        session.ask(vector("reset", options={"reset_mask": Array("bool", (NUM_ENVS,), tuple(ended))}), "masked")
    session.ask(step(probe, *(course(probe, i)(0) for i in range(NUM_ENVS))), "step.next")
    if mode == "NextStep":
        session.ask(step(probe, *(course(probe, i)(0) for i in range(NUM_ENVS))), "step.last")


def _ended(reply: Any) -> list[bool] | None:
    """Which sub-environments are done; None where the reply does not say."""
    data = reply.get("data") if isinstance(reply, dict) and reply.get("type") == "vector" else None
    flags = [data.get(key) for key in ("terminated", "truncated")] if isinstance(data, dict) else []
    arrays = [it.items for it in flags if isinstance(it, Array) and len(it.items) == NUM_ENVS]
    return [any(pair) for pair in zip(*arrays, strict=True)] if len(arrays) == 2 else None


@scenario("gymnasium.vector.refused", "gymnasium")
def refused(probe: Probe) -> None:
    """Requests out of order and of the wrong form, and steps that raise."""
    packed(probe, "gymnasium.vector.refused", lambda session: _refused(probe, session))
    packed(probe, "gymnasium.vector.raises", lambda session: _raises(probe, session))
    packed(probe, "gymnasium.vector.many", lambda session: session.ask(make(num_envs=TOO_MANY), "make"))
    if probe.actions:
        with probe.session("gymnasium.unstarted") as session:
            session.ask(probe.step(), "step")


def _refused(probe: Probe, session: WebSocket) -> None:
    session.ask(vector("reset"), "early.reset")
    session.ask(vector("render"), "early.render")
    session.ask(moves(probe, 0), "early.step")
    for name, frame in (("frame", {"type": "vector"}), ("frame.list", {"type": "vector", "data": [1]})):
        session.ask(frame, f"wrong.{name}")
    session.ask(make(), "make")
    session.ask(vector("reset", seed=SEED), "reset")
    for name, arguments in WRONG_MAKES.items():
        session.ask(vector("make", **arguments), f"wrong.make.{name}")
    for name, data in WRONG_FRAMES.items():
        session.ask({"type": "vector", "data": data}, f"wrong.{name}")
    session.ask(step(probe, *(course(probe, index)(0) for index in (0, 1, 1))), "wrong.step.longer")
    session.ask(moves(probe, 0), "step")
    session.quiet()
    session.ask(vector("close"), "close")
    session.ask(moves(probe, 0), "late.step")
    session.ask(STATE, "state")


def _raises(probe: Probe, session: WebSocket) -> None:
    session.ask(make(), "make")
    session.ask(moves(probe, 0), "unstarted.step")
    session.ask(vector("reset", seed=SEED), "reset")
    if probe.inputs.raises is not None:
        session.ask(step(probe, probe.inputs.raises, course(probe, 1)(0)), "raises.step")
        session.ask(vector("reset", seed=SEED), "raises.reset")
