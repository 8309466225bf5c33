"""Official servers to talk to and to measure: `python official_servers.py NAME PORT`, with a peer's Python.

Names: `probe` (the environment of the golden transcripts), `echo` (a text and its length, up to 64 sessions),
`cartpole` (Gymnasium's CartPole-v1 in plain models, up to 320 sessions), `frames` (84x84x4 uint8 as nested lists),
`pong` (ALE/Pong-v5, 210x160x3 uint8 as nested lists) and `sized` (as many bytes, a list, as the reset's `size` says).
"""

from __future__ import annotations

import inspect
import random
import sys
import uuid
from collections.abc import Callable
from typing import Any

import uvicorn
from openenv.core.env_server import Action, Environment, Observation, State, create_app

SESSIONS = 64
MANY = 320


class EchoAction(Action):
    message: str


class EchoObservation(Observation):
    echoed_message: str = ""
    message_length: int = 0


class Counting(Environment):
    """What the environments below share: sessions of their own and an honest state."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self) -> None:
        super().__init__()
        self._state = State()

    def _start(self, episode_id: str | None) -> None:
        self._state = State(episode_id=episode_id or str(uuid.uuid4()), step_count=0)

    @property
    def state(self) -> State:
        return self._state


class EchoEnv(Counting):
    def reset(self, seed: int | None = None, episode_id: str | None = None, **kwargs: Any) -> EchoObservation:
        self._start(episode_id)
        return EchoObservation(echoed_message="ready")

    def step(self, action: EchoAction, timeout_s: float | None = None, **kwargs: Any) -> EchoObservation:
        self._state.step_count += 1
        length = len(action.message)
        return EchoObservation(echoed_message=action.message, message_length=length, reward=min(length * 0.1, 1.0))


class CartPoleAction(Action):
    action: int


class CartPoleObservation(Observation):
    obs: list[float]


class CartPoleEnv(Counting):
    def __init__(self) -> None:
        import gymnasium

        super().__init__()
        self._gym = gymnasium.make("CartPole-v1")

    def reset(self, seed: int | None = None, episode_id: str | None = None, **kwargs: Any) -> CartPoleObservation:
        self._start(episode_id)
        observation, _ = self._gym.reset(seed=seed)
        return CartPoleObservation(obs=observation.tolist())

    def step(self, action: CartPoleAction, timeout_s: float | None = None, **kwargs: Any) -> CartPoleObservation:
        observation, reward, terminated, truncated, _ = self._gym.step(action.action)
        self._state.step_count += 1
        return CartPoleObservation(obs=observation.tolist(), reward=float(reward), done=terminated or truncated)

    def close(self) -> None:
        self._gym.close()


class FrameAction(Action):
    action: int = 0


class FrameObservation(Observation):
    obs: list[Any]  # nested, but not declared so: pydantic would check every pixel, 1.7 ms a step


class FrameEnv(Counting):
    """Random pixels, the same in every episode of a seed; a list of plain integers is made anew for each step."""

    def __init__(self) -> None:
        super().__init__()
        self._pixels = b""

    def reset(self, seed: int | None = None, episode_id: str | None = None, **kwargs: Any) -> FrameObservation:
        self._start(episode_id)
        self._pixels = random.Random(seed or 0).randbytes(84 * 84 * 4)
        return self._frame()

    def step(self, action: FrameAction, timeout_s: float | None = None, **kwargs: Any) -> FrameObservation:
        self._state.step_count += 1
        self._pixels = self._pixels[4:] + self._pixels[:4] or bytes(84 * 84 * 4)
        return self._frame(reward=1.0)

    def _frame(self, **fields: Any) -> FrameObservation:
        return FrameObservation(obs=memoryview(self._pixels).cast("B", (84, 84, 4)).tolist(), **fields)


class SizedEnv(Counting):
    """An observation of as many bytes as the reset asks for, always the same; a list is made anew for each step."""

    def __init__(self) -> None:
        super().__init__()
        self._bytes = b""

    def reset(
        self, seed: int | None = None, episode_id: str | None = None, size: int = 16, **kwargs: Any
    ) -> FrameObservation:
        self._start(episode_id)
        self._bytes = random.Random(seed or 0).randbytes(size)
        return FrameObservation(obs=list(self._bytes))

    def step(self, action: FrameAction, timeout_s: float | None = None, **kwargs: Any) -> FrameObservation:
        self._state.step_count += 1
        return FrameObservation(obs=list(self._bytes), reward=1.0)


class PongEnv(Counting):
    """The Atari game, its screen in colours."""

    def __init__(self) -> None:
        import ale_py
        import gymnasium

        super().__init__()
        gymnasium.register_envs(ale_py)
        self._gym = gymnasium.make("ALE/Pong-v5", obs_type="rgb")

    def reset(self, seed: int | None = None, episode_id: str | None = None, **kwargs: Any) -> FrameObservation:
        self._start(episode_id)
        observation, _ = self._gym.reset(seed=seed)
        return FrameObservation(obs=observation.tolist())

    def step(self, action: FrameAction, timeout_s: float | None = None, **kwargs: Any) -> FrameObservation:
        observation, reward, terminated, truncated, _ = self._gym.step(action.action)
        self._state.step_count += 1
        return FrameObservation(obs=observation.tolist(), reward=float(reward), done=terminated or truncated)

    def close(self) -> None:
        self._gym.close()


def _app(environment: type, action: type, observation: type, name: str, sessions: int = SESSIONS) -> Any:
    return create_app(environment, action, observation, env_name=name, max_concurrent_envs=sessions)


def _probe() -> Any:
    import probe_env

    return probe_env.app


APPS: dict[str, Callable[[], Any]] = {
    "probe": _probe,
    "echo": lambda: _app(EchoEnv, EchoAction, EchoObservation, "echo_env"),
    "cartpole": lambda: _app(CartPoleEnv, CartPoleAction, CartPoleObservation, "cartpole_env", MANY),
    "frames": lambda: _app(FrameEnv, FrameAction, FrameObservation, "frame_env"),
    "pong": lambda: _app(PongEnv, FrameAction, FrameObservation, "pong_env"),
    "sized": lambda: _app(SizedEnv, FrameAction, FrameObservation, "sized_env"),
}


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in APPS:
        sys.exit(f"usage: {sys.argv[0]} {'|'.join(APPS)} PORT\n{inspect.cleandoc(__doc__ or '')}")
    uvicorn.run(APPS[sys.argv[1]](), host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")
