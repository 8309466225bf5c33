"""What an environment is, asked of our server of it, and what its play shows: all that a package declares."""

from __future__ import annotations

import json
import math
import random
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from interop.client import ClientOptions, Session
from interop.environment import Description, Source
from interop.errors import InteropError, ServerError, SourceError
from interop.server import Server
from interop.suite import suite

EPISODES = 3
STEPS = 100
"""Actions of a runtime plan, at most (`validation/runtime/contracts.py`)."""
SECONDS = 30.0
"""For all of the play, after its first step."""
TIMEOUT = 600.0
"""Seconds for one answer."""
MAX_MESSAGE = 1024 * 1024
"""Bytes of a message that the official validator reads, at most (`validation/runtime/collector.py`)."""
MAX_TRACE = 6 * 1024 * 1024
"""Bytes of all of them; it reads 8 MiB."""
MAX_PLAN = 48 * 1024
"""Bytes of the actions of a plan; it reads 64 KiB with the rest."""
SEED = 0


@dataclass(kw_only=True)
class Survey:
    """An environment that was played.

    Attributes:
        description: What it says of itself.
        tools: The names of its agent's tools.
        tasks: How many tasks each split has.
        actions: Those of the first episode, accepted after a reset with SEED.
        trouble: Why the official validator cannot play it; empty where it can.
        episodes: How many were played.
        rewards: The lowest and the highest that was given.
        seconds: What the first episode took.
        memory: Bytes that it took, with this process and all that it started.
    """

    description: Description
    tools: Sequence[str]
    tasks: dict[str, int]
    actions: list[dict[str, Any]] = field(default_factory=list)
    trouble: str = ""
    episodes: int = 0
    rewards: tuple[float, float] = (0.0, 0.0)
    seconds: float = 0.0
    memory: int = 0


def survey(name: str, source: Source) -> Survey:
    """Serve a source and play it. Raises `SourceError` where it cannot be described or does not begin an episode."""
    try:
        with Server(source, port=0) as server:
            session = Session(server.url, ClientOptions(timeout=TIMEOUT, binary=False))
            try:
                found = Survey(description=server.description, tools=_tools(session), tasks=_tasks(source))
                _play(session, found)
            finally:
                session.close()
    except SourceError:
        raise
    except InteropError as exc:
        raise SourceError(f"{name} cannot be packaged, as it does not play: {exc}") from exc
    finally:
        source.close()
    found.memory = _memory()
    return found


def _tools(session: Session) -> list[str]:
    answer = session.request("mcp", {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}})
    return [str(tool["name"]) for tool in answer.get("result", {}).get("tools", [])]


def _tasks(source: Source) -> dict[str, int]:
    tasks = source.tasks()
    try:
        splits = [] if tasks is None else tasks.splits()
        names = [str(split["name"] if isinstance(split, dict) else split) for split in splits]
        return {} if tasks is None else {name: tasks.num_tasks(name) for name in names}
    except NotImplementedError:
        return {}


def _play(session: Session, found: Survey) -> None:
    """Episodes of actions that the schema suggests. A refused one is another's turn."""
    suggested = import_module(f"{suite().__name__.rpartition('.')[0]}.actions").valid(found.description.action)
    if not suggested:
        session.reset(seed=SEED)
        found.trouble = "no action can be derived of the action schema"
        return
    chance, rewards, began = random.Random(SEED), [], time.monotonic()
    for number in range(EPISODES):
        episode = _Episode(session, found, chance, suggested, first=number == 0)
        rewards += episode.play(number, began + SECONDS)
        found.episodes += 1
        if number == 0:
            found.seconds = time.monotonic() - began
        if time.monotonic() > began + SECONDS:
            break
    if rewards:
        found.rewards = (min(rewards), max(rewards))


@dataclass
class _Episode:
    session: Session
    found: Survey
    chance: random.Random
    suggested: Sequence[dict[str, Any]]
    first: bool
    _trace: int = 0
    _plan: int = 0

    def play(self, number: int, deadline: float) -> list[float]:
        """Play to its end or to a limit; returns the rewards."""
        result = self.session.reset(seed=SEED + number)
        self._weigh(result.observation)
        rewards: list[float] = []
        steps = refused = 0
        while not result.done and steps < STEPS and self._trace < MAX_TRACE and self._plan < MAX_PLAN:
            action = self.chance.choice(self.suggested)
            try:
                result = self.session.step(action)
            except ServerError:
                refused += 1
                if refused > 10 * len(self.suggested):
                    break
                continue
            steps += 1
            self._keep(action, result.reward, result.observation)
            if isinstance(result.reward, (int, float)) and math.isfinite(result.reward):
                rewards.append(float(result.reward))
            if time.monotonic() > deadline:
                break
        if self.first and not self.found.actions:
            self.found.trouble = "none of the actions that its schema suggests is accepted"
        return rewards

    def _keep(self, action: dict[str, Any], reward: Any, observation: Any) -> None:
        self._weigh(observation)
        if self.first:
            self.found.actions.append(action)
            self._plan += len(json.dumps(action)) + 2
            if isinstance(reward, bool) or not isinstance(reward, (int, float)) or not math.isfinite(reward):
                self.found.trouble = f"a step has the reward {reward!r}, where the official validator wants a number"

    def _weigh(self, observation: Any) -> None:
        size = len(json.dumps(observation, separators=(",", ":"))) + 512
        self._trace += size
        if size > MAX_MESSAGE:
            self.found.trouble = f"an observation has {size} bytes, and the official validator reads {MAX_MESSAGE}"


def _memory() -> int:
    """The most that this process and those that it has waited for have had."""
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
