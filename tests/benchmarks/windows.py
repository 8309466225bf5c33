"""One window of load: some generators step against a server at the same time, and what that took is noted."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field

from tests.benchmarks.processes import START_TIMEOUT, Generator, Running
from tests.benchmarks.usage import cpu_seconds

PROCESSES = 2
"""Load generators that share many sessions."""


@dataclass(frozen=True, slots=True)
class Load:
    """What generates a load.

    Attributes:
        generator: `official`, `ours`, `bare` or `local`.
        variant: A name that the generator knows.
        arguments: Arguments of the variant.
        sessions: If not 0, so many sessions are split evenly over `PROCESSES` generators.
    """

    generator: str
    variant: str
    arguments: Mapping[str, float] = field(default_factory=dict)
    sessions: int = 0

    def shares(self) -> list[Mapping[str, float]]:
        """The arguments of each generator."""
        if not self.sessions:
            return [self.arguments]
        counts = [(self.sessions + index) // PROCESSES for index in range(PROCESSES)]
        return [{**self.arguments, "sessions": count} for count in counts if count]


@dataclass(frozen=True, slots=True)
class Window:
    """When a load counts.

    Attributes:
        seconds: Its length.
        settle: Seconds between connecting and measuring, for a server that starts a spare process when it is connected.
        least: Steps of each generator that it is extended for.
    """

    seconds: float
    settle: float = 0.0
    least: int = 0


class Loads:
    """The load generators of a run, each started when it is needed first, and kept."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._generators: dict[tuple[str, int], Generator] = {}

    def measure(self, load: Load, server: Running | None, window: Window) -> dict[str, float]:
        """The figures of one window.

        Returns:
            `rate` in steps per second of all generators, what else they say, and the cores that were used: by the
            processes of the server (`server`), and by these and the generators (`cores`).
        """
        shares = load.shares()
        generators = [self._generator(load.generator, index) for index in range(len(shares))]
        timing = {"seconds": window.seconds, "settle": window.settle, "least": window.least}
        url = "" if server is None else server.url
        for generator, arguments in zip(generators, shares, strict=True):
            generator.prepare({"variant": load.variant, "url": url, "arguments": arguments, **timing})
        for generator in generators:
            generator.answer(START_TIMEOUT + window.settle)
        pids = [generator.pid for generator in generators], [] if server is None else [server.process.pid]
        before, start = [sum(map(cpu_seconds, some)) for some in pids], time.perf_counter()
        for generator in generators:
            generator.begin()
        time.sleep(window.seconds)
        after, passed = [sum(map(cpu_seconds, some)) for some in pids], time.perf_counter() - start
        clients, servers = ((there - here) / passed for here, there in zip(before, after, strict=True))
        answers = [generator.answer(window.seconds) for generator in generators]
        figures = {name: max(answer[name] for answer in answers) for name in answers[0]}
        rate = sum(answer["rate"] for answer in answers)
        return {**figures, "rate": rate, "server": servers, "cores": clients + servers}

    def _generator(self, name: str, index: int) -> Generator:
        if (name, index) not in self._generators:
            self._generators[name, index] = self._stack.enter_context(Generator(name))
        return self._generators[name, index]
