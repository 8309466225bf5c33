"""`assert_identical`: equality that forgives nothing."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np


def assert_identical(actual: Any, expected: Any, path: str = "") -> None:
    """Assert that two values are the same in type, dtype, shape, bytes, order and structure, at every depth.

    Floats are compared bit by bit (so `-0.0` is not `0.0` and a NaN is itself), dictionaries with their order, sets by
    their elements' types too. Objects of other types must be equal. The message names the place that differs.
    """
    where = path or "the value"
    assert type(actual) is type(expected), (
        f"{where}: {type(actual).__name__} ({actual!r}) is not {type(expected).__name__} ({expected!r})"
    )
    if isinstance(expected, np.ndarray):
        _assert_same_array(actual, expected, where)
    elif isinstance(expected, np.generic):
        _assert_same_array(np.asarray(actual), np.asarray(expected), where)
        assert repr(actual) == repr(expected), f"{where}: {actual!r} is not {expected!r}"
    elif isinstance(expected, float):
        assert _bits(actual) == _bits(expected), f"{where}: {actual!r} is not {expected!r}, bit for bit"
    elif isinstance(expected, complex):
        assert_identical([actual.real, actual.imag], [expected.real, expected.imag], path)
    elif isinstance(expected, dict):
        assert len(actual) == len(expected), f"{where}: {list(actual)} is not {list(expected)}"
        for index, (left, right) in enumerate(zip(actual, expected, strict=True)):
            assert_identical(left, right, f"{path}<key {index}>")
            assert_identical(actual[left], expected[right], f"{path}[{right!r}]")
    elif isinstance(expected, (list, tuple)):
        assert len(actual) == len(expected), f"{where}: {len(actual)} elements are not {len(expected)}"
        for index, (left, right) in enumerate(zip(actual, expected, strict=True)):
            assert_identical(left, right, f"{path}[{index}]")
    elif isinstance(expected, (set, frozenset)):
        assert sorted(map(_tag, actual)) == sorted(map(_tag, expected)), f"{where}: {actual!r} is not {expected!r}"
    else:
        assert actual == expected, f"{where}: {actual!r} is not {expected!r}"


def _assert_same_array(actual: Any, expected: Any, where: str) -> None:
    assert actual.dtype == expected.dtype, f"{where}: dtype {actual.dtype.str} is not {expected.dtype.str}"
    assert actual.dtype.str == expected.dtype.str, f"{where}: dtype {actual.dtype.str} is not {expected.dtype.str}"
    assert actual.dtype.type is expected.dtype.type, f"{where}: {actual.dtype.type} is not {expected.dtype.type}"
    assert actual.shape == expected.shape, f"{where}: shape {actual.shape} is not {expected.shape}"
    if expected.dtype == object:
        assert_identical(actual.ravel().tolist(), expected.ravel().tolist(), where)
    else:
        assert actual.tobytes() == expected.tobytes(), f"{where}: {actual!r} is not {expected!r}, byte for byte"


def _bits(number: float) -> bytes:
    return struct.pack("<d", number)


def _tag(element: object) -> str:
    return f"{type(element).__module__}.{type(element).__qualname__}:{element!r}"
