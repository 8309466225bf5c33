"""OpenEnv servers in the v1 API of verifiers (0.3.1 and newer): the engine is the user, and calls of tools are text.

v1 offers tools to a model by MCP alone, from the harness. Here a model that may call tools is told of them, and calls
them in JSON.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from functools import cache
from typing import Any, ClassVar

import verifiers.v1 as vf

from converters.verifiers.expose.rollout import Rollout, Server


class OpenEnvData(vf.TaskData):
    url: str
    reset: dict[str, Any]
    """Arguments of `reset`."""


class OpenEnvTask(vf.Task[OpenEnvData]):
    """One episode of a server."""


class OpenEnvConfig(vf.TasksetConfig):
    url: str | None = None
    """The server's address, a source or an image; by default that of the package."""
    split: str | None = None
    """A split of the Task API; by default its first."""
    num_tasks: int = 100
    """How many tasks there are where the server has no Task API: each is a seed."""
    seed: int = 0
    """The first of them."""


class OpenEnvTaskset(vf.Taskset[OpenEnvTask, OpenEnvConfig]):
    """The tasks of a server, whose bearer token is in INTEROP_TOKEN."""

    URL: ClassVar[str] = ""

    def load(self) -> Iterator[OpenEnvTask]:
        """Raises `InteropError` where no OpenEnv server is, `ValueError` for a split that it has not."""
        config = self.config
        server = _server(config.url or self.URL)
        for reset in server.resets(config.split, config.num_tasks, config.seed):
            name = " ".join(f"{key}={value}" for key, value in reset.items())
            data = OpenEnvData(id=name, name=f"{server.name} {name}", prompt=None, url=server.target, reset=reset)
            yield OpenEnvTask(data, config.task)


class OpenEnvEnvConfig(vf.EnvConfig):
    player: vf.AgentConfig = vf.AgentConfig(harness={"id": "null"}, runtime={"type": "subprocess"})


class OpenEnvEnv(vf.Env[OpenEnvEnvConfig]):
    """The player's replies are actions, and what it observes is its user's next message."""

    async def run(self, task: Any, agents: Any) -> None:
        """Play one episode. The reward is recorded unless the server says that there is none to trust.

        Raises `InteropError` where the server or its environment fails.
        """
        server = await asyncio.to_thread(_server, task.data.url)
        rollout = await Rollout.begin(server, task.data.reset, native=False)
        try:
            async with agents.player.interaction(task) as interaction:
                while not rollout.done:
                    segment = await interaction.turn(rollout.messages)
                    if segment.terminated:
                        break
                    await rollout.answer(segment.last_reply)
        finally:
            await rollout.close()
        if rollout.error:
            raise RuntimeError(f"the environment gives no reward: {rollout.error}")
        trace = interaction.trace
        trace.record_reward("openenv_reward", rollout.reward)
        trace.record_metrics({name: value for name, value in rollout.metrics.items() if name not in trace.metrics})
        if rollout.stop:
            trace.info["openenv_stop"] = rollout.stop


@cache
def _server(url: str) -> Server:
    return Server(url, token=os.environ.get("INTEROP_TOKEN"), timeout=600.0)
