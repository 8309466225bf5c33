"""Defects of section 13.2: vector messages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from conformance.broken import defect
from conformance.broken.gym import Gym
from conformance.broken.gym_defects import broken
from conformance.broken.healthy import Ending, Frame, Healthy, Invalid, Rejected, Session, entry, error
from conformance.values import Array


def _vector_in_json(self: Healthy, session: Session, frame: Frame) -> Frame | None:
    if frame.get("type") == "vector":
        raise Invalid([entry("value_error", ["type"], "negotiate interop.msgpack.v1", "vector")])
    return Healthy.dispatch(self, session, frame)


def _unknown_type(self: Gym, session: Session, frame: Frame) -> Frame:
    raise Rejected(error("UNKNOWN_TYPE", "Unknown message type: vector"))


def _makes(change: Callable[[Frame], Frame]) -> Any:
    """A method `vector_make` that changes its reply."""
    return lambda self, env, data: change(Gym.vector_make(self, env, data))


def _first_alone(self: Gym, mode: str, index: int, walker: Any, action: int, infos: Frame) -> Any:
    if not index:
        return Gym.step_one(self, mode, index, walker, action, infos)
    return walker.shown, 1.0, walker.ended


def _same_seed(self: Gym, env: Any, data: Frame) -> Frame:
    shown = Gym.vector_reset(self, env, data)
    if data.get("seed") is None:
        return shown
    return self.batch([self.reset_one(walker, data["seed"]) for walker in env.walkers], {})


def _flags(**dtypes: str) -> Any:
    """A method `vector_flags` with other dtypes."""

    def vector_flags(self: Gym, rewards: list[Any], ended: list[tuple[bool, bool]]) -> Frame:
        flags = Gym.vector_flags(self, rewards, ended)
        return flags | {key: replace(flags[key], dtype=dtype) for key, dtype in dtypes.items()}

    return vector_flags


def _resets(**modes: str) -> Any:
    """A method `step_one` that treats modes like others."""

    def step_one(self: Gym, mode: str, index: int, walker: Any, action: int, infos: Frame) -> Any:
        return Gym.step_one(self, modes.get(mode, mode), index, walker, action, infos)

    return step_one


def _no_final_obs(self: Gym, shown: list[Frame], infos: Frame) -> Frame:
    return Gym.batch(self, shown, {})


def _first_as_final_obs(self: Gym, shown: list[Frame], infos: Frame) -> Frame:
    final = infos.get("final_obs")
    return Gym.batch(self, shown, {"final_obs": {i: shown[i]["obs"] for i in final}} if final else {})


def _rewarded_reset(self: Gym, mode: str, index: int, walker: Any, action: int, infos: Frame) -> Any:
    shown, reward, ended = Gym.step_one(self, mode, index, walker, action, infos)
    return shown, reward or 1.0, ended


def _no_mask(self: Gym, env: Any, data: Frame) -> Frame:
    masked = isinstance(data.get("options"), dict)
    return Gym.vector_reset(self, env, {**data, "options": None} if masked else data)


def _wrong_is(answer: Callable[[Exception], Exception | Frame], *where: str) -> Any:
    """A method `on_vector` that answers some requests of the wrong form otherwise."""

    def on_vector(self: Gym, session: Session, frame: Frame) -> Frame:
        try:
            return Gym.on_vector(self, session, frame)
        except Invalid as exc:
            if where and exc.errors[0]["loc"] != list(where):
                raise
            answered = answer(exc)
            if isinstance(answered, Exception):
                raise answered from None
            return answered

    return on_vector


def _drops(self: Gym, env: Any, data: Frame) -> Frame:
    env.walkers = None
    return Gym.vector_make(self, env, data)


def _steps_first(self: Gym, env: Any, data: Frame) -> Frame:
    actions = data.get("actions")
    if isinstance(actions, Array) and len(actions.items) > len(env.walkers):
        env.walkers[0].step({"action": actions.items[0]})
    return Gym.vector_step(self, env, data)


def _raises_invalid(self: Gym, env: Any, data: Frame) -> Frame:
    try:
        return Gym.vector_step(self, env, data)
    except RuntimeError as exc:
        raise Invalid([entry("value_error", ["actions"], str(exc), None)]) from None


def _raises_end(self: Gym, env: Any, data: Frame) -> Frame:
    try:
        return Gym.vector_step(self, env, data)
    except RuntimeError as exc:
        raise Ending(error("EXECUTION_ERROR", str(exc))) from None


def _limited(self: Gym, env: Any, data: Frame) -> Frame:
    if isinstance(data.get("num_envs"), int) and data["num_envs"] > self.capacity:
        raise Invalid([entry("value_error", ["num_envs"], "more than the capacity", data["num_envs"])])
    return Gym.vector_make(self, env, data)


def _counts_all(self: Gym) -> Session:
    with self.lock:
        others = [len(it.env.walkers) - 2 for it in self.sessions.values() if it.env.walkers]
        active = len(self.sessions) + sum(others)
    if active >= self.capacity:
        raise Ending(self.full(min(active, self.capacity)))
    return Gym.start(self)


class Single(Gym):
    """A server with MessagePack sessions and no vector messages."""

    has_vector = False


defect("vector frames are known in JSON", "VEC-1", dispatch=_vector_in_json)
broken("does not know its own vector frames", "VEC-2", base=Single, on_vector=_unknown_type)
broken(
    "says nothing of the single spaces", "VEC-3",
    vector_make=_makes(lambda made: {k: v for k, v in made.items() if not k.startswith("single")}),
)  # fmt: skip
broken("makes one more than it says", "VEC-3", vector_make=_makes(lambda made: {**made, "num_envs": 1}))
broken("steps the first alone", "VEC-3", "VEC-5", step_one=_first_alone)
broken("one seed for all", "VEC-3", "VEC-5", vector_reset=_same_seed)
broken("rewards of float32", "VEC-4", vector_flags=_flags(rewards="float32"))
broken("truncated as numbers", "VEC-4", vector_flags=_flags(truncated="uint8"))
broken("NextStep resets in the same step", "VEC-5", step_one=_resets(NextStep="SameStep"))
broken("SameStep resets in the next step", "VEC-5", step_one=_resets(SameStep="NextStep"))
broken("Disabled resets in the same step", "VEC-5", step_one=_resets(Disabled="SameStep"))
broken("no final_obs", "VEC-5", batch=_no_final_obs)
broken("the first observation as final_obs", "VEC-5", batch=_first_as_final_obs)
broken("a reward for the reset", "VEC-5", step_one=_rewarded_reset)
broken("resets all in spite of a mask", "VEC-5", vector_reset=_no_mask)
broken("always NextStep", "VEC-5", vector_make=_makes(lambda made: {**made, "autoreset_mode": "NextStep"}))
broken(
    "an unknown operation is executed", "VEC-6",
    on_vector=_wrong_is(lambda exc: error("EXECUTION_ERROR", "no such operation"), "op"),
)  # fmt: skip
broken(
    "wrong actions are executed", "VEC-6",
    on_vector=_wrong_is(lambda exc: error("EXECUTION_ERROR", "no such actions"), "actions"),
)  # fmt: skip
broken("a wrong make drops what there is", "VEC-6", vector_make=_drops)
broken("too many actions step the first", "VEC-6", vector_step=_steps_first)
broken("what raises has the wrong form", "VEC-7", vector_step=_raises_invalid)
broken("what raises ends the session", "VEC-7", vector_step=_raises_end)
broken("no more sub-environments than sessions", "VEC-8", vector_make=_limited)
broken("each sub-environment counts", "VEC-8", start=_counts_all)
broken("any number of sub-environments", "VEC-9", max_envs=100_000)
