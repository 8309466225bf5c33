"""Defects of section 11: episodes, seeds and states."""

from __future__ import annotations

import itertools
import random
import unicodedata
from typing import Any

from conformance.broken import defect, reply
from conformance.broken.healthy import Counter, Ending, Frame, Healthy, Session, error


class Remembering(Counter):
    """A counter with room for what defects remember."""

    over = False
    seed = 0
    resets = 0


def env(**members: Any) -> Any:
    """A method `build` that builds counters of which some members are replaced."""
    counter = type("BrokenCounter", (Remembering,), members)
    return lambda self: counter()


def _state(change: Any) -> Any:
    """A method `alter_reply` that changes states: `change(data)` changes their data."""

    def altered(request: Any, frame: Frame) -> Frame | None:
        if frame["type"] != "state":
            return None
        data = dict(frame["data"])
        change(data)
        return {**frame, "data": data}

    return reply(altered)


def _without_null(data: Frame) -> None:
    if data["episode_id"] is None:
        del data["episode_id"]


def _only_ascii(data: Frame) -> None:
    id = data["episode_id"] or ""
    data["episode_id"] = unicodedata.normalize("NFKD", id).encode("ascii", "ignore").decode() or None


def _one_at_least(data: Frame) -> None:
    data["step_count"] = max(data["step_count"], int(str(data["episode_id"]).startswith("conformance/")))


# Environments


def _keep_first_id(self: Counter, seed: int | None = None, episode_id: str | None = None, **_: Any) -> Frame:
    kept = self.state["episode_id"] if episode_id else None
    return Counter.reset(self, seed, kept or episode_id)


def _count_twice(self: Counter, action: Frame) -> Frame:
    data = Counter.step(self, action)
    self.state["step_count"] += self.state["step_count"] == 4
    return data


def _stop_counting(self: Remembering, action: Frame) -> Frame:
    before = self.state["step_count"]
    data = Counter.step(self, action)
    if self.over:
        self.state["step_count"] = before
    self.over = data["done"]
    return data


def _no_id(self: Counter, seed: int | None = None, episode_id: str | None = None, **_: Any) -> Frame:
    data = Counter.reset(self, seed, episode_id)
    self.state["episode_id"] = episode_id
    return data


def _same_id(self: Counter, seed: int | None = None, episode_id: str | None = None, **_: Any) -> Frame:
    return Counter.reset(self, seed, episode_id or "episode")


def _seed_is_a_number(self: Counter, **arguments: Any) -> Frame:
    if "seed" in arguments:
        arguments["seed"] + 0
    return Counter.reset(self, **arguments)


def _signed_seed(self: Counter, seed: int | None = None, **arguments: Any) -> Frame:
    (seed or 0).to_bytes(4, signed=True)
    return Counter.reset(self, seed, **arguments)


def _seed_is_true(self: Counter, **arguments: Any) -> Frame:
    if arguments.get("seed", 1) == 0:
        raise ValueError("no seed")
    return Counter.reset(self, **arguments)


def _random_rewards(self: Counter, action: Frame) -> Frame:
    return {**Counter.step(self, action), "reward": random.random()}


def _random_start(self: Counter, seed: int | None = None, episode_id: str | None = None, **_: Any) -> Frame:
    return Counter.reset(self, random.randrange(10**9) if seed is None else seed, episode_id)


def _last_seed(self: Remembering, seed: int | None = None, episode_id: str | None = None, **_: Any) -> Frame:
    self.seed = self.seed if seed is None else seed
    return Counter.reset(self, self.seed, episode_id)


def _each_differs() -> Any:
    """A method `build` whose environments each begin elsewhere for the same seed."""
    built = itertools.count()

    def build(self: Healthy) -> Counter:
        number = next(built)

        class Shifted(Counter):
            def reset(self, seed: int | None = None, episode_id: str | None = None, **_: Any) -> Frame:
                super().reset(seed, episode_id)
                self.state["value"] += 0 if seed is None else number
                return self.result(None, False)

        return Shifted()

    return build


def _again_differs(self: Remembering, seed: int | None = None, episode_id: str | None = None, **_: Any) -> Frame:
    self.resets += 1
    return Counter.reset(self, None if seed is None else seed + (self.resets > 3), episode_id)


def _refuse_middle(self: Counter, **arguments: Any) -> Frame:
    if "middle" in (arguments.get("episode_id") or ""):
        raise RuntimeError("the episode is not over")
    return Counter.reset(self, **arguments)


def _go_on(self: Counter, **arguments: Any) -> Frame:
    before = dict(self.state)
    data = Counter.reset(self, **arguments)
    if "middle" in (arguments.get("episode_id") or ""):
        self.state["step_count"] = before["step_count"]
    return data


def _reset_after_done(self: Remembering, action: Frame) -> Frame:
    if self.over:
        self.reset()
    data = Counter.step(self, action)
    self.over = data["done"]
    return data


def _new_id_after_done(self: Remembering, action: Frame) -> Frame:
    if self.over:
        self.state["episode_id"] = "another"
    data = Counter.step(self, action)
    self.over = data["done"]
    return data


def _start_by_step(self: Counter, action: Frame) -> Frame:
    if self.state["episode_id"] is None:
        self.reset()
    return Counter.step(self, action)


# The server


def _out_of_place(when: Any) -> Any:
    """A method `on_step` that ends the session where a step is out of place."""

    def on_step(self: Healthy, session: Session, frame: Frame) -> Frame:
        self.forbid_extra(frame, "type", "data")
        self.action(self.object_data(frame))
        if when(session):
            raise Ending(error("SESSION_ERROR", "there is no episode"))
        data = Healthy.on_step(self, session, frame)
        session.env.over = data["data"].get("done")
        return data

    return on_step


def _moving_state(self: Healthy, session: Session, frame: Frame) -> Frame:
    state = Healthy.on_state(self, session, frame)
    session.env.state["value"] += session.env.state["step_count"] > 0
    return state


def _counting_state(self: Healthy, session: Session, frame: Frame) -> Frame:
    state = Healthy.on_state(self, session, frame)
    if session.env.state["step_count"] == 5:
        session.env.state["step_count"] -= 1
    return state


defect("a state without an id has no `episode_id`", "SEM-1", alter_reply=_state(_without_null))
defect(
    "a count of steps as a float",
    "SEM-2",
    "ENC-14",
    alter_reply=_state(lambda data: data.update(step_count=float(data["step_count"]))),
)
defect("an id that was asked for loses letters", "SEM-3", alter_reply=_state(_only_ascii))
defect("the first id of a session stays", "SEM-3", build=env(reset=_keep_first_id))
defect("a reset counts as a step", "SEM-4", alter_reply=_state(_one_at_least))
defect("the fourth step counts twice", "SEM-5", build=env(step=_count_twice))
defect("steps after the end are not counted", "SEM-5", build=env(step=_stop_counting))
defect("an episode has no id of its own", "SEM-6", build=env(reset=_no_id))
defect("all episodes have the same id", "SEM-6", build=env(reset=_same_id))
defect("a seed must be a number", "SEM-7", build=env(reset=_seed_is_a_number))
defect("seeds of 31 bits", "SEM-8", build=env(reset=_signed_seed))
defect("the seed 0 is none", "SEM-8", build=env(reset=_seed_is_true))
defect("random rewards", "SEM-9", build=env(step=_random_rewards))
defect("a seed means something else in each session", "SEM-9", build=_each_differs())
defect("a seed means something else the second time", "SEM-9", build=env(reset=_again_differs))
defect("a reset without a seed takes a random one", "SEM-10", build=env(reset=_random_start))
defect("a reset without a seed takes the last one", "SEM-10", build=env(reset=_last_seed))
defect("no reset in the middle of an episode", "SEM-11", build=env(reset=_refuse_middle))
defect("a reset in the middle goes on counting", "SEM-4", "SEM-11", build=env(reset=_go_on))
defect("a step after the end resets", "SEM-5", "SEM-12", build=env(step=_reset_after_done))
defect("a step after the end has another id", "SEM-12", build=env(step=_new_id_after_done))
defect("a first step resets", "SEM-12", build=env(step=_start_by_step))
defect(
    "a step before a reset ends the session", "SEM-12", "SEM-13",
    on_step=_out_of_place(lambda session: session.env.state["episode_id"] is None),
)  # fmt: skip
defect(
    "a step after the end ends the session", "SEM-12", "SEM-13",
    on_step=_out_of_place(lambda session: getattr(session.env, "over", False)),
)  # fmt: skip
defect("a state moves the environment", "SEM-19", on_state=_moving_state)
defect("a state takes a step back", "SEM-5", "SEM-19", on_state=_counting_state)
defect(
    "an id before the first reset",
    "SEM-20",
    alter_reply=_state(lambda data: data.update(episode_id=data["episode_id"] or "none")),
)
defect("a state of another type", "SEM-18", alter_reply=_state(lambda data: data.update(value=str(data["value"]))))
