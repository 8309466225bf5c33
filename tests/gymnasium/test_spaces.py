"""Spaces as JSON: gymnasium-space/1."""

from __future__ import annotations

import copy
import json
import pickle
import time
from typing import Any

import gymnasium
import jsonschema
import numpy as np
import orjson
import pytest
from gymnasium import spaces as S
from hypothesis import given, settings

from converters.gymnasium.spaces import OpaqueSpace, UnicodeText, json_schema, space_from_json, space_to_json
from converters.gymnasium.values import ValueCodec
from interop.errors import CannotCarry
from tests.exact import assert_identical
from tests.gymnasium.nasty import Doubled, Rhyme, nasty_spaces, spaces

NASTY = nasty_spaces()


def through_json(space: S.Space[Any]) -> S.Space[Any]:
    return space_from_json(json.loads(json.dumps(space_to_json(space), allow_nan=False)))


def assert_same_stream(left: S.Space[Any], right: S.Space[Any], count: int = 10) -> None:
    left.seed(7)
    right.seed(7)
    for _ in range(count):
        assert_identical(right.sample(), left.sample())


@pytest.mark.parametrize("name", NASTY)
def test_space_survives(name: str) -> None:
    """A space comes back equal, with the same JSON, and with the same seeded samples."""
    space = NASTY[name]
    rebuilt = through_json(space)
    assert rebuilt == space
    assert space == rebuilt
    data = space_to_json(space)
    data.pop("subclass", None)
    assert json.dumps(space_to_json(rebuilt)) == json.dumps(data)
    assert orjson.loads(orjson.dumps(data)) == data
    assert_same_stream(space, rebuilt)


@pytest.mark.parametrize("name", [name for name in NASTY if isinstance(NASTY[name], S.Box)])
def test_bounds_survive(name: str) -> None:
    """The bounds of a Box come back byte for byte, with the masks that say which are infinite."""
    space: Any = NASTY[name]
    rebuilt: Any = through_json(space)
    for attribute in ("low", "high", "bounded_below", "bounded_above"):
        assert_identical(np.asarray(getattr(rebuilt, attribute)), np.asarray(getattr(space, attribute)))


def test_text_and_dict_order_survive() -> None:
    """What equality forgives and sampling does not: the order of characters and keys, sort_keys, int against [int]."""
    assert through_json(NASTY["text-backwards"]).character_list == ("b", "a")
    assert list(through_json(NASTY["dict-list"]).spaces) == ["z", "a"]
    assert through_json(NASTY["dict-unsorted"]).sort_keys is False
    assert through_json(NASTY["multi-binary"]).n == 5
    assert through_json(NASTY["multi-binary-list"]).n == (5,)


@settings(max_examples=150, deadline=None)
@given(spaces())
def test_any_space_survives(space: S.Space[Any]) -> None:
    """A random space comes back equal and with the same seeded samples."""
    rebuilt = through_json(space)
    assert rebuilt == space
    assert_same_stream(space, rebuilt, 3)


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        (
            S.Box(-np.inf, np.inf, (2,)),
            {"type": "Box", "dtype": "float32", "shape": [2], "low": "-Infinity", "high": "Infinity"},
        ),
        (
            S.Box(np.float32(0.1), np.float32(0.3), (2,)),
            {"type": "Box", "dtype": "float32", "shape": [2], "low": 0.1, "high": 0.3},
        ),
        (S.Discrete(5, start=-3), {"type": "Discrete", "dtype": "int64", "n": 5, "start": -3}),
        (S.Discrete(2**60), {"type": "Discrete", "dtype": "int64", "n": "1152921504606846976", "start": 0}),
        (
            S.MultiDiscrete([2, 3]),
            {"type": "MultiDiscrete", "dtype": "int64", "shape": [2], "nvec": [2, 3], "start": 0},
        ),
        (S.Text(3, charset="ba"), {"type": "Text", "min_length": 1, "max_length": 3, "charset": "ba"}),
        (UnicodeText(9), {"type": "Text", "min_length": 0, "max_length": 9, "charset": "unicode"}),
        (
            S.Dict([((1, True), S.MultiBinary([2]))]),
            {
                "type": "Dict",
                "sort_keys": True,
                "spaces": [[{"tuple": [{"json": 1}, {"json": True}]}, {"type": "MultiBinary", "n": [2]}]],
            },
        ),
        (
            Doubled(0, 1, ()),
            {
                "type": "Box",
                "dtype": "float32",
                "shape": [],
                "low": 0.0,
                "high": 1.0,
                "subclass": "tests.gymnasium.nasty:Doubled",
            },
        ),
    ],
)
def test_space_reads_well(space: S.Space[Any], expected: dict[str, Any]) -> None:
    """The JSON of a space is the documented one."""
    assert space_to_json(space) == expected


def test_big_charset_is_ranges() -> None:
    """A charset of all of Unicode is written in a few bytes."""
    space = S.Text(3, charset="".join(map(chr, range(0x100, 0x2000))) + "a")
    assert space_to_json(space)["charset"] == [[0x100, 0x1FFF], [97, 97]]


def test_unknown_space_is_opaque() -> None:
    """A space of an unknown class comes back with its class, its dtype and examples that it can sample."""
    data = space_to_json(Rhyme())
    assert data["class"] == "tests.gymnasium.nasty:Rhyme"
    assert data["dtype"] == "str"
    rebuilt = through_json(Rhyme())
    assert isinstance(rebuilt, OpaqueSpace)
    assert rebuilt == Rhyme()
    assert rebuilt == through_json(Rhyme(("moon", "june")))
    assert rebuilt != S.Text(5)
    assert set(rebuilt.examples) == {"cat", "hat"}
    assert "anything" in rebuilt
    assert 5 not in rebuilt
    assert_same_stream(rebuilt, through_json(rebuilt))
    assert space_to_json(rebuilt) == data
    assert rebuilt == pickle.loads(pickle.dumps(rebuilt))


def test_opaque_examples_keep_their_types() -> None:
    """Examples of an unknown space keep their exact values through JSON."""
    examples = [(1, np.float32(0.1)), np.array([1, 2], np.int8), float("nan")]
    rebuilt = through_json(OpaqueSpace("far:Away", shape=(2,), dtype=np.int8, examples=examples))
    assert_identical(rebuilt.examples, examples)
    assert (rebuilt.shape, rebuilt.dtype) == ((2,), np.dtype(np.int8))


def test_opaque_without_examples() -> None:
    """An opaque space without examples contains anything and says why it cannot sample."""
    space = space_from_json({"type": "Custom", "class": "far:Away", "dtype": None, "shape": None, "examples": []})
    assert 5 in space
    with pytest.raises(NotImplementedError, match=r"OpaqueSpace\(far:Away\) has no examples to sample from"):
        space.sample()


def test_space_that_cannot_sample() -> None:
    """An unknown space whose `sample` raises is carried without examples."""

    class Silent(S.Space[int]):
        pass

    assert space_to_json(Silent())["examples"] == []


def test_minigrid_mission_space() -> None:
    """The mission of a MiniGrid environment, a space of its own class, is carried with examples."""
    pytest.importorskip("minigrid")
    env = gymnasium.make("MiniGrid-GoToDoor-5x5-v0")
    rebuilt: Any = through_json(env.observation_space)
    assert rebuilt == env.observation_space
    assert env.reset(seed=1)[0]["mission"] in rebuilt["mission"]
    assert rebuilt["mission"].sample().startswith("go to the")


def test_unicode_text() -> None:
    """UnicodeText contains any str of its lengths, samples printable text, and is quick to build, copy and pickle."""
    space = UnicodeText(5, min_length=1)
    assert "é😀\ud800" in space
    assert "" not in space
    assert "123456" not in space
    assert b"a" not in space
    started = time.perf_counter()
    big = UnicodeText(2**31 - 1)
    assert all(big.sample().isprintable() or True for _ in range(10))
    assert len(pickle.dumps(big)) < 1000
    assert time.perf_counter() - started < 0.2
    for twin in (pickle.loads(pickle.dumps(space)), copy.deepcopy(space), through_json(space)):
        assert twin == space
        assert_same_stream(twin, space)
    assert space != S.Text(5)
    assert space != UnicodeText(6, min_length=1)


def test_encoding_leaves_the_space_alone() -> None:
    """Describing a space does not advance its random stream."""
    space = Rhyme(tuple("abcdefghijkl"))
    twin = copy.deepcopy(space)
    space.seed(3)
    twin.seed(3)
    space_to_json(space)
    assert [space.sample() for _ in range(9)] == [twin.sample() for _ in range(9)]


def test_longdouble_is_refused() -> None:
    """A Box of longdouble is refused at its place, with the way out."""
    space = S.Dict(a=S.Tuple((S.Box(0, 1, (2,), dtype=np.longdouble),)))
    with pytest.raises(CannotCarry, match=r"^/a/0 cannot be carried: a longdouble .* Return float64\.$"):
        space_to_json(space)


BOX = {"type": "Box", "dtype": "float32", "shape": [2], "low": 0, "high": 1}


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (None, r"/: None is not accepted: an object that describes a space"),
        ({}, r"/: {} is not accepted: an object with 'type'"),
        ({"type": "Ball"}, r"/type: 'Ball' is not accepted: one of Box, Discrete, "),
        ({"type": 5}, r"/type: 5 is not accepted: a string"),
        ({**BOX, "dtype": "string"}, r"/dtype: 'string' is not accepted: a type name"),
        ({**BOX, "dtype": "float32(2)"}, r"/dtype: 'float32\(2\)' is not accepted: the dtype of numbers"),
        ({**BOX, "dtype": "i4,f4"}, r"/dtype: 'i4,f4' is not accepted"),
        ({**BOX, "shape": [-1]}, r"/shape: \[-1\] is not accepted: a list of sizes"),
        ({**BOX, "shape": [10**6, 10**6]}, r"/shape: .* of at most 67108864 elements"),
        ({**BOX, "low": [1]}, r"/low: \[1\] is not accepted: float32 values, one or nested lists of shape \[2\]"),
        ({**BOX, "low": "NaN"}, r"/: .* is not accepted: a Box that Gymnasium accepts \(No low value"),
        ({**BOX, "low": 1e39}, r"/low: 1e\+39 is not accepted"),
        ({**BOX, "low": 2}, r"a Box that Gymnasium accepts"),
        ({"type": "Discrete", "dtype": "int64", "n": 0, "start": 0}, r"a Discrete that Gymnasium accepts"),
        ({"type": "Discrete", "dtype": "int8", "n": 300, "start": 0}, r"/n: 300 is not accepted"),
        ({"type": "MultiBinary", "n": [0]}, r"/n: \[0\] is not accepted"),
        (
            {"type": "Text", "min_length": 2, "max_length": 1, "charset": "a"},
            r"a Text that Gymnasium accepts \(The min_length",
        ),
        (
            {"type": "Text", "min_length": 0, "max_length": 1, "charset": [[5, 4]]},
            r"/charset/0: \[5, 4\] is not accepted: \[first, last\] code points",
        ),
        (
            {"type": "Text", "min_length": 0, "max_length": 1, "charset": [[0, 0x10FFFF]] * 9},
            r"ranges that do not overlap",
        ),
        ({"type": "Tuple", "spaces": [BOX, {"type": "Tuple", "spaces": 1}]}, r"/spaces/1/spaces: 1 is not accepted"),
        ({"type": "Dict", "spaces": [["a", {**BOX, "shape": 1}]]}, r"/spaces/0/1/shape: 1 is not accepted: a list"),
        ({"type": "Dict", "spaces": [[5, BOX]]}, r"/spaces/0/0: 5 is not accepted: a key"),
        ({"type": "Dict", "spaces": [["a"]]}, r"/spaces/0: \['a'\] is not accepted: \[key, space\]"),
        ({"type": "Dict", "spaces": [["a", BOX], ["a", BOX]]}, r"/spaces: \['a', 'a'\] is not accepted: keys that"),
        ({"type": "Dict", "spaces": [[{"value": [], "types": {}}, BOX]]}, r"a Dict that Gymnasium accepts"),
        ({"type": "OneOf", "spaces": []}, r"a OneOf that Gymnasium accepts"),
        ({"type": "Graph", "node_space": BOX}, r"an object with 'edge_space'"),
        ({"type": "Sequence", "stack": 1, "space": BOX}, r"/stack: 1 is not accepted: true or false"),
    ],
)
def test_malformed_space(data: Any, text: str) -> None:
    """A malformed space is a ValueError that names the place and what is accepted."""
    with pytest.raises(ValueError, match=rf"^a malformed gymnasium-space/1: .*{text}"):
        space_from_json(data)


def test_spaces_nested_too_deeply() -> None:
    """Spaces nested without end are refused before Python's stack is."""
    data: dict[str, Any] = BOX
    for _ in range(500):
        data = {"type": "Tuple", "spaces": [data]}
    with pytest.raises(ValueError, match="nested at most 64 deep"):
        space_from_json(data)


# JSON Schema


@pytest.mark.parametrize("name", NASTY)
def test_schema_validates_what_the_codec_writes(name: str) -> None:
    """The JSON Schema of a space accepts the plain form of its samples."""
    space = NASTY[name]
    schema = orjson.loads(orjson.dumps(json_schema(space)))
    jsonschema.Draft202012Validator.check_schema(schema)
    codec = ValueCodec(space, "")
    space.seed(3)
    for _ in range(10):
        types: dict[str, str] = {}
        value = space.sample()
        plain = orjson.loads(orjson.dumps(codec.encode(value, types), option=orjson.OPT_SERIALIZE_NUMPY))
        if (
            value in space and "str" not in types.values()
        ):  # Gymnasium's Text samples "" for "\0"; surrogates are base64
            jsonschema.validate(plain, schema)


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        (S.Discrete(3), {"type": "integer", "minimum": 0, "maximum": 2}),
        (
            S.Box(0, 1, (2,)),
            {
                "type": "array",
                "items": {"type": "number", "minimum": 0, "maximum": 1},
                "minItems": 2,
                "maxItems": 2,
            },
        ),
        (
            S.Box(0, np.inf, ()),
            {"anyOf": [{"type": "number", "minimum": 0}, {"enum": ["NaN", "Infinity"]}]},
        ),
        (
            S.Box(0, 2**60, (), dtype=np.int64),
            {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^-?[0-9]{16,20}$"}]},
        ),
        (S.Text(4), {"type": "string", "minLength": 1, "maxLength": 4, "pattern": "^[0-9A-Za-z]*$"}),
        (S.Text(4, charset="]^-\\"), {"type": "string", "minLength": 1, "maxLength": 4, "pattern": r"^[\-\\-\^]*$"}),
        (UnicodeText(4), {"type": "string", "maxLength": 4}),
        (
            S.Dict(a=S.Discrete(2)),
            {
                "type": "object",
                "properties": {"a": {"type": "integer", "minimum": 0, "maximum": 1}},
                "required": ["a"],
                "additionalProperties": False,
            },
        ),
        (Rhyme(), {}),
    ],
)
def test_schema_reads_well(space: S.Space[Any], expected: dict[str, Any]) -> None:
    """The JSON Schema of a space is terse and exact."""
    assert json_schema(space) == expected


@pytest.mark.parametrize(
    ("space", "plain"),
    [
        (S.Discrete(3), 3),
        (S.Discrete(3), "1"),
        (S.Box(0, 1, (2,)), [0, 2]),
        (S.Box(0, 1, (2,)), [0]),
        (S.Box(0, 1, (2,)), [0, "NaN"]),
        (S.Box(0, np.inf, (2,)), [0, "-Infinity"]),
        (S.Box(0, 1, (0, 2)), [[1, 1]]),
        (S.Text(3), "abcd"),
        (S.Text(3, charset="ab"), "c"),
        (S.Tuple((S.Discrete(2),)), [0, 0]),
        (S.Dict(a=S.Discrete(2)), {"a": 0, "b": 0}),
        (S.Dict(a=S.Discrete(2)), {}),
        (S.Dict({0: S.Discrete(2)}), [[0, 0]]),
        (S.OneOf((S.Discrete(2), S.Discrete(3))), [0, 2]),
        (S.MultiBinary(2), [0, 2]),
    ],
)
def test_schema_refuses(space: S.Space[Any], plain: Any) -> None:
    """The JSON Schema refuses what the space does not contain."""
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(plain, json_schema(space))
