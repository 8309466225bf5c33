"""Load generator: our clients."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import islice
from typing import Any

import numpy as np

import interop
from tests.benchmarks.load import FRAMES, STEPS, Burst, actions, generate, in_threads, turns


@contextmanager
def env(url: str, *, steps: int = STEPS, **options: Any) -> Iterator[Burst]:
    """`interop.make`, with actions as `action_space.sample()` returns them."""
    with interop.make(url, **options) as env:
        env.reset(seed=0)
        chosen = map(np.int64, actions())

        def burst() -> int:
            for action in islice(chosen, steps):
                _, _, terminated, truncated, _ = env.step(action)
                if terminated or truncated:
                    env.reset()
            return steps

        yield burst


@contextmanager
def session(url: str, *, steps: int = STEPS, **options: Any) -> Iterator[Burst]:
    """`interop.connect`: the session alone, no spaces."""
    with interop.connect(url, **options) as session:
        session.reset(seed=0)
        chosen = actions()

        def burst() -> int:
            for action in islice(chosen, steps):
                if session.step({"action": action}).done:
                    session.reset()
            return steps

        yield burst


@contextmanager
def asynchronous(url: str) -> Iterator[Burst]:
    """`interop.connect_async`, the loop kept between bursts."""
    with asyncio.Runner() as runner:
        session = runner.run(interop.connect_async(url))
        chosen = actions()

        async def burst() -> int:
            for action in islice(chosen, STEPS):
                if (await session.step({"action": action})).done:
                    await session.reset()
            return STEPS

        runner.run(session.reset(seed=0))
        try:
            yield lambda: runner.run(burst())
        finally:
            runner.run(session.close())


@contextmanager
def vector(url: str, *, num_envs: int = 8, **options: Any) -> Iterator[Burst]:
    """`interop.make_vec`; counts steps of sub-environments."""
    envs = interop.make_vec(url, num_envs, **options)
    try:
        envs.reset(seed=0)
        chosen = map(np.array, zip(*[actions()] * num_envs, strict=True))

        def burst() -> int:
            for batch in islice(chosen, STEPS):
                envs.step(batch)
            return STEPS * num_envs

        yield burst
    finally:
        envs.close()


class OneOfMany:
    """A session played by the halves of its requests."""

    def __init__(self, session: interop.Session) -> None:
        self._session = session
        self._actions = actions()
        self._done = False
        session.reset(seed=0)

    def send(self) -> None:
        if self._done:
            self._session.send("reset")
        else:
            self._session.send("step", {"action": next(self._actions)})

    def receive(self) -> int:
        stepped = not self._done
        self._done = self._session.receive()["done"]
        return int(stepped)


@contextmanager
def halves(url: str, *, sessions: int) -> Iterator[Burst]:
    """Sessions of `interop.connect` in one thread, by `Session.send` and `Session.receive`."""
    with ExitStack() as stack:
        yield turns([OneOfMany(stack.enter_context(interop.connect(url))) for _ in range(sessions)])


if __name__ == "__main__":
    generate(
        {
            "env": env,
            "env-json": partial(env, binary=False),
            "session": session,
            "session-json": partial(session, binary=False),
            "async": asynchronous,
            "frames": partial(env, steps=FRAMES),
            "frames-json": partial(env, steps=FRAMES, binary=False),
            "vector-sync": partial(vector, vectorization="sync", sessions=False),
            "vector-native": partial(vector, vectorization="native", sessions=False),
            "vector-sessions": partial(vector, sessions=True),
            "sized": partial(env, steps=1),
            "halves": halves,
            "threads": partial(in_threads, variant=partial(session, steps=1)),
        }
    )
