"""Servers to certify: the healthy counter, and one that breaks one MUST and one SHOULD."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from conformance import checks, scenarios
from conformance.broken import COUNTER, QUICK, Healthy, load
from conformance.broken.wire import serving
from conformance.evidence import Evidence
from conformance.runner import collect

# pytester forgets what is imported within it, and each check is bound once.
checks.load()
scenarios.load()

FAILS, WARNS = "WS-11", "SEC-2"


def broken() -> Healthy:
    """A counter that takes no fragmented messages and lets any page connect."""
    methods = {**load()["no fragments"].methods, **load()["handshakes from any page"].methods}
    server: Healthy = type("Broken", (Healthy,), methods)()
    return server


@cache
def evidence(*, healthy: bool) -> Evidence:
    """Evidence of a run of the profile core."""
    with serving(Healthy() if healthy else broken()) as running:
        found = collect(running.url, profile="core", inputs=COUNTER, timing=QUICK)
    found.facts.update(profile="core", target="counter")
    return found


def recorded(directory: Path, *, healthy: bool) -> Path:
    """A directory with such evidence."""
    evidence(healthy=healthy).write(directory)
    return directory


def write(path: Path, text: str) -> Path:
    """A file with a text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path
