"""Hypothesis strategies of the values that travel without a space, and a table of nasty ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.spaces import GraphInstance
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp


def _one_nan(value: Any) -> Any:
    """The value with every NaN the usual one: JSON carries no sign and no payload of a NaN."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind == "c":
            _one_nan(value.real)
            _one_nan(value.imag)
        elif value.dtype.kind == "f":
            value[np.isnan(value)] = np.nan
        return value
    if isinstance(value, complex):
        return complex(_one_nan(value.real), _one_nan(value.imag))
    return value if value == value else float("nan")


_texts = st.text(st.characters(exclude_categories=()), max_size=6)  # lone surrogates too
_dtypes = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(endianness="?"),
    hnp.floating_dtypes(endianness="?", sizes=(16, 32, 64)),
    hnp.complex_number_dtypes(endianness="?", sizes=(64, 128)),
    hnp.datetime64_dtypes(endianness="?"),
    hnp.timedelta64_dtypes(endianness="?"),
    hnp.byte_string_dtypes(min_len=1, max_len=4),
)
_arrays = st.builds(
    _one_nan,
    _dtypes.flatmap(lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))),
)
_strings = hnp.arrays(
    "<U3", hnp.array_shapes(max_dims=2, min_side=0, max_side=3), elements=st.text("aé😀 /~", max_size=3)
)
_scalars = st.builds(
    lambda dtype, number: np.dtype(dtype).type(number), st.sampled_from(["?", "i1", "u2", "i8", "f2", "f4", "f8"]),
    st.integers(0, 100),
)  # fmt: skip
_hashable = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats().map(_one_nan),
    _texts,
    st.binary(max_size=4),
    st.complex_numbers().map(_one_nan),
)
_leaves = st.one_of(_hashable, _scalars, _arrays, _strings, st.binary(max_size=4).map(bytearray))


def _objects(items: list[Any]) -> Any:
    array = np.empty(len(items), object)
    for index, item in enumerate(items):
        array[index] = item
    return array


def free_values() -> st.SearchStrategy[Any]:
    """Any value that has an exact form without a space."""
    keys = st.one_of(_texts, _hashable, st.tuples(_hashable, _hashable), _scalars)
    return st.recursive(
        _leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.lists(inner, max_size=3).map(tuple),
            st.lists(inner, max_size=3).map(_objects),
            st.dictionaries(st.text(max_size=4), inner, max_size=3),
            st.dictionaries(keys, inner, max_size=3),
            st.sets(_hashable, max_size=3),
            st.frozensets(st.one_of(_hashable, st.tuples(_hashable)), max_size=3),
            st.builds(GraphInstance, inner, inner, inner),
        ),
        max_leaves=8,
    )


def nasty_values() -> dict[str, Any]:
    """A fresh table of values by name."""
    return {
        "none": None,
        "bool": True,
        "big-int": 2**53,
        "huge-int": -(2**70),
        "int-64": [2**63 - 1, -(2**63), 2**63, 2**64 - 1, 2**64, -(2**63) - 1],
        "floats": [1.0, -0.0, 1e300, 5e-324, float("nan"), float("inf"), -float("inf"), 0.1, 1e16],
        "str": ["", "é😀\u2028\x00", "NaN", "Infinity", "9007199254740993"],
        "lone-surrogate": ["\ud800", {"\udfff": "x\ud800"}],
        "bytes": [b"", b"\xff", bytearray(b"\x00\xc4"), bytearray()],
        "complex": [1 + 2j, complex("nan"), complex(-0.0, float("inf"))],
        "tuple": (1, (2, [3, ()])),
        "sets": [set(), {1, (2, 3), "a"}, frozenset({b"x", 2.5})],
        "pairs": {1: "a", True and "b": 2, None: 3, (1, "x"): {2: 3}, 2.5: 4, b"k": 5, frozenset({1}): 6},
        "int-and-bool-keys": {0: "int", "0": "str", True: "bool"},
        "numpy-keys": {np.int64(3): 1, np.str_("a"): 2},
        "pointer-keys": {"a/b": (1,), "~1": (2,), "": (3,), "types": (4,), "é": (5,)},
        "looks-like-a-tag": {"type": "Box", "$nd": [1], "value": 1, "types": {}},
        "scalars": [
            np.float16(0.1),
            np.float32(0.1),
            np.float64(0.1),
            np.bool_(True),
            np.int8(-3),
            np.uint64(2**64 - 1),
        ],
        "odd-scalars": [np.longlong(3), np.float32("nan"), np.float64("-inf"), np.complex64(1 - 2j), np.int64(2**60)],
        "text-scalars": [np.str_("aé"), np.str_(""), np.str_("a\0"), np.bytes_(b"\xff\0"), np.bytes_(b"")],
        "dates": [
            np.datetime64("2020-01-01"),
            np.datetime64("NaT", "s"),
            np.datetime64(3, "25s"),
            np.timedelta64(-4, "ms"),
        ],
        "date-arrays": np.array(["2020-01-01T00:00:00.000000001", "NaT"], "M8[ns]"),
        "array-0d": [np.array(3.5), np.array(np.float32("nan")), np.array(2**60), np.array(True), np.array("x")],
        "array-empty": [
            np.zeros((0, 3), np.float32),
            np.zeros((2, 0), np.int8),
            np.zeros(0, bool),
            np.zeros(0, "U3"),
        ],
        "array-special": np.array([np.nan, np.inf, -np.inf, -0.0, 0.1], np.float32),
        "array-special-f2": np.array([[np.nan, 0.1]], np.float16),
        "array-big-int": np.array([[2**63 - 1, -(2**63)], [2**53, 1]]),
        "array-uint64": np.array([2**64 - 1, 0], np.uint64),
        "array-big-endian": [np.array([1, 2], ">i4"), np.array([0.1, np.nan], ">f8"), np.array(1.5, ">f2")],
        "array-fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "array-strided": np.arange(10, dtype=np.uint8)[::-3],
        "array-text": np.array([["a", "bcé"], ["", "x"]]),
        "array-bytes": np.array([b"a", b"\xff\x00b"]),
        "array-complex": np.array([[1 + 2j, complex("nan")]], np.complex64),
        "array-longlong": np.array([1, 2**60], np.longlong),
        "array-objects": _objects([1, (2, b"x"), None, np.float32(1), [np.zeros(2)], {1: 2}]),
        "array-objects-2d": np.array([[1, "a"], [None, 2.5]], object),
        "array-objects-0d": np.array((1, 2), object)[:1].reshape(()),
        "array-objects-empty": np.zeros((0, 2), object),
        "graph": GraphInstance(np.zeros((2, 2), np.float32), None, (1, [2])),
        "statistics": {
            "episode": {"r": np.float32(3), "l": 5, "t": 0.25},
            "lives": np.int64(3),
            "seeds": (np.int64(1),),
        },
        "deep": [[[[[[[[[[(1,)]]]]]]]]]],
    }
