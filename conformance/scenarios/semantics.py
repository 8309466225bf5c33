"""Section 11 of the specification: episodes, seeds, states and rewards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conformance.probe import Probe
from conformance.recorder import WebSocket
from conformance.scenarios import scenario

STATE = {"type": "state"}
SEED = 7
OTHER_SEED = 8
SEEDS = (0, 1, 2**31 - 1, 2**31, 2**32 - 1)
IDS = ("conformance/1", "Ünïcode ☃ \"id\"", "x" * 255)  # fmt: skip
MIDDLE = "conformance-middle"
SHORT, LONG, MOST = 3, 8, 200
"""Steps of a short episode, of one whose rewards are judged, and at most of one that is played to its end."""
PATIENCE = 20.0
"""Seconds that are given to an episode to end."""


@scenario("semantics.ids")
def ids(probe: Probe) -> None:
    """Resets with and without an id, each followed by a state."""
    with probe.session("semantics.ids") as session:
        session.ask(STATE, "fresh")
        for number, id in enumerate(IDS):
            session.ask(probe.reset(episode_id=id), f"asked.{number}")
            session.ask(STATE, f"asked.state.{number}")
        for number in range(2):
            session.ask(probe.reset(), f"own.{number}")
            session.ask(STATE, f"own.state.{number}")


@scenario("semantics.seeds")
def seeds(probe: Probe) -> None:
    """Seeds at the bounds, and null."""
    with probe.session("semantics.seeds") as session:
        session.ask(probe.reset(seed=None), "null")
        for seed in SEEDS:
            session.ask(probe.reset(seed=seed), f"seed.{seed}")


@scenario("semantics.episode")
def episode(probe: Probe) -> None:
    """An episode with a state behind each step, and a reset in its middle."""
    with probe.session("semantics.episode") as session:
        session.ask(probe.reset(), "reset")
        session.ask(STATE, "state.0")
        for number in range(SHORT if probe.actions else 0):
            reply = session.ask(probe.step(number), f"step.{number}")
            session.ask(STATE, f"state.{number + 1}")
            if is_done(reply):
                break
        session.ask(probe.reset(seed=SEED, episode_id=MIDDLE), "middle")
        session.ask(STATE, "middle.state")


@scenario("semantics.same")
def same(probe: Probe) -> None:
    """The same seeds and actions in two sessions, resets without a seed in between."""
    for number in range(2):
        with probe.session(f"semantics.same.{number}") as session:
            for run, (seed, steps) in enumerate(((SEED, LONG), (None, SHORT), (None, SHORT), (SEED, LONG))):
                arguments = {} if seed is None else {"seed": seed}
                session.ask(probe.reset(**arguments), f"reset.{run}")
                _play(probe, session, steps, f"run.{run}.step")
            session.ask(probe.reset(seed=OTHER_SEED), "other")
            _play(probe, session, SHORT, "other.step")


@scenario("semantics.watched")
def watched(probe: Probe) -> None:
    """The same once more, with two states behind each step."""
    with probe.session("semantics.watched") as session:
        session.ask(probe.reset(seed=SEED), "reset")
        for number in range(LONG):
            for which in range(2):
                session.ask(STATE, f"state.{number}.{which}")
            if is_done(session.ask(probe.step(number), f"step.{number}")):
                break


@scenario("semantics.early")
def early(probe: Probe) -> None:
    """A step before the first reset."""
    with probe.session("semantics.early") as session:
        session.ask(STATE, "fresh")
        session.ask(probe.step(), "step")
        session.ask(STATE, "state")


@scenario("semantics.end")
def end(probe: Probe) -> None:
    """An episode to its end, and a step after it."""
    actions: list[Mapping[str, Any]] = list(probe.inputs.ends) or probe.actions
    with probe.session("semantics.end") as session:
        session.ask(probe.reset(), "reset")
        deadline = probe.recorder.now() + PATIENCE
        for number in range(MOST if actions else 0):
            reply = session.ask({"type": "step", "data": actions[number % len(actions)]}, f"step.{number}")
            if is_done(reply):
                session.ask(STATE, "end.state")
                session.ask(probe.step(), "after.step")
                session.ask(STATE, "after.state")
                break
            if probe.recorder.now() > deadline or not _is_observation(reply):
                break


@scenario("semantics.echo")
def echo(probe: Probe) -> None:
    """An action whose values the observation repeats."""
    if probe.inputs.echo is None:
        return
    with probe.session("semantics.echo") as session:
        session.ask(probe.reset(), "reset")
        session.ask({"type": "step", "data": probe.inputs.echo}, "echo")


def _play(probe: Probe, session: WebSocket, steps: int, label: str) -> None:
    """Play valid actions until the episode ends; none where none is known."""
    for number in range(steps if probe.actions else 0):
        if is_done(session.ask(probe.step(number), f"{label}.{number}")):
            return


def is_done(reply: Any) -> bool:
    """Whether a reply ends an episode."""
    data = reply.get("data") if isinstance(reply, dict) else None
    return isinstance(data, dict) and data.get("done") is True


def _is_observation(reply: Any) -> bool:
    return isinstance(reply, dict) and reply.get("type") == "observation"
