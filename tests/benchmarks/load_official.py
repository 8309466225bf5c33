"""Load generator: the official clients. Runs in the peer's environment."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice

from openenv.core import GenericEnvClient

from tests.benchmarks.load import FRAMES, STEPS, Burst, actions, generate, in_threads


@contextmanager
def sync(url: str, *, steps: int = STEPS, **reset: int) -> Iterator[Burst]:
    """`GenericEnvClient(...).sync()`; `reset` are arguments of the first reset."""
    with GenericEnvClient(base_url=url).sync() as client:
        client.reset(seed=0, **reset)
        chosen = actions()

        def burst() -> int:
            for action in islice(chosen, steps):
                if client.step({"action": action}).done:
                    client.reset()
            return steps

        yield burst


@contextmanager
def asynchronous(url: str) -> Iterator[Burst]:
    """`GenericEnvClient` awaited, the loop kept between bursts."""
    with asyncio.Runner() as runner:
        client = GenericEnvClient(base_url=url)
        chosen = actions()

        async def start() -> None:
            await client.connect()
            await client.reset(seed=0)

        async def burst() -> int:
            for action in islice(chosen, STEPS):
                if (await client.step({"action": action})).done:
                    await client.reset()
            return STEPS

        async def end() -> None:
            await client.close()

        runner.run(start())
        try:
            yield lambda: runner.run(burst())
        finally:
            runner.run(end())


if __name__ == "__main__":
    generate(
        {
            "sync": sync,
            "async": asynchronous,
            "frames": partial(sync, steps=FRAMES),
            "sized": partial(sync, steps=1),
            "sessions": partial(in_threads, variant=partial(sync, steps=1)),
        }
    )
