"""The environment behind the golden transcripts: every way to answer, right and wrong, as an `op` of its action."""

from __future__ import annotations

import datetime
import inspect
import os
import threading
import time
import uuid
from typing import Any

from openenv.core.env_server import Action, ConcurrencyConfig, Environment, Observation, State, create_app
from openenv.core.env_server.types import EnvironmentMetadata
from pydantic import Field, field_validator


class ProbeAction(Action):
    op: str = Field(description="What to do")
    delta: int = Field(default=1, ge=-10, le=10, description="Counter increment")
    payload: Any | None = Field(default=None, description="Free payload")

    @field_validator("op")
    @classmethod
    def _no_bad(cls, value: str) -> str:
        if value == "bad_op":
            raise ValueError("op must not be bad_op")
        return value


class ProbeObservation(Observation):
    value: int = Field(description="Counter value")
    note: str | None = Field(default=None)
    extra: Any | None = Field(default=None)


class ProbeState(State):
    value: int = 0
    seed: int | None = None


class ProbeEnv(Environment[ProbeAction, ProbeObservation, ProbeState]):
    SUPPORTS_CONCURRENT_SESSIONS = True
    instances = 0
    closed = 0

    def __init__(self) -> None:
        super().__init__()
        ProbeEnv.instances += 1
        self.idx = ProbeEnv.instances
        if os.environ.get("PROBE_FACTORY_FAIL"):
            raise RuntimeError("boom in factory")
        self._state = ProbeState(episode_id=None, step_count=0)

    def reset(self, seed=None, episode_id=None, start: int = 0, **kwargs: Any):
        self._state = ProbeState(episode_id=episode_id or "ep-fixed", step_count=0, value=start, seed=seed)
        if kwargs.get("fail"):
            raise RuntimeError("reset failed on purpose")
        metadata = {"seed": seed, "kwargs": kwargs} if (kwargs or seed is not None) else {}
        return ProbeObservation(value=start, note="ready", done=False, reward=None, metadata=metadata)

    def step(self, action: ProbeAction, timeout_s=None, **kwargs: Any):
        self._state.step_count += 1
        self._state.value += action.delta
        observation = ProbeObservation(value=self._state.value, done=False, reward=float(action.delta))
        match action.op:
            case "kwargs":
                observation.extra = {"timeout_s": timeout_s, "kwargs": kwargs}
            case "thread":
                thread = threading.current_thread()
                observation.extra = {
                    "ident": thread.ident,
                    "name": thread.name,
                    "inst": self.idx,
                    "instances": ProbeEnv.instances,
                    "closed": ProbeEnv.closed,
                }
            case "return_none":
                return None
            case "return_dict":
                return {"value": 1}
            case "return_base":
                return Observation(done=False, reward=1.0, metadata={"k": 1})
            case "obj":

                class Foo:
                    def __init__(self) -> None:
                        self.a = 1

                observation.extra = Foo()
            case op if op in _RAISES:
                _RAISES[op]()
            case op:
                _OPS.get(op, _unknown)(observation, action)
        return observation

    @property
    def state(self) -> ProbeState:
        return self._state

    def get_metadata(self) -> EnvironmentMetadata:
        return EnvironmentMetadata(
            name="probe_env",
            description="Probe environment",
            version="0.1.0",
            author="tester",
            documentation_url="http://127.0.0.1/doc",
        )

    def list_splits(self) -> list[Any]:
        return ["train", "test", "custom", {"name": "d", "type": "validation", "x": 1}]

    def list_tasks(self, split: str) -> list[Any]:
        if split == "boom":
            raise KeyError(split)
        return [{"id": f"{split}-{i}", "index": i} for i in range(3)]

    def num_tasks(self, split: str) -> int:
        return 3

    def get_task(self, split: str, index: int) -> Any:
        return self.list_tasks(split)[index]

    def get_task_range(self, split: str, start: int | None = None, stop: int | None = None) -> list[Any]:
        return self.list_tasks(split)[start:stop]

    def close(self) -> None:
        ProbeEnv.closed += 1


def _raise(exc: BaseException) -> None:
    raise exc


_RAISES = {
    "raise": lambda: _raise(RuntimeError("step failed on purpose")),
    "raise_value": lambda: _raise(ValueError("value error in step")),
    "raise_assert": lambda: _raise(AssertionError()),
    "raise_validation": lambda: ProbeObservation(value="x"),
    "exit": lambda: _raise(SystemExit(3)),
}


def _numpy() -> Any:
    import numpy

    return numpy


def _sleep(observation: ProbeObservation, action: ProbeAction) -> None:
    time.sleep(float(action.payload))
    observation.note = "slept"


def _unknown(observation: ProbeObservation, action: ProbeAction) -> None:
    observation.note = "unknown op"


def _set(name: str, value: Any):
    """An op that sets one field; `value` may be a function of the action."""
    return lambda observation, action: setattr(observation, name, value(action) if callable(value) else value)


_FLOATS = [1e22, 1e-7, 0.1, 1.0, 100000000000000000000, 1e16, 123456789.123456789, -0.0, 5e-324, 1.7976931348623157e308]


def _big_float(observation: ProbeObservation, action: ProbeAction) -> None:
    observation.reward = 1e22
    observation.extra = _FLOATS


def _surrogate(observation: ProbeObservation, action: ProbeAction) -> None:
    observation.note = "ok"
    observation.extra = "\ud800"


_OPS = {
    "inc": lambda observation, action: None,
    "sleep": _sleep,
    "big_float": _big_float,
    "surrogate": _surrogate,
    "done": _set("done", True),
    "npbool_done": _set("done", lambda _: _numpy().bool_(True)),
    # Rewards
    "nan": _set("reward", float("nan")),
    "inf": _set("reward", float("inf")),
    "int_reward": _set("reward", 3),
    "bool_reward": _set("reward", True),
    "none_reward": _set("reward", None),
    "npint_reward": _set("reward", lambda _: _numpy().int64(3)),
    "npf64_reward": _set("reward", lambda _: _numpy().float64(1.5)),
    "npf32_reward": _set("reward", lambda _: _numpy().float32(1.5)),
    # Values
    "nan_extra": _set("extra", [float("nan"), float("inf"), -float("inf"), 1.0]),
    "numpy": _set("extra", lambda _: _numpy().arange(4)),
    "npscalar": _set("extra", lambda _: _numpy().float32(1.5)),
    "bytes": _set("extra", b"\x00\x01abc"),
    "bytes_bad": _set("extra", b"\xff\xfe\x00"),
    "datetime": _set("extra", datetime.datetime(2026, 1, 2, 3, 4, 5)),
    "set": _set("extra", {1}),
    "tuple": _set("extra", (1, "a", None)),
    "uuid": _set("extra", uuid.UUID(int=1)),
    "intkeys": _set("extra", {1: "a", 2.5: "b", None: "c"} | {True: "d"}),
    "unicode": _set("note", 'é\u2028\U0001f600"\\\n\x00\x7f</script>'),
    "metadata": _set("metadata", {"a": 1, "nested": {"b": [1, 2]}}),
    "echo": _set("extra", lambda action: action.payload),
    "echo_action": _set("extra", lambda action: action.model_dump()),
    "big": _set("extra", lambda action: "x" * int(action.payload)),
}


def make_app() -> Any:
    """The official server of the transcripts; older openenv versions know fewer options."""
    timeout = os.environ.get("PROBE_TIMEOUT")
    options = {
        "env_name": "probe_env",
        "state_cls": ProbeState,
        "concurrency_config": ConcurrencyConfig(
            max_concurrent_envs=int(os.environ.get("PROBE_MAX", "4")),
            session_timeout=float(timeout) if timeout else None,
        ),
    }
    known = inspect.signature(create_app).parameters
    return create_app(
        ProbeEnv, ProbeAction, ProbeObservation, **{key: value for key, value in options.items() if key in known}
    )


app = make_app()
