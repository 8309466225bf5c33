"""A sandbox for tests that are not coroutines."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from converters.harbor import transfer
from converters.harbor.command import Completed
from converters.harbor.limits import Limits
from converters.harbor.sandbox import Sandbox


class Box:
    """A running sandbox and the event loop it is used from."""

    def __init__(self, runner: asyncio.Runner, sandbox: Sandbox) -> None:
        self.runner = runner
        self.sandbox = sandbox

    def run(self, command: str | list[str], **options: Any) -> Completed:
        return self.runner.run(self.sandbox.run(command, **{"timeout": 60, **options}))

    def out(self, command: str | list[str], **options: Any) -> str:
        """What a command that succeeds says."""
        done = self.run(command, **options)
        assert done.code == 0, done
        return done.stdout.decode().strip()

    def put(self, source: Path, target: str) -> None:
        self.runner.run(transfer.put(self.sandbox, source, target))

    def get(self, source: str, target: Path, **options: Any) -> list[str]:
        return self.runner.run(transfer.get(self.sandbox, source, target, **options))


@contextmanager
def box(**options: Any) -> Iterator[Box]:
    with asyncio.Runner() as runner:
        sandbox = Sandbox(**{"limits": Limits(storage_mb=256), **options})
        runner.run(sandbox.start())
        try:
            yield Box(runner, sandbox)
        finally:
            runner.run(sandbox.stop())
