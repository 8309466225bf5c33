"""Environments that count and misbehave, for tests of servers and clients."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

import interop
from interop.environment import StepResult

SCHEMA = {"type": "object"}


class Misbehaving(interop.Environment):
    """Does in `step` what the action names, and counts its steps."""

    def __init__(self) -> None:
        self.count = 0
        self.closed = 0

    def reset(self, /, *, seed: int | None = None, episode_id: str | None = None, **options: Any) -> StepResult:
        self.count = 0
        return StepResult({"count": 0, "seed": seed, "options": options})

    def step(self, action: Mapping[str, Any], /, **options: Any) -> StepResult:
        assert not self.closed, "stepped after close"
        self.count += 1
        match action.get("do"):
            case "sleep":
                time.sleep(action["seconds"])
            case "raise":
                raise RuntimeError("on purpose")
            case "exit":
                sys.exit(3)
            case "abort":
                os.abort()
            case "segfault":
                ctypes.string_at(0)
            case "hold":  # sleeps in C code with the interpreter's lock held
                ctypes.PyDLL(None).sleep(int(action["seconds"]))
            case "unsendable":
                return StepResult({"value": object()})
            case "big":
                return StepResult({"value": "x" * action["size"]})
        return StepResult({"count": self.count}, 1.0, action.get("do") == "end")

    def state(self) -> Mapping[str, Any]:
        return {"episode_id": None, "step_count": self.count}

    def close(self) -> None:
        self.closed += 1
        assert self.closed == 1, "closed twice"


class SlowToBuild(Misbehaving):
    """Takes four seconds to build."""

    def __init__(self) -> None:
        time.sleep(4)
        super().__init__()


class Unbuildable(Misbehaving):
    """Cannot be built."""

    def __init__(self) -> None:
        raise RuntimeError("a secret reason")


def source(environment: type[interop.Environment] = Misbehaving, **description: Any) -> interop.Source:
    """A source of an environment class."""
    fields = {
        "name": environment.__name__,
        "description": "for tests",
        "action": SCHEMA,
        "observation": SCHEMA,
        "state": SCHEMA,
    }
    return interop.FactorySource(interop.Description(**fields | description), environment)
