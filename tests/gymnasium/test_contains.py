"""The short way of `contains` is Gymnasium's own."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from gymnasium import Space, spaces

from converters.gymnasium.contains import contains
from tests.gymnasium.nasty import nasty_spaces


class Even(spaces.Discrete[Any]):
    def contains(self, x: Any) -> bool:
        return super().contains(x) and int(x) % 2 == 0


SPACES: dict[str, Space[Any]] = {
    **nasty_spaces(),
    "a Discrete past its dtype": spaces.Discrete(100, start=100, dtype=np.int8),
    "a Discrete of uint64": spaces.Discrete(3, start=2**63, dtype=np.uint64),
    "a Discrete of longlong": spaces.Discrete(3, dtype=np.longlong),
    "a Discrete of the other byte order": spaces.Discrete(3, dtype=">i8"),
    "a Discrete below zero": spaces.Discrete(3, start=-2),
    "a Discrete with a contains of its own": Even(8),
    "a Box without a shape": spaces.Box(-1, 1, (), np.float32),
    "a Box of bytes": spaces.Box(3, 200, (2,), np.uint8),
    "an unbounded Box": spaces.Box(-np.inf, np.inf, (2,), np.float64),
    "an empty Box": spaces.Box(-1, 1, (0,), np.float32),
    "a MultiDiscrete": spaces.MultiDiscrete([2, 3], start=[-1, 5]),
    "a small MultiDiscrete": spaces.MultiDiscrete([100, 3], dtype=np.int8, start=[100, 0]),
}
NUMBERS = [-(2**63), -3, -2, -1, 0, 1, 2, 5, 6, 7, 100, 127, 128, 150, 199, 200, 2**63, 2**63 + 2, 2**64]
DTYPES = ["?", "b", "B", "i", "l", "q", "L", "Q", ">i8", "e", "f", "d", ">f4", "F"]


def _values() -> list[Any]:
    values: list[Any] = [None, True, False, "1", b"1", 1.0, [0, 5], (0, 5), {}, np.bool_(True), *NUMBERS]
    for code in DTYPES:
        for number in (*NUMBERS, np.nan, np.inf, 0.5):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    one = np.array(number).astype(code)
                except (OverflowError, ValueError):
                    continue
            values += [one[()], one, one.reshape(1), np.stack([one, one]), np.stack([one, np.zeros_like(one)])]
    return [*values, np.zeros((0,), "f"), np.zeros((2, 2)), np.ma.zeros(2), np.array([1, "a"], object)]


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.filterwarnings("ignore")
def test_contains_is_the_spaces_own(name: str) -> None:
    """A value is in the space exactly if the space says so, and an error is the space's own."""
    space = SPACES[name]
    space.seed(3)
    for value in [*_values(), *(space.sample() for _ in range(20))]:
        assert _outcome(contains, space, value) == _outcome(type(space).contains, space, value), repr(value)


def _outcome(function: Any, space: Space[Any], value: Any) -> Any:
    try:
        return function(space, value)
    except Exception as exc:
        return repr(exc)


def test_a_space_may_change() -> None:
    """An environment that changes its space in place is asked anew."""
    space = spaces.Discrete(2)
    assert not contains(space, np.int64(3))
    space.n = np.int64(4)
    assert contains(space, np.int64(3))
