"""Defects of section 13.4: episodes of a wrapped Gymnasium environment."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from conformance.broken import reply
from conformance.broken.gym import Gym, GymObservation, Walk, float32
from conformance.broken.gym_defects import broken, describes, observes
from conformance.broken.healthy import Frame, Invalid, Rejected, Session, entry, error, json_response
from conformance.broken.wire import Request
from conformance.values import Array, number


def _walks(**members: Any) -> Callable[[Gym], Any]:
    """A method `build` that makes walkers with other members."""
    kind = type("BrokenWalk", (Walk,), members)
    return lambda self: kind()


class WideObservation(GymObservation):
    """An observation with a field of its own."""

    position: float = 0.0


def _cumulates(self: Walk, reward: Any, info: Frame) -> Frame:
    return Walk.result(self, None if reward is None else float(self.state["step_count"]), info)


def _restarts(*, hidden: bool) -> Any:
    """A method `step` of a walker that resets itself after the end."""

    def step(self: Walk, action: Frame) -> Frame:
        if not any(self.ended):
            return Walk.step(self, action)
        state = self.state
        result = Walk.reset(self)
        if hidden:
            self.state = {**state, "step_count": state["step_count"] + 1}
        return {**result, "reward": 0.0}

    return step


def _forgets(self: Walk, seed: int | None = None, episode_id: str | None = None, **more: Any) -> Frame:
    if seed is None:
        self.random = random.Random()
    return Walk.reset(self, seed, episode_id, **more)


def _reseeds(self: Walk, seed: int | None = None, episode_id: str | None = None, **more: Any) -> Frame:
    self.__dict__["seed"] = seed if seed is not None else self.__dict__.get("seed")
    return Walk.reset(self, self.__dict__["seed"], episode_id, **more)


def _types_always(self: Gym, frame: Frame) -> Frame:
    plain = Gym.plain(self, frame)
    observation = plain.get("data", {}).get("observation")
    if isinstance(observation, dict):
        observation.setdefault("types", {})
    return plain


def _types_are(change: Callable[[dict[str, str]], dict[str, str]], *, at_the_end: bool = False) -> Any:
    """A method `plain` with other types, perhaps only where an episode ends."""

    def plain(self: Gym, frame: Frame) -> Frame:
        changed = Gym.plain(self, frame)
        data = changed.get("data", {})
        if "types" in data.get("observation", {}) and (data["done"] or not at_the_end):
            data["observation"]["types"] = change(data["observation"]["types"])
        return changed

    return plain


def _wide(self: Gym, frame: Frame) -> Frame:
    plain = Gym.plain(self, frame)
    observation = plain.get("data", {}).get("observation")
    if isinstance(observation, dict):
        observation["position"] = observation["obs"][0]
    return plain


def _plain_two_digits(self: Gym, value: Any, at: str, types: dict[str, str]) -> Any:
    plain = Gym.plain_value(self, value, at, types)
    return [round(item, 2) for item in plain] if at == "/obs" else plain


def _state(change: Callable[[Gym, Any, Frame], None]) -> Any:
    """A method `on_state` that changes the data of its reply."""

    def on_state(self: Gym, session: Session, frame: Frame) -> Frame:
        answer = Gym.on_state(self, session, frame)
        change(self, session.env, answer["data"])
        return answer

    return on_state


def _rendered_state(request: Request) -> Any:
    walk = Walk()
    return json_response(200, {**walk.state, "render": walk.render()})


def _any_time(self: Gym, env: Any, mode: Any) -> None:
    if mode not in self.modes:
        raise Invalid([entry("value_error", ["render_mode"], "No such render mode", mode)])
    env.mode = mode


def _ignores_modes(self: Gym, env: Any, mode: Any) -> None:
    if mode in self.modes:
        Gym.render_with(self, env, mode)


def _late_refusal(self: Gym, env: Any, mode: Any) -> None:
    if mode not in self.modes:
        raise Rejected(error("EXECUTION_ERROR", "no such render mode"))
    Gym.render_with(self, env, mode)


def _takes_fractions(self: Gym, data: Frame) -> Frame:
    value = number(data.get("action"))
    return Gym.action(self, {**data, "action": int(value)} if isinstance(value, float) else data)


def _executes(self: Gym, data: Frame) -> Frame:
    if isinstance(data.get("action"), list):
        raise Rejected(error("EXECUTION_ERROR", "no such action"))
    return Gym.action(self, data)


def _steps_refused(self: Gym, session: Session, frame: Frame) -> Frame:
    try:
        return Gym.on_step(self, session, frame)
    except Invalid as exc:
        if isinstance(exc.errors[0]["input"], float) and session.env.started:
            session.env.step({"action": 1})
        raise


_WITHOUT_INFO = observes(lambda it: {k: v for k, v in it.items() if k != "info" or v})

broken("no info where it is empty", "GYM-8", alter_reply=reply(lambda request, frame: _WITHOUT_INFO(frame)))
broken(
    "done is terminated", "GYM-9",
    alter_reply=reply(
        lambda request, it: {**it, "data": {**it["data"], "done": it["data"]["observation"]["terminated"]}}
        if it["type"] == "observation" else None
    ),
)  # fmt: skip
broken("the position beside the observation", "GYM-10", observation_model=WideObservation, plain=_wide)
broken("types where there are none", "GYM-12", plain=_types_always)
broken(
    "no types of scalars", "GYM-13", plain=_types_are(lambda old: {k: v for k, v in old.items() if "moves" not in k})
)
broken("types of other places", "GYM-13", plain=_types_are(lambda old: {f"{k}s": v for k, v in old.items()}))
broken(
    "types of another form", "GYM-13",
    plain=_types_are(lambda old: {k: f"numpy.{v}" for k, v in old.items()}, at_the_end=True),
)  # fmt: skip
broken(
    "other dtypes", "GYM-13", "BIN-9",
    plain=_types_are(lambda old: {k: v.replace("int8(", "int16(") for k, v in old.items()}),
)  # fmt: skip
broken(
    "observations of two digits", "GYM-13", "BIN-9", "VEC-3", "VEC-5",
    plain_value=_plain_two_digits,
)  # fmt: skip
broken("declares cumulative rewards", "GYM-14", describe=describes(reward="cumulative"))
broken("sums rewards up", "GYM-14", "SEM-14", build=_walks(result=_cumulates))
broken("a new episode after the end", "GYM-15", "SEM-5", "SEM-12", build=_walks(step=_restarts(hidden=False)))
broken("a hidden reset after the end", "GYM-15", build=_walks(step=_restarts(hidden=True)))
broken("a new environment for each episode", "GYM-16", "SEM-10", build=_walks(reset=_forgets))
broken("each episode has the seed of the first", "GYM-16", "SEM-10", build=_walks(reset=_reseeds))
broken("renders never", "GYM-17", on_state=_state(lambda self, env, data: data.pop("render", None)))
broken(
    "renders always", "GYM-17",
    on_state=_state(lambda self, env, data: data.update(render=env.render())),
    routes=lambda self: Gym.routes(self) | {"/state": {"GET": _rendered_state}},
)  # fmt: skip
broken("renders when a later reset asks", "GYM-17", render_with=_any_time)
broken("ignores unknown render modes", "GYM-18", render_with=_ignores_modes)
broken("executes unknown render modes", "GYM-18", render_with=_late_refusal)
broken("takes fractions for actions", "GYM-19", action=_takes_fractions)
broken("executes what is no action", "GYM-19", action=_executes)
broken("steps for fractions that it refuses", "GYM-19", on_step=_steps_refused)
broken(
    "walks outside its space", "GYM-21",
    build=_walks(observe=lambda self: Array("float32", (2,), (float32(self.position + 8), 0.5))),
)  # fmt: skip
