"""A worker without verifiers: `python scripted_worker.py FD SPEC`. Its sessions wait where the index is WAITS.

`tasks` gives what has happened so far.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from typing import Any

WAITS = 1
TURN = {"messages": [], "tools": [], "done": False, "info": {}}


class Scripted:
    """A lane and its only kind of session."""

    def __init__(self, happened: list[str]) -> None:
        self.happened = happened

    async def start(self) -> None:
        """There is nothing to start."""

    stop = start

    def about(self) -> dict[str, Any]:
        """Two tasks."""
        return {"splits": {"all": 2}, "tools": [], "group": False}

    def tasks(self, *, split: str, start: int, stop: int) -> list[Any]:
        """What has happened."""
        return self.happened

    def session(self) -> Scripted:
        """Another one."""
        return Scripted(self.happened)

    async def reset(self, *, split: str, index: int) -> dict[str, Any]:
        """A turn, at once or never."""
        if index == WAITS:
            await self._forever("reset")
        return {**TURN, "task": {"split": split, "index": index, "id": index}}

    async def step(self, action: dict[str, Any]) -> dict[str, Any]:
        """A turn, at once or never."""
        if action["content"] == "wait":
            await self._forever("step")
        return TURN

    async def close(self) -> None:
        """Note it."""
        self.happened.append("closed")

    async def _forever(self, what: str) -> None:
        self.happened.append(f"{what} waits")
        try:
            await asyncio.Event().wait()
        finally:
            self.happened.append(f"{what} ends")


if __name__ == "__main__":
    from converters.verifiers.worker.main import serve  # which adds its directory to the path

    asyncio.run(serve(socket.socket(fileno=int(sys.argv[1])), Scripted([])))
    os._exit(0)
