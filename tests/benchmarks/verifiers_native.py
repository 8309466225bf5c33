"""Native rollouts of guess without a wire: `python verifiers_native.py SECONDS`, with the peer verifiers 0.3.1.

64 rollouts at a time, whose client answers at once. Prints the steps per second.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "converters/verifiers/worker"))

from v0 import PolicyClient, completion
from v0_kinds import load_environment

ROLLOUTS, TURNS = 64, 10


class Instant(PolicyClient):
    """Says 1, always."""

    steps = 0

    async def get_response(self, *arguments: object, **more: object) -> object:
        Instant.steps += 1
        await asyncio.sleep(0)
        return completion({"content": "1"}, set())


async def main(seconds: float) -> None:
    env = load_environment(max_turns=TURNS)
    row, client = dict(env.get_dataset()[0]), Instant(print)
    end = time.perf_counter() + seconds

    async def roll() -> None:
        while time.perf_counter() < end:
            await env.run_rollout(row, client, "policy", {})

    began = time.perf_counter()
    await asyncio.gather(*(roll() for _ in range(ROLLOUTS)))
    print(Instant.steps / (time.perf_counter() - began))


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1])))
