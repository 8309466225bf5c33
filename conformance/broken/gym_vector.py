"""Vector messages of the tiny server of a wrapped Gymnasium environment."""

from __future__ import annotations

from typing import Any

from conformance.broken.healthy import Frame, Healthy, Invalid, Session, entry, error
from conformance.values import Array

MODES = ("NextStep", "SameStep", "Disabled")
KEYS = {
    "make": {"num_envs", "autoreset_mode", "vectorization", "render_mode"}, "reset": {"seed", "options"},
    "step": {"actions"}, "render": set(), "close": set(),
}  # fmt: skip


class Vectors(Healthy):
    """What answers `vector` frames. The sub-environments of a session are its environment's `walkers`."""

    has_vector = True
    max_envs = 4096

    def on_vector(self, session: Session, frame: Frame) -> Frame:
        """Answer a vector frame."""
        self.forbid_extra(frame, "type", "data")
        data = self.object_data(frame)
        op = data.pop("op", None)
        if not self.has_vector:
            raise _invalid("type", "this environment has no vector messages", "vector")
        if not isinstance(op, str) or op not in KEYS:
            raise _invalid("op", "no such operation", op)
        if op != "make" and session.env.walkers is None:
            raise _invalid("op", "the first vector message is make", op)
        if extra := data.keys() - KEYS[op]:
            raise _invalid(min(extra), "no such argument", data)
        answers = {
            "make": self.vector_make, "reset": self.vector_reset, "step": self.vector_step,
            "render": self.vector_render, "close": self.vector_close,
        }  # fmt: skip
        try:
            return {"type": "vector", "data": answers[op](session.env, data)}
        except RuntimeError as exc:
            return error("EXECUTION_ERROR", str(exc))

    def vector_make(self, env: Any, data: Frame) -> Frame:
        """Build sub-environments."""
        num_envs, mode = data.get("num_envs"), data.get("autoreset_mode", "NextStep")
        if type(num_envs) is not int or not 1 <= num_envs <= self.max_envs:
            raise _invalid("num_envs", f"an integer from 1 to {self.max_envs} is accepted", num_envs)
        if mode not in MODES:
            raise _invalid("autoreset_mode", "no such mode", mode)
        if data.get("vectorization") not in (None, "sync"):
            raise _invalid("vectorization", "sync is accepted", data["vectorization"])
        env.walkers, env.autoreset = [self.build() for _ in range(num_envs)], mode
        single = self.describe()
        spaces = {key: single[key] for key in ("observation_space", "action_space")}
        box, discrete = spaces["observation_space"], spaces["action_space"]
        rows = {key: [box[key]] * num_envs for key in ("low", "high")}
        return {
            "num_envs": num_envs,
            "autoreset_mode": mode,
            "vectorization": "sync",
            "observation_space": {**box, **rows, "shape": [num_envs, *box["shape"]]},
            "action_space": {
                "type": "MultiDiscrete", "dtype": "int64", "shape": [num_envs], "nvec": discrete["n"], "start": 0,
            },
            **{f"single_{key}": value for key, value in spaces.items()},
        }  # fmt: skip

    def describe(self) -> Frame:
        """The body of `/gymnasium`."""
        raise NotImplementedError

    def vector_reset(self, env: Any, data: Frame) -> Frame:
        """Reset all, or those of a mask."""
        walkers, seed, options = env.walkers, data.get("seed"), data.get("options")
        if seed is not None and not isinstance(seed, int):
            raise _invalid("seed", "an integer or null is accepted", seed)
        if options is not None and not isinstance(options, dict):
            raise _invalid("options", "a map or null is accepted", options)
        mask = options["reset_mask"].items if options and "reset_mask" in options else (True,) * len(walkers)
        return self.batch([
            self.reset_one(walker, None if seed is None else seed + index) if chosen else walker.shown
            for index, (walker, chosen) in enumerate(zip(walkers, mask, strict=True))
        ], {})  # fmt: skip

    def reset_one(self, walker: Any, seed: int | None = None) -> Frame:
        """Reset a sub-environment, which keeps what it shows."""
        walker.shown = walker.reset(seed=seed)["observation"]
        shown: Frame = walker.shown
        return shown

    def vector_step(self, env: Any, data: Frame) -> Frame:
        """Step all."""
        walkers, actions = env.walkers, data.get("actions")
        good = isinstance(actions, Array) and actions.shape == (len(walkers),)
        if not good or not all(isinstance(it, int) and 0 <= it < 4 for it in actions.items):  # type: ignore[union-attr]
            raise _invalid("actions", "not in the batched action space", repr(actions))
        infos: Frame = {}
        results = [
            self.step_one(env.autoreset, index, walker, action, infos)
            for index, (walker, action) in enumerate(zip(walkers, actions.items, strict=True))  # type: ignore[union-attr]
        ]
        rewards, ended = [reward for _, reward, _ in results], [flags for _, _, flags in results]
        return self.batch([shown for shown, _, _ in results], infos) | self.vector_flags(rewards, ended)

    def vector_flags(self, rewards: list[Any], ended: list[tuple[bool, bool]]) -> Frame:
        """Rewards and flags of a step."""
        shape = (len(rewards),)
        return {
            "rewards": Array("float64", shape, tuple(rewards)),
            "terminated": Array("bool", shape, tuple(it[0] for it in ended)),
            "truncated": Array("bool", shape, tuple(it[1] for it in ended)),
        }

    def step_one(
        self, mode: str, index: int, walker: Any, action: int, infos: Frame
    ) -> tuple[Frame, float, tuple[bool, bool]]:
        """Step a sub-environment, or reset it as the mode says: what it shows, its reward, its flags."""
        if mode == "NextStep" and any(walker.ended):
            return self.reset_one(walker), 0.0, (False, False)
        if mode == "Disabled" and any(walker.ended):
            raise RuntimeError("a sub-environment that is done was not reset")
        result = walker.step({"action": action})
        walker.shown, ended = result["observation"], walker.ended
        if mode == "SameStep" and any(ended):
            final = infos.setdefault("final_obs", {})
            final[index] = walker.shown["obs"]
            self.reset_one(walker)
        return walker.shown, result["reward"], ended

    def batch(self, shown: list[Frame], infos: Frame) -> Frame:
        """Observations and infos of all."""
        items = tuple(item for it in shown for item in it["obs"].items)
        final = infos.pop("final_obs", None)
        if final is not None:
            rows = tuple(final.get(index) for index in range(len(shown)))
            infos["final_obs"] = Array("object", (len(shown),), rows)
            infos["_final_obs"] = Array("bool", (len(shown),), tuple(row is not None for row in rows))
        return {"obs": Array("float32", (len(shown), 2), items), "infos": infos}

    def vector_render(self, env: Any, data: Frame) -> Frame:
        """Pictures of all."""
        return {"frames": tuple(walker.render() for walker in env.walkers)}

    def vector_close(self, env: Any, data: Frame) -> Frame:
        """Drop the sub-environments."""
        env.walkers = None
        return {}


def _invalid(where: str, message: str, value: Any) -> Invalid:
    return Invalid([entry("value_error", [where], message, value)])
