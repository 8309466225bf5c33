"""Section 11 of the specification: rewards, schemas, and the values of actions."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry

from conformance.actions import fits
from conformance.checks import check
from conformance.episodes import Call, Episode, all_calls, episodes
from conformance.view import Broken, Missing, View, expect, short

PLAYED = ("semantics.same.0", "semantics.watched", "semantics.episode", "semantics.end")
ENOUGH = 4
"""Steps of an episode that are repetitions, from which a sum can be told."""
MOST_BYTES = 2 * 1024 * 1024
"""Of messages that are validated for one requirement; pixels take long."""


@check("SEM-14")
def reward_of_the_step(view: View) -> str | None:
    view.ask("semantics.episode", "step.0")
    known = False
    for name in PLAYED:
        for episode in episodes(view, name):
            verdict = _is_summed(episode)
            known = known or verdict is not None
            if verdict:
                last = episode.steps[-1].reply
                view.look(name, last.index)
                rewards = ", ".join(str(step.reply.data.get("reward")) for step in episode.steps)
                raise Broken(f"the rewards of an episode are sums over its steps: {short(rewards)}")
    return None if known else "the rewards that were seen do not show whether they are sums"


@check("SEM-15")
def finite_rewards(view: View) -> None:
    view.ask("semantics.episode", "step.0")
    for call in _own_steps(view):
        reward = call.reply.data.get("reward")
        good = isinstance(reward, int | float) and not isinstance(reward, bool) and math.isfinite(reward)
        if not good:
            view.look(call.reply.socket.name, call.sent)
            view.look(call.reply.socket.name, call.reply.index)
            raise Broken(f"the reward of a step is no finite number: {short(reward)} in {short(call.reply.raw)}")


@check("SEM-16")
def observations_fit(view: View) -> None:
    view.ask("semantics.episode", "step.0")
    resets = [] if "reset_observation" in view.schema else _resets(view)
    _expect_valid(view, "observation", (*_own_steps(view), *resets), _flat)


@check("SEM-17")
def reset_observations_fit(view: View) -> None:
    view.ask("semantics.episode", "reset")
    _expect_valid(view, "reset_observation", _resets(view), _flat)


@check("SEM-18")
def states_fit(view: View) -> None:
    view.ask("semantics.episode", "state.0")
    states = (call for call in all_calls(view, "state") if call.answered == "state")
    _expect_valid(view, "state", states, lambda call: call.reply.data)


@check("SEM-21")
def actions_arrive(view: View) -> None:
    action = view.given("echo", "no action is known whose values the observation repeats")
    reply = view.ask("semantics.echo", "echo")
    value = max(action.values(), key=lambda it: len(json.dumps(it)))
    expect(_holds(reply.observation, value), f"{short(value)} was sent, and the observation is {short(reply.raw, 300)}")


@check("SEM-22")
def described_actions(view: View) -> None:
    view.socket("actions")
    if view.fact("no_action"):
        raise Broken(str(view.fact("no_action")))
    actions, schema = view.fact("actions") or [], view.schema.get("action")
    expect(actions, "no action was tried")
    described = isinstance(schema, dict) and any(fits(schema, action) for action in actions)
    expect(described, f"the environment takes {short(actions[0])}, which does not fit the action schema that it has")


def _own_steps(view: View) -> Iterator[Call]:
    """The steps that gave an observation of the environment's own."""
    return (call for call in all_calls(view, "step") if call.answered == "observation" and not call.uses_tools)


def _resets(view: View) -> Iterator[Call]:
    return (call for call in all_calls(view, "reset") if call.answered == "observation")


# Sums


def _is_summed(episode: Episode) -> bool | None:
    """Whether the rewards of an episode are partial sums; None where it does not show.

    What is done again under the same circumstances has the same reward. Where it has not, but the differences
    between the rewards are the same, these are the rewards and what was sent are their sums.
    """
    rewards = [float(reward) for _, reward, _ in episode.shown[1:] if isinstance(reward, int | float)]
    if len(rewards) < len(episode.steps):
        return None
    again = _again(_transitions(episode)) or _again(_text(step.data) for step in episode.steps)
    if sum(map(len, again)) < ENOUGH:
        return None
    differences = [after - before for before, after in pairwise([0.0, *rewards])]
    if _alike(rewards, again):
        return False
    grows = any(differences[number] for numbers in again for number in numbers)
    return True if grows and _alike(differences, again) else None


def _transitions(episode: Episode) -> list[str]:
    """Each step with the observations around it."""
    seen = [_text(observation) for observation, _, _ in episode.shown]
    actions = [_text(step.data) for step in episode.steps]
    return [f"{before} {action} {after}" for (before, after), action in zip(pairwise(seen), actions, strict=True)]


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _again(keys: Iterable[str]) -> list[list[int]]:
    """The places of the keys that occur more than once."""
    places: dict[str, list[int]] = defaultdict(list)
    for number, key in enumerate(keys):
        places[key].append(number)
    return [numbers for numbers in places.values() if len(numbers) > 1]


def _alike(values: list[float], groups: list[list[int]]) -> bool:
    return all(math.isclose(values[it], values[first], abs_tol=1e-9) for first, *rest in groups for it in rest)


# Schemas


def _flat(call: Call) -> Any:
    data = call.reply.data
    return {**call.reply.observation, "reward": data.get("reward"), "done": data.get("done")}


def _expect_valid(view: View, key: str, some: Iterable[Call], document: Callable[[Call], Any]) -> None:
    """Raise `Broken` unless what the calls were answered with fits the schema under a key of `/schema`."""
    schema = view.schema.get(key)
    if not isinstance(schema, dict):
        raise Missing(f"GET /schema has no object `{key}`")
    # Without a registry, a reference to elsewhere would be fetched.
    validator = Draft202012Validator(schema, registry=Registry())
    judged, left = set(), MOST_BYTES
    for call in some:
        payload = call.reply.event.payload
        if payload in judged or len(payload) > left:
            continue
        judged.add(payload)
        left -= len(payload)
        wrong = _wrong(validator, key, document(call))
        if wrong:
            view.look(call.reply.socket.name, call.reply.index)
            raise Broken(f"{wrong}, says `{key}` of /schema of {short(call.reply.raw)}")


def _wrong(validator: Draft202012Validator, key: str, document: Any) -> str | None:
    try:
        error = next(validator.iter_errors(document), None)
    except Exception as exc:  # what a broken schema raises is anybody's guess
        raise Missing(f"the schema `{key}` cannot be used: {type(exc).__name__}: {exc}") from None
    return f"{error.json_path}: {short(error.message)}" if error is not None else None


def _holds(document: Any, value: Any) -> bool:
    """Whether a value stands somewhere in a document, as it was sent."""
    if _equal(document, value):
        return True
    inner = document.values() if isinstance(document, dict) else document if isinstance(document, list) else ()
    return any(_holds(it, value) for it in inner)


def _equal(one: Any, two: Any) -> bool:
    """Equality of JSON: numbers by value, and a boolean is no number."""
    if isinstance(one, dict) and isinstance(two, dict):
        return one.keys() == two.keys() and all(_equal(one[key], two[key]) for key in one)
    if isinstance(one, list) and isinstance(two, list):
        return len(one) == len(two) and all(map(_equal, one, two))
    return isinstance(one, bool) is isinstance(two, bool) and bool(one == two)
