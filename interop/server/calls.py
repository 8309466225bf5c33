"""Stateless calls off the event loop, each in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Mapping
from typing import Any

from interop.server.runner import Runner
from interop.server.stateless import FAILED, Reply

MAX_CALLS = 40
"""Calls at a time; more wait."""


class Calls:
    """Asks a runner, and waits for its answer no longer than `timeout` seconds.

    A pool's threads would be waited for when the server ends, however long an environment hangs.
    """

    def __init__(self, runner: Runner, timeout: float) -> None:
        self._runner = runner
        self._timeout = timeout
        self._places = asyncio.Semaphore(MAX_CALLS)

    async def call(self, operation: str, arguments: Mapping[str, Any]) -> Reply:
        """The answer to a stateless request."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Reply] = loop.create_future()

        def run() -> None:
            reply = FAILED
            try:
                reply = self._runner.call(operation, arguments)
            except BaseException:  # the environment called sys.exit(), say
                pass
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(_settle, answer, reply)

        async with self._places:
            threading.Thread(target=run, name="interop-call", daemon=True).start()
            try:
                return await asyncio.wait_for(answer, self._timeout)
            except TimeoutError:
                return FAILED


def _settle(answer: asyncio.Future[Reply], reply: Reply) -> None:
    if not answer.done():
        answer.set_result(reply)
