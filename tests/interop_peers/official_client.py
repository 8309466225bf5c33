"""Drive a server with the official `GenericEnvClient`: `python official_client.py URL ACTIONS`, with a peer's Python.

Prints one JSON object: what the sync and the async client saw of the same CartPole episode.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from openenv.core import GenericEnvClient

ACTIONS: list[int] = []


def row(result: Any) -> list[Any]:
    return [result.observation, result.reward, result.done]


def sync_episode(url: str) -> list[Any]:
    with GenericEnvClient(base_url=url).sync() as client:
        rows = [row(client.reset(seed=7, episode_id="é"))]
        rows += [row(client.step({"action": action})) for action in ACTIONS]
        try:
            client.step({"action": 5})
        except RuntimeError as exc:
            rows.append(str(exc))
        return [*rows, client.state()]


async def async_episode(url: str) -> list[Any]:
    async with GenericEnvClient(base_url=url) as client:
        rows = [row(await client.reset(seed=7, episode_id="é"))]
        rows += [row(await client.step({"action": action})) for action in ACTIONS]
        try:
            await client.step({"action": 5})
        except RuntimeError as exc:
            rows.append(str(exc))
        return [*rows, await client.state()]


if __name__ == "__main__":
    ACTIONS += json.loads(sys.argv[2])
    print(json.dumps({"sync": sync_episode(sys.argv[1]), "async": asyncio.run(async_episode(sys.argv[1]))}))
