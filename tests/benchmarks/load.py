"""What the load generators share: they read requests from stdin and answer in JSON lines.

A generator lives for the whole run, so that no import falls into a window; each window has connections of its own. It
says when they are open, and the window begins with the next line, so that several generators begin together.
It needs nothing but the standard library here, because one of the generators runs in a peer's environment.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import cycle
from typing import Protocol

Burst = Callable[[], int]
"""Steps a while and returns how many steps of environments that were."""
Variant = Callable[..., AbstractContextManager[Burst]]
"""Takes a server's URL and the request's arguments, connects, and yields what to measure."""

STEPS, FRAMES = 50, 5
"""Steps of one burst: of small observations, of frames."""
SLICE = 0.05
"""Seconds of one burst where other threads step."""
START_TIMEOUT = 60.0


class Player(Protocol):
    """A session whose requests and replies are two calls, so that one thread drives many."""

    def send(self) -> None:
        """Send the next request."""

    def receive(self) -> int:
        """Take its reply; returns how many steps that was, none for a reset."""


class Timed(ABC):
    """A burst that also notes how long each step takes, in seconds."""

    def __init__(self) -> None:
        self.latencies: list[float] = []

    @abstractmethod
    def __call__(self) -> int: ...


def actions() -> Iterator[int]:
    """The same random actions of CartPole for everybody."""
    return cycle(random.Random(0).choices((0, 1), k=4096))


def turns(players: Sequence[Player]) -> Burst:
    """One thread for all: each player's next request goes out as soon as its reply is in."""
    rounds = max(8, 400 // len(players))

    def burst() -> int:
        # Nothing is under way between bursts: a reply that arrives before the window would be a step for nothing.
        steps = 0
        for player in players:
            player.send()
        for _ in range(rounds - 1):
            for player in players:
                steps += player.receive()
                player.send()
        return steps + sum(player.receive() for player in players)

    return burst


@contextmanager
def in_threads(url: str, *, variant: Variant, sessions: int) -> Iterator[Burst]:
    """Sessions of blocking clients, a thread each; they step all the time, and a burst watches them."""
    counts = [0] * sessions
    failures: list[BaseException] = []
    connected, stopped = threading.Barrier(sessions + 1, timeout=START_TIMEOUT), threading.Event()

    def drive(index: int) -> None:
        try:
            with variant(url) as burst:
                connected.wait()
                while not stopped.is_set():
                    counts[index] += burst()
        except BaseException as exc:
            failures.append(exc)
            connected.abort()

    def watch() -> int:
        before = sum(counts)
        time.sleep(SLICE)
        if failures:
            raise failures[0]
        return sum(counts) - before

    threads = [threading.Thread(target=drive, args=(index,), daemon=True) for index in range(sessions)]
    for thread in threads:
        thread.start()
    try:
        connected.wait()
        yield watch
    finally:
        stopped.set()
        for thread in threads:
            thread.join(START_TIMEOUT)
        if failures:
            raise failures[0]


def generate(variants: Mapping[str, Variant]) -> None:
    """Measure one variant after the other, until stdin ends."""
    for line in sys.stdin:
        request = json.loads(line)
        with variants[request["variant"]](request["url"], **request["arguments"]) as burst:
            burst()  # the first steps pay for what is made once
            time.sleep(request["settle"])
            print("{}", flush=True)
            if not sys.stdin.readline():
                return
            figures = _measure(burst, request["seconds"], request["least"])
        print(json.dumps(figures), flush=True)


def _measure(burst: Burst, seconds: float, least: int) -> dict[str, float]:
    if isinstance(burst, Timed):
        burst.latencies.clear()
    steps, start = 0, time.perf_counter()
    while (passed := time.perf_counter() - start) < seconds or steps < least:
        steps += burst()
    figures = {"rate": steps / passed}
    if isinstance(burst, Timed):
        figures["p99"] = statistics.quantiles(burst.latencies, n=100)[-1] * 1000
    return figures
