"""Scenarios: what is said to a server to get evidence. They judge nothing. One module per area."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules

from conformance.probe import Probe


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario: a function that talks through a probe.

    Attributes:
        name: Its conversations are named `NAME` or `NAME.SOMETHING`.
        run: Does it.
        profiles: Of which profiles requirements rest on it.
        alone: Whether nothing else may run meanwhile (it fills the server, or measures time).
    """

    name: str
    run: Callable[[Probe], None]
    profiles: frozenset[str]
    alone: bool = False


SCENARIOS: dict[str, Scenario] = {}


def scenario(
    name: str, *profiles: str, alone: bool = False
) -> Callable[[Callable[[Probe], None]], Callable[[Probe], None]]:
    """Register a scenario; without profiles it is of `core` and `strict`."""

    def bind(run: Callable[[Probe], None]) -> Callable[[Probe], None]:
        assert name not in SCENARIOS, f"there are two scenarios {name}"
        SCENARIOS[name] = Scenario(name, run, frozenset(profiles or ("core", "strict")), alone)
        return run

    return bind


def load() -> dict[str, Scenario]:
    """All scenarios, by name."""
    for module in iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
    return SCENARIOS
