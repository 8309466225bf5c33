"""What the worker's program asks of an environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Refused(Exception):
    """What was asked for is not accepted; nothing has changed."""


class Session(Protocol):
    """One session: the current rollout, stepped from outside."""

    async def reset(self, *, split: str, index: int) -> dict[str, Any]:
        """Begin a rollout of a task; the first turn."""

    async def step(self, action: Mapping[str, Any]) -> dict[str, Any]:
        """Give the policy's message; the next turn."""

    async def close(self) -> None:
        """Cancel the rollout, so that its cleanup runs."""


class Lane(Protocol):
    """One environment of one generation of verifiers."""

    async def start(self) -> None:
        """Bring up what all sessions share."""

    async def stop(self) -> None:
        """Take it down, after the sessions."""

    def about(self) -> dict[str, Any]:
        """What the hub has to know: JSON."""

    def tasks(self, *, split: str, start: int, stop: int) -> list[dict[str, Any]]:
        """The public fields of tasks."""

    def session(self) -> Session:
        """A new session."""
