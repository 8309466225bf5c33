"""Spaces chosen to break a codec: everything Gymnasium tests its own spaces with, and what its tests leave out."""

from __future__ import annotations

import string
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import (
    Box,
    Dict,
    Discrete,
    Graph,
    MultiBinary,
    MultiDiscrete,
    OneOf,
    Sequence,
    Space,
    Text,
    Tuple,
)
from hypothesis import strategies as st

from converters.gymnasium.spaces import UnicodeText

INF = np.inf


class Doubled(Box):
    """A subclass of a known space."""


class Rhyme(Space[str]):
    """A space of a class that Gymnasium does not know."""

    def __init__(self, words: tuple[str, ...] = ("cat", "hat")) -> None:
        self.words = words
        super().__init__(dtype=str)

    def contains(self, x: Any) -> bool:
        return x in self.words

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        return self.words[int(self.np_random.integers(len(self.words)))]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rhyme) and self.words == other.words


def nasty_spaces() -> dict[str, Space[Any]]:
    """A fresh table of spaces by name."""
    gymnasium.logger.min_level = 50  # the bounds below are lossy on purpose
    f32, f64 = np.float32, np.float64
    spaces: dict[str, Any] = {f"box-{name}": Box(0, 1, (3,), dtype=np.dtype(name)) for name in ("f2", "f4", "f8", "?")}
    for name in ("i1", "i2", "i4", "i8", "u1", "u2", "u4"):
        limits = np.iinfo(name)
        spaces[f"box-{name}"] = Box(int(limits.min), int(limits.max), (4,), dtype=np.dtype(name))
    spaces |= {
        "box-u8": Box(0, 2**62, (2,), dtype=np.uint64),
        "box-i8-past-2**53": Box(-(2**62), 2**62, (2,), dtype=np.int64),
        "box-longlong": Box(-5, 5, (2,), dtype=np.longlong),
        "box-unbounded": Box(-INF, INF, (3,), dtype=f32),
        "box-half-bounded": Box(np.array([-INF, 0.0, -1.0], f64), np.array([0.0, INF, 1.0], f64), dtype=f64),
        "box-cartpole": Box(-np.array([4.8, INF, 0.41887903, INF], f32), np.array([4.8, INF, 0.418, INF], f32)),
        "box-inf-int": Box(low=np.array([-INF, 0]), high=np.array([4, INF]), dtype=np.int32),
        "box-inf-int8": Box(-INF, INF, (2, 2), dtype=np.int8),
        "box-inf-int64": Box(-INF, 5, (2,), dtype=np.int64),
        "box-scalar": Box(-1, 1, (), dtype=f32),
        "box-scalar-f8": Box(-INF, INF, (), dtype=f64),
        "box-scalar-int": Box(-3, 3, (), dtype=np.int16),
        "box-empty": Box(-1, 1, (0, 3)),
        "box-hollow": Box(-1, 1, (2, 0, 3)),
        "box-image": Box(0, 255, (8, 6, 3), dtype=np.uint8),
        "box-uneven": Box(
            np.arange(6, dtype=f64).reshape(2, 3), np.arange(6, dtype=f64).reshape(2, 3) + 0.1, dtype=f64
        ),
        "box-negative-zero": Box(np.array([-0.0, 0.0], f32), np.array([1.0, 1.0], f32)),
        "box-big-endian": Box(0, 1, (2,), dtype=np.dtype(">f4")),
        "box-big-endian-int": Box(0, 9, (2, 2), dtype=np.dtype(">i2")),
        "box-tiny-digits": Box(f32(0.1), f32(0.3), (2,)),
        "box-float-max": Box(np.full(2, np.finfo(f32).min), np.full(2, np.finfo(f32).max)),
        "box-subclass": Doubled(0, 1, (2,)),
        "discrete": Discrete(3),
        "discrete-start": Discrete(5, start=-2),
        "discrete-i1": Discrete(5, dtype=np.int8),
        "discrete-u2": Discrete(500, start=7, dtype=np.uint16),
        "discrete-big": Discrete(2**62, start=-(2**61)),
        "discrete-big-endian": Discrete(5, dtype=np.dtype(">i4")),
        "multi-discrete": MultiDiscrete([2, 2, 3]),
        "multi-discrete-2d": MultiDiscrete([[2, 3], [4, 5]], start=[[1, -2], [0, 9]]),
        "multi-discrete-scalar": MultiDiscrete(np.array(5)),
        "multi-discrete-u1": MultiDiscrete([3, 4], dtype=np.uint8),
        "multi-discrete-i8": MultiDiscrete([2**60, 2], start=[2**61, 0]),
        "multi-binary": MultiBinary(5),
        "multi-binary-list": MultiBinary([5]),
        "multi-binary-2d": MultiBinary([2, 3]),
        "text": Text(5),
        "text-backwards": Text(5, charset="ba"),
        "text-unicode-chars": Text(5, charset='é😀\u2028a\x00/~"\\]^-'),
        "text-charset-named-unicode": Text(5, charset="unicode"),
        "text-many": Text(4, charset="".join(map(chr, range(0x3000, 0x3400))) + "xa"),
        "text-empty": Text(0, min_length=0),
        "text-fixed": Text(6, min_length=6, charset=string.printable),
        "text-surrogate": Text(3, charset="\ud800a"),
        "unicode-text": UnicodeText(30),
        "tuple": Tuple((Discrete(5), Discrete(4, start=2), Box(0, 1, (2,)))),
        "tuple-empty": Tuple(()),
        "tuple-nested": Tuple((Discrete(3), Tuple((Box(0, 1, ()), Tuple(()))), Dict(a=Discrete(2)))),
        "dict": Dict(position=Discrete(5), velocity=Box(0, 1, (2, 2))),
        "dict-empty": Dict({}),
        "dict-unsorted": Dict({"b": Discrete(100), "a": Discrete(300)}, sort_keys=False),
        "dict-list": Dict([("z", Discrete(100)), ("a", Discrete(300))]),
        "dict-pointer-keys": Dict({"a/b": Discrete(3), "~0": Discrete(3), "": Discrete(3), "é": Box(0, 1, (1,))}),
        "dict-int-keys": Dict({0: Discrete(3), 1: Box(0, 1, (2,))}),
        "dict-mixed-keys": Dict(
            [
                ((0, "a", (None,)), Discrete(3)),
                (True, Discrete(4)),
                (None, Discrete(5)),
                ("0", Dict({2.5: Text(3), b"x": Discrete(2)})),
                (2**60, Discrete(5)),
                ("\ud800", Discrete(5)),
            ]
        ),
        "dict-nested": Dict(a=Dict(b=Dict(c=Tuple((Box(-INF, INF, (2,)),)))), d=Discrete(2)),
        "sequence": Sequence(Discrete(4)),
        "sequence-box": Sequence(Box(-1, 1, (2,))),
        "sequence-of-dict": Sequence(Dict(a=Discrete(3), b=Box(0, 1, (0,)))),
        "sequence-of-sequence": Sequence(Sequence(Text(3))),
        "stacked-box": Sequence(Box(-1, 1, (2,)), stack=True),
        "stacked-hollow": Sequence(Box(-1, 1, (0, 3)), stack=True),
        "stacked-discrete": Sequence(Discrete(5, start=3, dtype=np.int16), stack=True),
        "stacked-multi": Sequence(Tuple((MultiDiscrete([2, 3]), MultiBinary(4))), stack=True),
        "stacked-dict": Sequence(Dict(a=Discrete(3), b=Tuple((Box(0, 1, (2,)), Text(3)))), stack=True),
        "stacked-int-keys": Sequence(Dict({0: Discrete(3)}), stack=True),
        "stacked-text": Sequence(Text(3), stack=True),
        "graph": Graph(Box(-1, 1, (2,)), Discrete(3)),
        "graph-no-edges": Graph(Discrete(3), None),
        "graph-box-edges": Graph(Box(-INF, INF, (3,), dtype=f64), Box(0, 255, (1,), dtype=np.uint8)),
        "graph-of-text": Graph(Text(3), None),
        "graph-of-tuple": Graph(Tuple((Discrete(3), Box(0, 1, (2,)))), Dict(a=Discrete(2))),
        "graph-of-sequence": Graph(Sequence(Discrete(3)), Discrete(2)),
        "graph-of-graph": Graph(Graph(Box(-1, 1, (2,)), None), None),
        "graph-of-one-of": Graph(OneOf([Discrete(3), Box(0, 1)]), None),
        "one-of": OneOf((Discrete(3), Box(0, 1, (3,)))),
        "one-of-dict": OneOf((Dict(a=Discrete(2), b=Discrete(3)),)),
        "one-of-tuple": OneOf((Tuple((Discrete(2), Box(-1, 1, (2,)))),)),
        "one-of-nested": OneOf((OneOf((Discrete(2), Text(3))), MultiBinary(4))),
        "custom-inside": Dict(mission=Discrete(2), text=UnicodeText(2**31 - 1)),
    }
    return spaces


# Hypothesis

_BOX_DTYPES = ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "bool", ">f4")


@st.composite
def boxes(draw: st.DrawFn) -> Space[Any]:
    """A Box of any dtype and a small shape, each bound finite or infinite where the dtype allows."""
    dtype = np.dtype(draw(st.sampled_from(_BOX_DTYPES)))
    shape = tuple(draw(st.lists(st.integers(0, 3), max_size=3)))
    if dtype.kind == "b":
        return Box(0, 1, shape, dtype=dtype)
    smallest = 0 if dtype.kind == "u" else -100
    bound = st.integers(smallest, 100).map(float)
    size = int(np.prod(shape))
    pairs = draw(st.lists(st.tuples(bound, bound).map(sorted), min_size=size, max_size=size))
    low, high = (np.array([pair[side] for pair in pairs], np.float64).reshape(shape) for side in (0, 1))
    if dtype.kind != "u" and dtype.str != "<i8":  # Gymnasium casts 2.0**63 to -2**63
        low[np.array(draw(st.lists(st.booleans(), min_size=size, max_size=size)), bool).reshape(shape)] = -INF
        high[np.array(draw(st.lists(st.booleans(), min_size=size, max_size=size)), bool).reshape(shape)] = INF
    return Box(low, high, shape, dtype=dtype)


def spaces() -> st.SearchStrategy[Space[Any]]:
    """Any space of Gymnasium's, nested."""
    ints = st.sampled_from(["int8", "int16", "int64", "uint8"]).map(np.dtype)
    leaves = st.one_of(
        boxes(),
        st.builds(lambda n, start, dtype: Discrete(n, start=start, dtype=dtype), st.integers(1, 9), st.just(3), ints),
        st.builds(MultiDiscrete, st.lists(st.integers(1, 9), min_size=1, max_size=3), ints),
        st.builds(MultiBinary, st.one_of(st.integers(1, 4), st.lists(st.integers(1, 3), min_size=1, max_size=2))),
        st.builds(lambda n, chars: Text(n, charset=chars), st.integers(1, 5), st.text(min_size=1, max_size=9)),
        st.builds(UnicodeText, st.integers(0, 40)),
    )
    keys = st.one_of(st.text(max_size=4), st.integers(), st.booleans(), st.none(), st.tuples(st.integers(), st.text()))
    # Not in each other: a sample of graphs of graphs of sequences takes seconds.
    variable = st.one_of(
        st.builds(lambda space, stack: Sequence(space, stack=stack), leaves, st.booleans()),
        st.builds(lambda node, edge: Graph(node, edge), leaves, st.one_of(st.none(), leaves)),
    )
    return st.recursive(
        st.one_of(leaves, leaves, variable),
        lambda inner: st.one_of(
            st.builds(Tuple, st.lists(inner, max_size=3)),
            st.builds(Dict, st.lists(st.tuples(keys, inner), max_size=3, unique_by=lambda pair: pair[0])),
            st.builds(OneOf, st.lists(inner, min_size=1, max_size=3)),
        ),
        max_leaves=4,
    )
