"""Checks: pure functions from evidence to verdict, each bound to one requirement. One module per area."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pkgutil import iter_modules

from conformance.view import View

Check = Callable[[View], str | None]
"""Judges one requirement: returns (perhaps with a note) where it is met, else raises `Broken`, `NotApplicable` or
`Untested`."""

CHECKS: dict[str, Check] = {}


def check(id: str) -> Callable[[Check], Check]:
    """Bind a function to the requirement of an id; each id has one check."""

    def bind(function: Check) -> Check:
        assert id not in CHECKS, f"{id} has two checks"
        CHECKS[id] = function
        return function

    return bind


def load() -> dict[str, Check]:
    """All checks, by id."""
    for module in iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
    return CHECKS
