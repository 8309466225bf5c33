"""Environments for `wrap_checks.py`, as users write them."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from fastmcp import FastMCP
from openenv.core.env_server import (
    Action,
    CallToolAction,
    CallToolObservation,
    Environment,
    MCPEnvironment,
    Observation,
    State,
    create_app,
)


class Move(Action):
    by: int


class Place(Observation):
    at: int = 0
    where: str = ""


class Start(Place):
    pass


class Annotated(Environment):
    """Its classes are in its annotations."""

    built = 0

    def __init__(self, start: int = 0, label: str = "") -> None:
        super().__init__()
        Annotated.built += 1
        self.at = start
        self.label = label
        self.steps = 0

    def reset(self, seed: int = 7) -> Start:
        return Start(at=self.at, where=f"{self.label}{seed}")

    def step(self, action: Move) -> Place:
        self.steps += 1
        self.at += action.by
        return Place(at=self.at)

    @property
    def state(self) -> State:
        return State(step_count=self.steps)


class Odd(Annotated):
    def step(self, action: Move) -> Place:
        return None  # type: ignore[return-value]

    @property
    def state(self) -> Any:
        return {"plain": "dict"}

    async def list_tasks(self, split: str) -> list[Any]:
        await asyncio.sleep(0)
        return [{"split": split}]

    def get_task(self, split: str, index: int) -> Any:
        return [][index]


class Running(Annotated):
    """Keeps one event loop for its life."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    async def reset_async(self, seed: int | None = None, episode_id: str | None = None, **kwargs: Any) -> Place:
        self.loop = asyncio.get_running_loop()
        return Place(where=threading.current_thread().name)

    async def step_async(self, action: Move, timeout_s: float | None = None, **kwargs: Any) -> Place:
        return Place(at=int(self.loop is asyncio.get_running_loop()), where=threading.current_thread().name)


class Bare(Environment):
    def reset(self, **kwargs):
        return Observation()

    def step(self, action):
        return Observation()

    @property
    def state(self):
        return State()


class Tools(MCPEnvironment):
    def __init__(self) -> None:
        server = FastMCP("tools")
        self.count = 0

        @server.tool
        def bump(by: int) -> int:
            """Add."""
            self.count += by
            return self.count

        super().__init__(server)

    def reset(self, seed: int | None = None, episode_id: str | None = None, **kwargs: Any) -> Observation:
        return Observation()

    def _step_impl(self, action: Action, timeout_s: float | None = None, **kwargs: Any) -> Observation:
        raise ValueError("no other action")

    @property
    def state(self) -> State:
        return State(step_count=self.count)


tools_app = create_app(Tools, CallToolAction, CallToolObservation, env_name="tools")
running_app = create_app(Running, Move, Place, env_name="runs", max_concurrent_envs=3)
