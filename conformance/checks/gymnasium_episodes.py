"""Section 13.4 of the specification: episodes of wrapped Gymnasium environments."""

from __future__ import annotations

from typing import Any

from conformance.checks import check
from conformance.spaces import alike, decode, outside
from conformance.values import same
from conformance.view import Broken, Missing, Reply, View, expect, short
from conformance.wrapped import (
    FIELDS,
    WRONG,
    compared,
    document,
    is_finite,
    is_repeatable,
    is_selected,
    observations,
    sequence,
    shown,
    space,
    whole,
)  # fmt: skip

# Observations


@check("GYM-8")
def fields_of_observations(view: View) -> None:
    document(view)
    for reply in observations(view):
        missing = [key for key in FIELDS if key not in reply.observation]
        expect(not missing, f"an observation lacks {', '.join(missing)}: {short(reply.raw)}")


@check("GYM-9")
def done_is_terminated_or_truncated(view: View) -> None:
    document(view)
    for reply in observations(view):
        values = [_number(reply.observation.get(key)) for key in ("terminated", "truncated")]
        done = reply.data.get("done")
        expect(done == any(values), f"done is {done}, terminated {values[0]}, truncated {values[1]}")


@check("GYM-10")
def one_field_for_the_observation(view: View) -> None:
    document(view)
    for reply in observations(view):
        extra = sorted(reply.observation.keys() - {*FIELDS, "metadata", "types"})
        expect(not extra, f"an observation has {', '.join(extra)} beside `obs`: {short(reply.raw)}")


@check("GYM-12")
def no_empty_types(view: View) -> None:
    document(view)
    for reply in view.each("observation", "state"):
        values = reply.data.get("observation") if reply.type == "observation" else reply.data
        empty = isinstance(values, dict) and "types" in values and not values["types"]
        expect(not empty, f"`types` is empty: {short(reply.raw)}")


@check("GYM-13")
def values_decode(view: View) -> str | None:
    document(view)
    for reply in view.each("observation", "state"):
        try:
            _decodes(view, reply)
        except WRONG as exc:
            raise Broken(f"a value does not decode by `types` and the space: {exc}; {short(reply.raw)}") from None
    if not is_selected(view):
        return "there is no other form of the values to compare with"
    for fields in compared(view):
        for key, (plain, packed) in fields.items():
            expect(same(plain, packed), f"`{key}` is {plain!r:.90} in JSON and {packed!r:.90} in MessagePack")
    return None


@check("GYM-21")
def in_the_space(view: View) -> None:
    observed = space(view, "observation_space")
    for reply in view.each("observation"):
        try:
            obs = shown(view, reply)["obs"]
        except (Broken, *WRONG):
            continue  # GYM-13 says so
        why = outside(obs, observed, "obs")
        expect(not why, why)


# Episodes


@check("GYM-14")
def reward_of_the_step_alone(view: View) -> str:
    declared = document(view).get("reward")
    expect(declared == "per-step", f"`reward` of /gymnasium is {short(declared)}, not per-step")
    rewards = [[it["reward"] for it in whole(view, index)[0][1:]] for index in (0, 1)]
    if not any(rewards):
        raise Missing("no step was answered with an observation that decodes")
    # What grows by the same amount at every step, whatever is done, is a sum.
    expect(not all(map(_grows, rewards)) or rewards[0][0] != rewards[1][0],
           f"the rewards are {short(rewards[0][:8])}: sums of {rewards[0][0]} a step")  # fmt: skip
    return f"rewards of an episode: {short(rewards[0][:8])}"


@check("GYM-15")
def no_reset_after_done(view: View) -> None:
    document(view)
    _, after_reset = whole(view, 0)
    before, after = (_state(view, label) for label in ("done.state", "after.state"))
    reply = view.ask("gymnasium.after", "after.step")
    expect(after.get("episode_id") == before.get("episode_id"), "a step after `done` began another episode")
    taken = after.get("step_count"), before.get("step_count")
    expect(
        taken[0] in (taken[1], (taken[1] or 0) + 1),
        f"a step after `done` took `step_count` from {taken[1]} to {taken[0]}",
    )
    if reply.type != "observation" or not after_reset or not is_repeatable(view):
        return
    try:
        step = shown(view, reply)
    except WRONG:
        return  # GYM-13 says so
    fresh = alike(step["obs"], after_reset[0]["obs"]) and not step["done"]
    expect(not fresh, f"the step after `done` shows the first observation of the next episode: {short(reply.raw)}")


@check("GYM-16")
def one_environment_per_session(view: View) -> str | None:
    document(view)
    view.ask("gymnasium.first", "seeded.reset").expect_type("observation")
    if not is_repeatable(view):
        return "episodes with the same seed differ: nothing can be told"
    first, second = (sequence(view, name, "next") for name in ("gymnasium.first", "gymnasium.second"))
    if not first:
        raise Missing("no second episode was played")
    for one, other in zip(first, second, strict=False):
        expect(_alike(one, other), f"after a reset with a seed, the next episode is {one['obs']!r:.60} in one session "
               f"and {other['obs']!r:.60} in another: its random stream is not that of the seed")  # fmt: skip
    seeded = sequence(view, "gymnasium.first", "seeded")
    starts = [whole(view, index)[0][:1] for index in (0, 1)]
    varies = all(starts) and not alike(starts[0][0]["obs"], starts[1][0]["obs"])
    again = len(first) == len(seeded) and all(map(_alike, first, seeded))
    expect(not (varies and again), "a reset without a seed repeats the episode of the seed: the stream began anew")
    return None


@check("GYM-17")
def render_in_states(view: View) -> str | None:
    modes = document(view).get("render_modes")
    for label in ("state", "late.state") if modes else ("state",):
        data = view.ask("gymnasium.modes", label).data
        expect("render" not in data, f"a state has `render`, which the first reset did not ask for: {short(data)}")
    if not modes:
        return "there is no render mode"
    expect("render" not in view.ask("gymnasium.render", "before").data, "a state before the first reset has `render`")
    for reset, state in (("reset", "state"), ("again.reset", "again.state")):
        view.ask("gymnasium.render", reset).expect_type("observation")
        data = view.ask("gymnasium.render", state).data
        expect("render" in data, f"a state lacks `render`, which the first reset asked for: {short(data)}")
    return None


@check("GYM-18")
def unknown_render_modes(view: View) -> None:
    document(view)
    for label in ("no_such_mode", "human"):
        view.ask("gymnasium.modes", label).expect_code("VALIDATION_ERROR")
    view.ask("gymnasium.modes", "reset").expect_type("observation")


@check("GYM-19")
def outside_the_action_space(view: View) -> None:
    document(view)
    socket = view.socket("gymnasium.actions")
    before = view.ask("gymnasium.actions", "before").data
    labels = [it.label for it in socket.events if it.label.startswith("outside.")]
    for label, reply in view.asked("gymnasium.actions", *labels):
        expect(reply.code == "VALIDATION_ERROR",
               f"an action that does not fit ({label.partition('.')[2]}) is answered {short(reply.raw)}")  # fmt: skip
    after = view.ask("gymnasium.actions", "after").data
    counts = before.get("step_count"), after.get("step_count")
    expect(counts[0] == counts[1], f"refused actions took `step_count` from {counts[0]} to {counts[1]}")
    view.ask("gymnasium.actions", "step").expect_type("observation")


def _number(value: Any) -> bool:
    items = getattr(value, "items", None)
    return bool(items[0] if isinstance(items, tuple) else value)


def _decodes(view: View, reply: Reply) -> None:
    if reply.type == "observation":
        shown(view, reply)
        values = reply.observation
    else:
        values = reply.data
        decode({key: value for key, value in values.items() if key != "types"}, None, values.get("types", {}))
    for pointer in values.get("types", {}):
        if pointer != "/reward":
            _resolve(values, pointer)


def _resolve(value: Any, pointer: str) -> None:
    if not pointer.startswith("/"):
        raise ValueError(f"`types` has {pointer!r}, which is no JSON Pointer")
    for token in pointer[1:].split("/"):
        key = token.replace("~1", "/").replace("~0", "~")
        try:
            value = value[int(key) if isinstance(value, list) else key]
        except (LookupError, ValueError, TypeError):
            raise ValueError(f"`types` has {pointer!r}, where nothing is") from None


def _grows(rewards: list[Any]) -> bool:
    if len(rewards) < 5 or not all(map(is_finite, rewards)) or not rewards[0]:
        return False
    return all(abs(reward - (n + 1) * rewards[0]) < 1e-9 * (n + 1) for n, reward in enumerate(rewards))


def _alike(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return alike(one["obs"], other["obs"])


def _state(view: View, label: str) -> dict[str, Any]:
    if view.socket("gymnasium.after").find(label) is None:
        view.given("ends", "no episode ended in 300 steps; actions that end one are not known")
    reply = view.ask("gymnasium.after", label)
    reply.expect_type("state")
    return reply.data
