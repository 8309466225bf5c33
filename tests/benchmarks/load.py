"""What the load generators share: they read requests from stdin and answer each with one JSON line.

A generator lives for the whole run, so that no import falls into a window; each window has a connection of its own.
It needs nothing but the standard library here, because one of the generators runs in a peer's environment.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from itertools import cycle

Burst = Callable[[], int]
"""Steps a while and returns how many steps of environments that were."""
Variant = Callable[[str], AbstractContextManager[Burst]]
"""Takes a server's URL, connects, and yields what to measure."""

STEPS, FRAMES = 50, 5
"""Steps of one burst: of small observations, of frames."""


def actions() -> Iterator[int]:
    """The same random actions of CartPole for everybody."""
    return cycle(random.Random(0).choices((0, 1), k=4096))


def generate(variants: Mapping[str, Variant]) -> None:
    """Measure one variant after the other, until stdin ends."""
    for line in sys.stdin:
        request = json.loads(line)
        with variants[request["variant"]](request["url"]) as burst:
            burst()  # the first steps pay for what is made once
            time.sleep(request["settle"])
            steps, seconds = _measure(burst, request["seconds"])
        print(json.dumps({"steps": steps, "seconds": seconds, "rate": steps / seconds}), flush=True)


def _measure(burst: Burst, seconds: float) -> tuple[int, float]:
    steps, start = 0, time.perf_counter()
    while (passed := time.perf_counter() - start) < seconds:
        steps += burst()
    return steps, passed
