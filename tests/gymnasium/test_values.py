"""Values as plain JSON with a `types` side map, and back."""

from __future__ import annotations

import collections
import enum
import json
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from gymnasium import spaces as S
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic_core import to_json

from converters.gymnasium.spaces import OpaqueSpace, UnicodeText, space_from_json, space_to_json
from converters.gymnasium.values import ValueCodec, decode_free, encode_free
from converters.gymnasium.wrap import _json
from interop.errors import CannotCarry
from interop.protocol.binary import pack, unpack
from tests.exact import assert_identical
from tests.free_values import free_values, nasty_values
from tests.gymnasium.nasty import nasty_spaces, spaces

GOLDEN = Path(__file__).parents[1] / "golden" / "gymnasium_space_1.json"
SPACES = nasty_spaces()
VALUES = nasty_values()


def write(plain: Any) -> bytes:
    return orjson.dumps(plain, option=orjson.OPT_SERIALIZE_NUMPY)


def through_json(space: S.Space[Any], value: Any) -> tuple[Any, Any, dict[str, str]]:
    """The value after a trip as JSON text, its plain form, and its types."""
    types: dict[str, str] = {}
    text = write([ValueCodec(space, "/obs").encode(value, types), types])
    assert json.dumps(json.loads(text), allow_nan=False)  # RFC 8259
    plain, types = orjson.loads(text)
    return ValueCodec(space, "/obs").decode(plain, types), plain, types


def free_through_json(value: Any) -> tuple[Any, Any, dict[str, str]]:
    """The same for a value without a space."""
    types: dict[str, str] = {}
    plain, types = orjson.loads(write([encode_free(value, "/info", types), types]))
    return decode_free(plain, "/info", types), plain, types


# Round trips


@pytest.mark.parametrize("name", SPACES)
def test_samples_survive(name: str) -> None:
    """Samples of every kind of space come back the same in every bit, and without a deviation."""
    space = SPACES[name]
    space.seed(11)
    for _ in range(20):
        sample = space.sample()
        value, _, types = through_json(space, sample)
        assert_identical(value, sample)
        # A 0-d space of integers samples a scalar; the sum of a big-endian array is native: Gymnasium's own deviations.
        assert not types or name in ("box-scalar-int", "multi-discrete-scalar") or set(types.values()) == {"str"}


@pytest.mark.parametrize("name", SPACES)
def test_native_values_pass_through(name: str) -> None:
    """A value that came by msgpack, native already, is left as it is."""
    space = SPACES[name]
    sample = space.sample()
    assert_identical(ValueCodec(space, "/obs").decode(unpack(pack(sample))), sample)


@pytest.mark.parametrize("name", SPACES)
def test_any_deviation_survives(name: str) -> None:
    """A value of the wrong type, or of another space, comes back as wrong as it was."""
    for value in (None, True, 3, 3.0, float("nan"), "3", "\ud800", [1], (1,), {}, {"a": 1}, {1: 2}, np.float16(3)):
        assert_identical(through_json(SPACES[name], value)[0], value)
    for other in ("box-f4", "discrete", "dict-int-keys", "graph", "tuple-nested", "stacked-dict", "one-of-dict"):
        sample = SPACES[other].sample()
        assert_identical(through_json(SPACES[name], sample)[0], sample)


@pytest.mark.parametrize("name", VALUES)
def test_free_value_survives(name: str) -> None:
    """A value without a space comes back the same in every bit."""
    value = VALUES[name]
    assert_identical(free_through_json(value)[0], value)
    assert_identical(through_json(OpaqueSpace("far:Away"), value)[0], value)


@settings(max_examples=150, deadline=None)
@given(spaces(), st.integers(0, 100))
def test_any_sample_survives(space: S.Space[Any], seed: int) -> None:
    """Samples of a random space come back the same in every bit through JSON and through msgpack."""
    space.seed(seed)
    sample = space.sample()
    assert_identical(through_json(space, sample)[0], sample)
    assert_identical(unpack(pack(sample)), sample)


@settings(max_examples=300, deadline=None)
@given(free_values())
def test_any_free_value_survives(value: Any) -> None:
    """A random value without a space comes back the same in every bit."""
    assert_identical(free_through_json(value)[0], value)


@settings(max_examples=100, deadline=None)
@given(free_values())
def test_any_value_survives_any_space(value: Any) -> None:
    """A random value comes back the same in every bit, whatever its space expected."""
    for name in ("dict-nested", "tuple", "box-f4", "graph", "dict-mixed-keys", "one-of"):
        assert_identical(through_json(SPACES[name], value)[0], value)


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
        max_leaves=6,
    ),
    st.dictionaries(
        st.sampled_from(["", "/0", "/a", "/0/1", "/nodes", "/1/1"]),
        st.sampled_from(["int", "tuple", "pairs", "float32(2)", "json", "Graph", "set", "nonsense", "object(1)"]),
        max_size=3,
    ),
)
def test_any_plain_value_is_a_value_or_a_value_error(plain: Any, types: dict[str, str]) -> None:
    """Random plain JSON with random types is a value or a ValueError, for every space."""
    for space in [*SPACES.values(), OpaqueSpace("far:Away")]:
        try:
            ValueCodec(space, "").decode(plain, types)
        except ValueError:
            pass


# What the plain form looks like


@pytest.mark.parametrize(
    ("space", "value", "plain", "types"),
    [
        (S.Box(0, 1, (2,)), np.array([0.1, 1], np.float32), "[0.1,1.0]", {}),
        (S.Box(0, 1, ()), np.array(0.1, np.float32), "0.1", {}),
        (S.Box(-np.inf, np.inf, (2,)), np.array([np.nan, -np.inf], np.float32), '["NaN","-Infinity"]', {}),
        (S.Box(-np.inf, np.inf, (2,)), np.array([np.nan, 0.1], np.float32), '["NaN",0.1]', {}),
        (S.Box(0, 2**62, (2,), dtype=np.int64), np.array([1, 2**60]), '[1,"1152921504606846976"]', {}),
        (S.Box(0, 1, (2,)), np.array([0.1, 1]), "[0.1,1.0]", {"/obs": "float64(2)"}),
        (S.Box(0, 1, (2,)), [0.5, 1], "[0.5,1]", {"/obs": "json"}),
        (S.Box(0, 1, (2,)), np.zeros((1, 2), np.float32), "[[0.0,0.0]]", {"/obs": "float32(1,2)"}),
        (S.Discrete(3), np.int64(2), "2", {}),
        (S.Discrete(3), 2, "2", {"/obs": "int"}),
        (S.Discrete(3), np.int32(2), "2", {"/obs": "int32"}),
        (S.Discrete(2**60), np.int64(2**55), '"36028797018963968"', {}),
        (S.Text(3), "abc", '"abc"', {}),
        (S.Text(3), "\ud800", '"7aCA"', {"/obs": "str"}),
        (S.Tuple((S.Discrete(3), S.Text(3))), (np.int64(1), "a"), '[1,"a"]', {}),
        (S.Tuple((S.Discrete(3), S.Text(3))), (1, "a"), '[1,"a"]', {"/obs/0": "int"}),
        (S.Tuple((S.Discrete(3),)), [np.int64(1)], "[1]", {"/obs": "json", "/obs/0": "int64"}),
        (S.Dict({"a/b": S.Discrete(3)}), {"a/b": 1}, '{"a/b":1}', {"/obs/a~1b": "int"}),
        (S.Dict(a=S.Discrete(3)), {}, "{}", {"/obs": "json"}),
        (S.Dict(a=S.Text(3), b=S.Text(3)), {"b": "x", "a": "y"}, '{"b":"x","a":"y"}', {}),
        (S.Dict({0: S.Discrete(3)}), {0: np.int64(1)}, '[[{"json":0},1]]', {}),
        (S.Dict({0: S.Discrete(3)}), {0: 1}, '[[{"json":0},1]]', {"/obs/0/1": "int"}),
        (S.Dict(a=S.Discrete(3)), {0: 1}, "[[0,1]]", {"/obs": "pairs"}),
        (S.Sequence(S.Discrete(3)), (np.int64(1), np.int64(2)), "[1,2]", {}),
        (S.Sequence(S.Discrete(3), stack=True), np.array([1, 2]), "[1,2]", {}),
        (
            S.Graph(S.Box(0, 1, (1,)), S.Discrete(2)),
            S.GraphInstance(np.ones((1, 1), np.float32), np.array([1]), np.array([[0, 0]], np.int32)),
            '{"nodes":[[1.0]],"edges":[1],"edge_links":[[0,0]]}',
            {},
        ),
        (S.Graph(S.Discrete(2), None), S.GraphInstance(np.array([1]), None, None), '{"nodes":[1]}', {}),
        (S.OneOf((S.Discrete(3), S.Text(3))), (np.int64(1), "a"), '[1,"a"]', {}),
        (S.OneOf((S.Discrete(3), S.Text(3))), (0, 2), "[0,2]", {"/obs/0": "int", "/obs/1": "int"}),
        (OpaqueSpace("far:Away"), "go", '"go"', {}),
    ],
)
def test_plain_form(space: S.Space[Any], value: Any, plain: str, types: dict[str, str]) -> None:
    """The plain form of a value is the documented one, with entries only where the value is not what its space says."""
    found: dict[str, str] = {}
    assert write(ValueCodec(space, "/obs").encode(value, found)).decode() == plain
    assert found == types
    assert_identical(ValueCodec(space, "/obs").decode(orjson.loads(plain), types), value)


@pytest.mark.parametrize(
    ("value", "plain", "types"),
    [
        ({"lives": 3, "ok": True, "x": None, "y": [1.5, "a"]}, '{"lives":3,"ok":true,"x":null,"y":[1.5,"a"]}', {}),
        (2**53, '"9007199254740992"', {"/info": "int"}),
        (float("inf"), '"Infinity"', {"/info": "float"}),
        ((1, (2,)), "[1,[2]]", {"/info": "tuple", "/info/1": "tuple"}),
        ({"m": np.array([1, 0], np.int8)}, '{"m":[1,0]}', {"/info/m": "int8(2)"}),
        (np.float32(0.1), "0.1", {"/info": "float32"}),
        (np.float64(0.1), "0.1", {"/info": "float64"}),
        (np.bool_(True), "true", {"/info": "bool"}),
        (np.str_("hello"), '"hello"', {"/info": "<U5"}),
        (np.array(1.5, np.float32), "1.5", {"/info": "float32()"}),
        (np.array([1], ">i4"), "[1]", {"/info": ">i4(1)"}),
        (np.datetime64(5, "ns"), "5", {"/info": "datetime64[ns]"}),
        (np.array([1, "a"], object), '[1,"a"]', {"/info": "object(2)"}),
        ({1: "a"}, '[[1,"a"]]', {"/info": "pairs"}),
        ({(1,): (2,)}, "[[[1],[2]]]", {"/info": "pairs", "/info/0/0": "tuple", "/info/0/1": "tuple"}),
        (b"\xff", '"/w=="', {"/info": "bytes"}),
        (1 + 2j, "[1.0,2.0]", {"/info": "complex"}),
        ({3}, "[3]", {"/info": "set"}),
        ("NaN", '"NaN"', {}),
    ],
)
def test_free_form(value: Any, plain: str, types: dict[str, str]) -> None:
    """The free form of a value is the documented one."""
    found: dict[str, str] = {}
    assert write(encode_free(value, "/info", found)).decode() == plain
    assert found == types
    assert_identical(decode_free(orjson.loads(plain), "/info", types), value)


def test_box_passes_without_a_copy() -> None:
    """The array of a Box observation is not copied to be written."""
    array = np.zeros((84, 84, 4), np.uint8)
    assert ValueCodec(S.Box(0, 255, array.shape, dtype=np.uint8), "/obs").encode(array, {}) is array


def test_decoded_values_are_fresh() -> None:
    """Decoded arrays are writable and new each time, and the plain value stays as it was."""
    codec = ValueCodec(S.Box(0, 1, (2,), dtype=np.float64), "/obs")
    plain = [0.5, 1.0]
    first, second = codec.decode(plain), codec.decode(plain)
    first[0] = 9
    assert (second[0], plain[0]) == (0.5, 0.5)
    info = {"a": [1, 2], "b": {"c": [3]}}
    decode_free(info, "/info", {"/info/b/c": "tuple"})
    assert info == {"a": [1, 2], "b": {"c": [3]}}


def test_no_types_cost_nothing() -> None:
    """Without an entry for it, a free value is the plain value itself."""
    info = {"a": [1, 2]}
    assert decode_free(info, "/info", {}) is info
    assert decode_free(info, "/info", {"/obs": "int", "/information": "tuple"}) is info


def test_object_order_is_the_values_order() -> None:
    """A dict observation whose keys come in another order than its space's keeps its order, and needs no entry."""
    space = S.Dict(a=S.Discrete(3), b=S.Discrete(3))
    value = {"b": np.int64(1), "a": np.int64(2)}
    decoded, _, types = through_json(space, value)
    assert_identical(decoded, value)
    assert types == {}


# Decoding what others write

BOX = S.Box(0, 1, (2,))
DICT = S.Dict(pose=S.Tuple((S.Discrete(3), S.Sequence(BOX))), word=UnicodeText(5))


@pytest.mark.parametrize(
    ("space", "plain", "expected"),
    [
        (BOX, [0, 1], np.array([0, 1], np.float32)),
        (S.Box(0, 9, (2,), dtype=np.int8), [1.0, 2.0], np.array([1, 2], np.int8)),
        (S.Discrete(3), 1.0, np.int64(1)),
        (S.Discrete(3, dtype=np.uint8), 2, np.uint8(2)),
        (S.Dict(a=S.Text(2), b=S.Text(2)), {"b": "x", "a": "y"}, {"b": "x", "a": "y"}),
        (S.OneOf((S.Discrete(3), BOX)), [1, [0, 0.5]], (np.int64(1), np.array([0, 0.5], np.float32))),
    ],
)
def test_decode_is_kind(space: S.Space[Any], plain: Any, expected: Any) -> None:
    """JSON of a client that does not know dtypes gets the space's types."""
    assert_identical(ValueCodec(space, "/action").decode(plain), expected)


@pytest.mark.parametrize(
    ("space", "plain", "text"),
    [
        (BOX, "x", r"^/action: 'x' is not accepted: float32 values in nested lists of shape \[2\] \(Box\(0.0, 1.0"),
        (BOX, [1], r"^/action: \[1\] is not accepted: float32 values"),
        (BOX, [1, "2"], r"^/action: '2' is not accepted"),
        (BOX, [1, None], r"^/action: None is not accepted"),
        (BOX, [1, [2]], r"^/action: \[1, \[2\]\] is not accepted"),
        (BOX, [[1, 2]], r"^/action: \[\[1, 2\]\] is not accepted"),
        (BOX, [1, 1e39], r"^/action: \[1, 1e\+39\] is not accepted"),
        (BOX, [True, False], r"^/action: True is not accepted"),
        (BOX, {"a": 1}, r"^/action: {'a': 1} is not accepted"),
        (S.Box(0, 9, (1,), dtype=np.uint8), [256], r"^/action: \[256\] is not accepted: uint8 values"),
        (S.Box(0, 9, (1,), dtype=np.uint8), [1.5], r"^/action: 1.5 is not accepted"),
        (S.Box(0, 9, (1,), dtype=np.int64), ["5"], r"^/action: '5' is not accepted"),
        (S.Box(0, 1, (1,), dtype=np.bool_), [1], r"^/action: 1 is not accepted: bool values"),
        (S.Box(0, 1, (0, 2)), [[]], r"^/action: \[\[\]\] is not accepted"),
        (S.Discrete(3), "1", r"^/action: '1' is not accepted: an integer \(int64\) \(Discrete\(3\)\)"),
        (S.Discrete(3), 1.5, r"^/action: 1.5 is not accepted"),
        (S.Discrete(3), True, r"^/action: True is not accepted"),
        (S.Discrete(3), None, r"^/action: None is not accepted"),
        (S.Discrete(3), 2**70, r"^/action: 1180591620717411303424 is not accepted"),
        (S.Discrete(3), [1], r"^/action: \[1\] is not accepted"),
        (S.Text(3), 5, r"^/action: 5 is not accepted: a string"),
        (DICT, {"pose": [1, []]}, r"^/action: .* an object with exactly the keys \['pose', 'word'\]"),
        (DICT, {"pose": [1, [[0, 0], [0, "x"]]], "word": ""}, r"^/action/pose/1/1: 'x' is not accepted: float32"),
        (DICT, {"pose": [1], "word": ""}, r"^/action/pose: \[1\] is not accepted: a list of 2 elements"),
        (S.Dict({0: S.Discrete(3)}), [[0, 1]], r"\[key, value\] with exactly the keys \[\{'json': 0\}\]"),
        (S.Dict({0: S.Discrete(3)}), [[{"json": False}, 1]], r"with exactly the keys"),
        (S.Dict({0: S.Discrete(3)}), [[{"json": 0}, "x"]], r"^/action/0/1: 'x' is not accepted: an integer"),
        (S.OneOf((BOX,)), [1, [0, 0]], r"^/action: .* an index from 0 to 0"),
        (S.OneOf((BOX,)), [0, [0]], r"^/action/1: \[0\] is not accepted"),
        (S.Graph(BOX, None), {"nodes": [[0]]}, r"^/action/nodes: .* shape \['n', 2\]"),
        (S.Graph(BOX, None), {"edges": []}, r"an object with nodes, and edges and edge_links where it has edges"),
        (S.Sequence(BOX), 5, r"^/action: 5 is not accepted: a list"),
    ],
)
def test_wrong_plain_value(space: S.Space[Any], plain: Any, text: str) -> None:
    """A plain value that its space does not accept is a ValueError with its place, the space, and what is accepted."""
    with pytest.raises(ValueError, match=text):
        ValueCodec(space, "/action").decode(plain)


@pytest.mark.parametrize(
    ("plain", "types", "text"),
    [
        ("x", {"/info": "nonsense"}, r"^/info: 'nonsense' is not accepted: a type name such as int, tuple"),
        ("x", {"/info": "float32(2"}, r"a type name such as"),
        ("x", {"/info": "i4,f4"}, r"a type name such as"),
        ("x", {"/info": "float128"}, r"a type name such as"),
        ([1], {"/info": "float32(2)"}, r"^/info: \[1\] is not accepted: float32\(2\)"),
        ([], {"/info": "float32(0,99999999999)"}, r"an array of at most 268435456 elements"),
        ("x", {"/info": "int"}, r"^/info: 'x' is not accepted: an integer, or its decimal digits"),
        ("x", {"/info": "float"}, r'a number, "NaN", "Infinity" or "-Infinity"'),
        (5, {"/info": "tuple"}, r"^/info: 5 is not accepted: a list"),
        ("*", {"/info": "bytes"}, r"^/info: '\*' is not accepted: base64, a string"),
        (5, {"/info": "str"}, r"base64, a string"),
        ("/w==", {"/info": "str"}, r"a string, as base64 of UTF-8"),
        ([[1]], {"/info": "set"}, r"a list of hashable values"),
        ([[1]], {"/info": "pairs"}, r"a list of \[key, value\] with hashable keys"),
        ([[[], 1]], {"/info": "pairs"}, r"a list of \[key, value\] with hashable keys"),
        ([1], {"/info": "complex"}, r"\[real, imaginary\]"),
        ({"nodes": 1}, {"/info": "Graph"}, r"an object with nodes, edges and edge_links"),
        ([1], {"/info": "object(2)"}, r"nested lists of shape \[2\]"),
        ({"a": 1}, {"/info/b": "int"}, r"^/info: .* an object with the key 'b', which `types` names"),
        ([1], {"/info/1": "int"}, r"^/info: .* a list with the index 1, which `types` names"),
        (5, {"/info/a": "int"}, r"a list or an object, since `types` names something in it"),
        ([1, 2], {"/info": "float32(2)", "/info/0": "int"}, r"nothing that `types` names inside of float32\(2\)"),
        ({"a": [{"b": "x"}]}, {"/info/a/0/b": "int"}, r"^/info/a/0/b: 'x' is not accepted"),
        (1, {"/info": 5}, r"^types '/info': 5 is not accepted: a type name"),
        (1, {"/info" + "/a" * 999: "int"}, r"is not accepted: a type name of a near place"),
    ],
)
def test_wrong_types(plain: Any, types: Any, text: str) -> None:
    """Types that do not fit the plain value are a ValueError with the place and what is accepted."""
    with pytest.raises(ValueError, match=text):
        decode_free(plain, "/info", types)


@pytest.mark.parametrize(
    ("space", "plain", "types"),
    [
        (BOX, [0, 0], {"/obs/0": "int"}),
        (S.Discrete(3), 1, {"/obs/0": "int"}),
        (S.Tuple((S.Discrete(3),)), [1], {"/obs/1": "int"}),
        (S.Dict(a=S.Discrete(3)), {"a": 1}, {"/obs/b": "int"}),
        (S.OneOf((S.Discrete(3),)), [0, 1], {"/obs/0": "tuple"}),
    ],
)
def test_types_must_fit_the_space(space: S.Space[Any], plain: Any, types: dict[str, str]) -> None:
    """Types that name what the space does not have are a ValueError."""
    with pytest.raises(ValueError, match="types"):
        ValueCodec(space, "/obs").decode(plain, types)


# Refusals


class Color(enum.Enum):
    RED = 1


class Whole(int):
    pass


Point = collections.namedtuple("Point", "x")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [Color.RED]}, "^/info/a/0 cannot be carried: an Enum has no exact form"),
        (Whole(1), "^/info cannot be carried: Whole is not exactly int"),
        (Point(1), "a named tuple has no exact form"),
        (np.longdouble(1), "a longdouble has another format on every machine"),
        (np.zeros(1, np.longdouble), "a longdouble"),
        (np.zeros(1, "i4,f4"), "a structured or void dtype"),
        (np.zeros(1, "i4,f4")[0], "a structured or void dtype"),
        (np.ma.zeros(2), "MaskedArray is not exactly numpy.ndarray"),
        (np.array(["\ud800"]), "a NumPy string with a lone surrogate is no JSON text"),
        (collections.OrderedDict(a=1), "OrderedDict is not exactly dict"),
        (object(), "an object of this type has no exact form"),
        (lambda: 1, "an object of this type has no exact form"),
        ({"x/y": {1: Color.RED}}, "^/info/x~1y/0/1 cannot be carried"),
    ],
)
def test_refusal(value: Any, text: str) -> None:
    """A value without an exact form is refused by its place, with and without a space."""
    with pytest.raises(CannotCarry, match=text):
        encode_free(value, "/info", {})
    with pytest.raises(CannotCarry, match=text):
        ValueCodec(S.Discrete(3), "/info").encode(value, {})


def test_huge_int_is_refused() -> None:
    """An int of more digits than Python writes is refused, without its digits."""
    with pytest.raises(CannotCarry, match="an int of so many digits has no decimal form"):
        encode_free(10**5000, "/info", {})


def test_longdouble_box_is_refused() -> None:
    """An observation of longdouble is refused where its space says longdouble too."""
    with pytest.raises(CannotCarry, match=r"^/obs cannot be carried: a longdouble"):
        ValueCodec(S.Box(0, 1, (1,), dtype=np.longdouble), "/obs").encode(np.zeros(1, np.longdouble), {})


@pytest.mark.parametrize("kind", ["list", "dict", "tuple", "pairs", "object"])
def test_cycle_is_refused(kind: str) -> None:
    """A value that contains itself is refused, by a place that can be read."""
    inner: list[Any] = []
    array = np.empty(1, object)
    array[0] = inner
    inner.append({"list": inner, "dict": {"a": inner}, "tuple": (inner,), "pairs": {1: inner}, "object": array}[kind])
    with pytest.raises(CannotCarry, match="it is nested too deeply, or contains itself") as caught:
        encode_free({"deep": inner}, "/info", {})
    assert len(caught.value.path) <= 60


# Golden vectors


def golden() -> list[dict[str, Any]]:
    vectors: list[dict[str, Any]] = json.loads(GOLDEN.read_text())["vectors"]
    return vectors


@pytest.mark.parametrize("vector", golden(), ids=lambda vector: vector["name"])
def test_golden_vectors(vector: dict[str, Any]) -> None:
    """The published vectors hold: the space, the plain form and the types of each value, and its msgpack bytes."""
    space = space_from_json(vector["space"])
    assert space_to_json(space) == vector["space"]
    codec = ValueCodec(space, "/obs")
    for case in vector["values"]:
        value = unpack(bytes.fromhex(case["msgpack"]))
        types: dict[str, str] = {}
        assert json.loads(write(codec.encode(value, types))) == case["plain"]
        assert types == case["types"]
        assert_identical(codec.decode(case["plain"], case["types"]), value)
        assert pack(value).hex() == case["msgpack"]


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
@example(5.762910360737703e-06)
@example(1500000051200000.0)
def test_a_float32_is_laid_out_as_any_float(value: float) -> None:
    """The shortest digits of a float32 in the one layout of section 7, whatever its size (ENC-13)."""
    array = np.array([value], np.float32)
    text = _json({"obs": array, "text": "1e+15 0.00000"}).text
    (shown,) = json.loads(text)["obs"]
    assert np.float32(shown) == array[0]
    assert text == to_json({"obs": [shown], "text": "1e+15 0.00000"})
