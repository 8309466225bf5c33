"""How defects of the walker's server are written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conformance.broken import defect
from conformance.broken.gym import RAISES, Gym
from conformance.broken.healthy import Frame
from conformance.probe import Inputs

GIVEN = Inputs(raises={"action": RAISES})
"""What a run is given about the walker."""


def broken(name: str, *ids: str, base: type[Gym] = Gym, **methods: Any) -> None:
    """Add a defect of the walker's server to the table."""
    defect(name, *ids, base=base, inputs=GIVEN, **methods)


def describes(without: str = "", **changes: Any) -> Callable[[Gym], Frame]:
    """A method `describe` with other values, or without a key."""

    def describe(self: Gym) -> Frame:
        return {key: value for key, value in {**Gym.describe(self), **changes}.items() if key != without}

    return describe


def observes(change: Callable[[Frame], Frame]) -> Callable[[Frame], Frame]:
    """A change of frames that changes the observations in them."""

    def changed(frame: Frame) -> Frame:
        if frame["type"] != "observation":
            return frame
        return {**frame, "data": {**frame["data"], "observation": change(frame["data"]["observation"])}}

    return changed
