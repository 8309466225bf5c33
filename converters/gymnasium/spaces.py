"""Gymnasium spaces as JSON, the form "gymnasium-space/1", and back; `docs/gymnasium-space.md` specifies it.

A rebuilt space is equal to the original, has the same bounds bit by bit, and the same sample stream for a seed.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
from gymnasium import Space
from gymnasium import spaces as S

from converters.gymnasium.arrays import DTYPES, Misfit, dtype_name, is_text, parse_name, plain_array, read_array, token
from converters.gymnasium.free import Types, decode_free, encode_free
from converters.gymnasium.keys import key_from_json, key_to_json
from converters.gymnasium.schema import json_schema, shortest
from converters.gymnasium.stand_ins import OpaqueSpace, UnicodeText, class_name
from interop.errors import CannotCarry
from interop.protocol.binary import refusal

__all__ = ["FORM", "OpaqueSpace", "UnicodeText", "json_schema", "space_from_json", "space_to_json"]

FORM: Final = "gymnasium-space/1"

_MAX_DEPTH: Final = 64
_MAX_ELEMENTS: Final = 2**26  # of a Box rebuilt from one number; a frame of 4096 x 4096 x 4
_MAX_CHARSET: Final = 256  # characters written one by one
_EXAMPLES: Final = 4


def space_to_json(space: Space[Any]) -> dict[str, Any]:
    """The JSON form of a space, of plain dicts, lists, strings, ints, floats, bools and None.

    Subclasses of Gymnasium's spaces are their base with `"subclass"`; any other `Space` is `{"type": "Custom"}` with
    examples. Raises `CannotCarry` for a dtype or a key without an exact form.
    """
    return _encode(space, "")


def space_from_json(data: Mapping[str, Any]) -> Space[Any]:
    """The space of its JSON form. Raises `ValueError` that names the place of what is malformed."""
    try:
        return _decode(data, 0)
    except Misfit as misfit:
        raise ValueError(f"a malformed {FORM}: {misfit.error('')}") from None


# Encoding


def _encode(space: Space[Any], path: str) -> dict[str, Any]:
    if isinstance(space, OpaqueSpace):
        return _encode_opaque(space, path)
    for kind, encode in _ENCODERS.items():
        if isinstance(space, kind):
            data = {"type": kind.__name__, **encode(space, path)}
            if type(space) is not kind and type(space) is not UnicodeText:
                data["subclass"] = class_name(type(space))
            return data
    return _encode_opaque(_opaque(space), path)


def _encode_box(space: S.Box[Any], path: str) -> dict[str, Any]:
    data = {
        "dtype": _dtype(space, path),
        "shape": list(space.shape),
        "low": _uniform(space.low, path + "/low"),
        "high": _uniform(space.high, path + "/high"),
    }
    # Gymnasium turns an infinite bound of integers into the dtype's limit and remembers the infinity only here.
    if not np.array_equal(space.bounded_below, -np.inf < space.low):
        data["bounded_below"] = _uniform(space.bounded_below, path)
    if not np.array_equal(space.bounded_above, space.high < np.inf):
        data["bounded_above"] = _uniform(space.bounded_above, path)
    return data


def _encode_discrete(space: S.Discrete[Any], path: str) -> dict[str, Any]:
    start = _uniform(np.asarray(space.start), path)
    return {"dtype": _dtype(space, path), "n": _uniform(np.asarray(space.n), path), "start": start}


def _encode_multi_discrete(space: S.MultiDiscrete[Any], path: str) -> dict[str, Any]:
    return {
        "dtype": _dtype(space, path),
        "shape": list(space.shape),
        "nvec": _uniform(space.nvec, path),
        "start": _uniform(space.start, path),
    }


def _encode_multi_binary(space: S.MultiBinary, path: str) -> dict[str, Any]:
    return {"n": space.n if isinstance(space.n, int) else list(space.n)}


def _encode_text(space: S.Text, path: str) -> dict[str, Any]:
    charset = "unicode" if isinstance(space, UnicodeText) else _charset(space.character_list)
    return {"min_length": space.min_length, "max_length": space.max_length, "charset": charset}


def _charset(characters: tuple[str, ...]) -> str | list[list[int]]:
    """The characters in their order (sampling depends on it): a string, or ranges of code points."""
    text = "".join(characters)
    if len(text) <= _MAX_CHARSET and text != "unicode" and is_text(text):
        return text
    runs: list[list[int]] = []
    for code in map(ord, characters):
        if runs and code == runs[-1][1] + 1:
            runs[-1][1] = code
        else:
            runs.append([code, code])
    return runs


def _encode_spaces(space: S.Tuple[Any] | S.OneOf[Any], path: str) -> dict[str, Any]:
    return {"spaces": [_encode(subspace, f"{path}/{index}") for index, subspace in enumerate(space.spaces)]}


def _encode_dict(space: S.Dict, path: str) -> dict[str, Any]:
    pairs = [
        [key_to_json(key), _encode(subspace, f"{path}/{token(str(key))}")] for key, subspace in space.spaces.items()
    ]
    return {"sort_keys": getattr(space, "sort_keys", True), "spaces": pairs}


def _encode_sequence(space: S.Sequence, path: str) -> dict[str, Any]:
    return {"stack": space.stack, "space": _encode(space.feature_space, path + "/space")}


def _encode_graph(space: S.Graph, path: str) -> dict[str, Any]:
    edges = None if space.edge_space is None else _encode(space.edge_space, path + "/edges")
    return {"node_space": _encode(space.node_space, path + "/nodes"), "edge_space": edges}


_ENCODERS: Final[dict[type[Space[Any]], Callable[[Any, str], dict[str, Any]]]] = {
    S.Box: _encode_box,
    S.Discrete: _encode_discrete,
    S.MultiDiscrete: _encode_multi_discrete,
    S.MultiBinary: _encode_multi_binary,
    S.Text: _encode_text,
    S.Tuple: _encode_spaces,
    S.Dict: _encode_dict,
    S.Sequence: _encode_sequence,
    S.Graph: _encode_graph,
    S.OneOf: _encode_spaces,
}


def _dtype(space: Space[Any], path: str) -> str:
    dtype = np.dtype(space.dtype)
    if dtype.char not in DTYPES:
        raise refusal(path, np.zeros(1, dtype))
    return dtype_name(dtype)


def _uniform(array: np.ndarray[Any, Any], path: str) -> Any:
    """One element where all have the same bytes (so not for 0.0 and -0.0), else nested lists."""
    if array.size:
        first = array.reshape(-1)[:1]
        if not array.ndim or array.tobytes() == first.tobytes() * array.size:
            return _plain(plain_array(first, path))[0]
    return _plain(plain_array(array, path))


def _plain(value: Any) -> Any:
    """Without NumPy: what any JSON writer takes."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return [_plain(item) for item in value] if value.ndim else shortest(value[()])
    if isinstance(value, np.floating):
        return shortest(value)
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value


def _opaque(space: Space[Any]) -> OpaqueSpace:
    """The stand-in of a space of a class that is not Gymnasium's, with a few seeded samples."""
    examples: list[Any] = []
    try:
        sampled = copy.deepcopy(space)  # the space's own random stream stays untouched
        sampled.seed(0)
        for _ in range(_EXAMPLES):
            example = sampled.sample()
            encode_free(example, "", {})
            if not any(_is(example, other) for other in examples):
                examples.append(example)
    except Exception:
        pass  # foreign code that may do anything; a space without examples can be described all the same
    return OpaqueSpace(class_name(type(space)), shape=space.shape, dtype=space.dtype, examples=examples)


def _is(left: Any, right: Any) -> bool:
    return type(left) is type(right) and isinstance(left, (str, int)) and left == right


def _encode_opaque(space: OpaqueSpace, path: str) -> dict[str, Any]:
    types: Types = {}
    examples = _plain_tree(encode_free(space.examples, "", types))
    data = {
        "type": "Custom",
        "class": space.class_name,
        "dtype": None if space.dtype is None else "str" if space.dtype == np.dtype(str) else _dtype(space, path),
        "shape": None if space.shape is None else list(space.shape),
        "examples": examples,
    }
    return {**data, "types": types} if types else data


def _plain_tree(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain_tree(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain_tree(item) for item in value]
    return _plain(value)


# Decoding


def _decode(data: Any, depth: int) -> Space[Any]:
    if depth > _MAX_DEPTH:
        raise Misfit(data, f"spaces nested at most {_MAX_DEPTH} deep")
    decode = _DECODERS.get(_get(data, "type", str))
    if decode is None:
        raise Misfit(data["type"], f"one of {', '.join(_DECODERS)}").under("type")
    try:
        return decode(data, depth)
    except (CannotCarry, ValueError, TypeError, OverflowError, AssertionError) as error:
        raise Misfit(data, f"a {data['type']} that Gymnasium accepts ({error})") from None


def _get(data: Any, key: str, *kinds: type) -> Any:
    if not isinstance(data, Mapping):
        raise Misfit(data, "an object that describes a space")
    value = data.get(key, ...)
    if value is ...:
        raise Misfit(data, f"an object with {key!r}")
    if type(value) not in kinds:
        names = " or ".join(_JSON_NAMES[kind] for kind in kinds)
        raise Misfit(value, names).under(key)
    return value


_JSON_NAMES: Final[dict[type, str]] = {
    str: "a string",
    int: "an integer",
    bool: "true or false",
    list: "a list",
    dict: "an object",
    type(None): "null",
}


@contextmanager
def _at(*segments: object) -> Iterator[None]:
    """Names the place of what does not fit."""
    try:
        yield
    except Misfit as misfit:
        for segment in reversed(segments):
            misfit.under(segment)
        raise


def _read_dtype(data: Any) -> np.dtype[Any]:
    with _at("dtype"):
        dtype, shape = parse_name(_name := _get(data, "dtype", str))
        if shape is not None or dtype.kind not in "fiub":
            raise Misfit(_name, "the dtype of numbers")
        return dtype


def _read_shape(data: Any) -> tuple[int, ...]:
    shape = _get(data, "shape", list)
    sides = [side for side in shape if type(side) is int and 0 <= side < 2**63]
    if len(sides) != len(shape) or math.prod(side or 1 for side in sides) > _MAX_ELEMENTS:
        raise Misfit(shape, f"a list of sizes, of at most {_MAX_ELEMENTS} elements").under("shape")
    return tuple(sides)


def _read_uniform(data: Any, key: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    value = _get(data, key, *_NUMBERS)
    with _at(key):
        accepted = f"{dtype} values, one or nested lists of shape {list(shape)}"
        if isinstance(value, list):
            return read_array(value, dtype, shape, accepted)
        return np.full(shape, read_array(value, dtype, (), accepted), dtype)


_NUMBERS: Final = (int, float, bool, str, list)
_JSON_NAMES[float] = "a number"


def _decode_box(data: Any, depth: int) -> Space[Any]:
    dtype, shape = _read_dtype(data), _read_shape(data)
    low, high = _read_uniform(data, "low", dtype, shape), _read_uniform(data, "high", dtype, shape)
    space = S.Box(low, high, shape, dtype)
    for name in ("bounded_below", "bounded_above"):
        if name in data:
            setattr(space, name, _read_uniform(data, name, np.dtype(bool), shape))
        else:
            # For the shape () a comparison of arrays is a scalar, where the original made of scalars has an array.
            setattr(space, name, np.asarray(getattr(space, name)))
    return space


def _decode_discrete(data: Any, depth: int) -> Space[Any]:
    dtype = _read_dtype(data)
    n, start = _read_uniform(data, "n", dtype, ()), _read_uniform(data, "start", dtype, ())
    return S.Discrete(int(n), start=int(start), dtype=dtype)


def _decode_multi_discrete(data: Any, depth: int) -> Space[Any]:
    dtype, shape = _read_dtype(data), _read_shape(data)
    nvec, start = _read_uniform(data, "nvec", dtype, shape), _read_uniform(data, "start", dtype, shape)
    return S.MultiDiscrete(nvec, dtype=dtype, start=start)


def _decode_multi_binary(data: Any, depth: int) -> Space[Any]:
    n = _get(data, "n", int, list)
    sides = n if isinstance(n, list) else [n]
    if not all(type(side) is int and side > 0 for side in sides) or math.prod(sides) > _MAX_ELEMENTS:
        raise Misfit(n, f"a positive count or a list of them, of at most {_MAX_ELEMENTS} elements").under("n")
    return S.MultiBinary(n)


def _decode_text(data: Any, depth: int) -> Space[Any]:
    shortest_text, longest = _get(data, "min_length", int), _get(data, "max_length", int)
    charset = _get(data, "charset", str, list)
    if charset == "unicode":
        return UnicodeText(longest, min_length=shortest_text)
    with _at("charset"):
        characters = charset if isinstance(charset, str) else _read_ranges(charset)
    return S.Text(longest, min_length=shortest_text, charset=characters)


def _read_ranges(ranges: list[Any]) -> str:
    parts = []
    count = 0
    for index, pair in enumerate(ranges):
        good = type(pair) is list and len(pair) == 2 and all(type(code) is int for code in pair)
        if not good or not 0 <= pair[0] <= pair[1] <= 0x10FFFF:
            raise Misfit(pair, "[first, last] code points").under(index)
        count += pair[1] - pair[0] + 1
        if count > 0x110000:
            raise Misfit(ranges, "ranges that do not overlap")
        parts.append("".join(map(chr, range(pair[0], pair[1] + 1))))
    return "".join(parts)


def _decode_spaces(data: Any, depth: int) -> list[Space[Any]]:
    spaces = []
    for index, item in enumerate(_get(data, "spaces", list)):
        with _at("spaces", index):
            spaces.append(_decode(item, depth + 1))
    return spaces


def _decode_dict(data: Any, depth: int) -> Space[Any]:
    pairs: list[tuple[Any, Space[Any]]] = []
    for index, pair in enumerate(_get(data, "spaces", list)):
        with _at("spaces", index):
            if type(pair) is not list or len(pair) != 2:
                raise Misfit(pair, "[key, space]")
            with _at(0):
                key = key_from_json(pair[0])
            with _at(1):
                pairs.append((key, _decode(pair[1], depth + 1)))
    space = S.Dict(pairs)
    if len(space.spaces) != len(pairs):
        raise Misfit([key for key, _ in pairs], "keys that differ").under("spaces")
    if not (_get(data, "sort_keys", bool) if "sort_keys" in data else True):
        space.sort_keys = False
    return space


def _decode_sequence(data: Any, depth: int) -> Space[Any]:
    stack = _get(data, "stack", bool)
    return S.Sequence(_decode_part(data, "space", depth), stack=stack)


def _decode_graph(data: Any, depth: int) -> Space[Any]:
    has_edges = _get(data, "edge_space", dict, type(None)) is not None
    edges = _decode_part(data, "edge_space", depth) if has_edges else None
    return S.Graph(_decode_part(data, "node_space", depth), edges)


def _decode_part(data: Any, key: str, depth: int) -> Space[Any]:
    part = _get(data, key, dict)
    with _at(key):
        return _decode(part, depth + 1)


def _decode_custom(data: Any, depth: int) -> Space[Any]:
    name = _get(data, "dtype", str, type(None))
    dtype: Any = None if name is None else np.dtype(str) if name == "str" else parse_name(name)[0]
    shape = None if _get(data, "shape", list, type(None)) is None else _read_shape(data)
    types = _get(data, "types", dict) if "types" in data else {}
    examples = decode_free(_get(data, "examples", list), "", types)
    return OpaqueSpace(_get(data, "class", str), shape=shape, dtype=dtype, examples=examples)


_DECODERS: Final[dict[str, Callable[[Any, int], Space[Any]]]] = {
    "Box": _decode_box,
    "Discrete": _decode_discrete,
    "MultiDiscrete": _decode_multi_discrete,
    "MultiBinary": _decode_multi_binary,
    "Text": _decode_text,
    "Tuple": lambda data, depth: S.Tuple(_decode_spaces(data, depth)),
    "Dict": _decode_dict,
    "Sequence": _decode_sequence,
    "Graph": _decode_graph,
    "OneOf": lambda data, depth: S.OneOf(_decode_spaces(data, depth)),
    "Custom": _decode_custom,
}
