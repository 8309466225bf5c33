"""Gymnasium's spaces in the form `gymnasium-space/1`: plain values decoded by them, containment and batches."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from conformance.values import OPAQUE, Array, Dtype, cast, dtype

Space = Mapping[str, Any]
Types = Mapping[str, str]
KINDS = (
    "Box", "Discrete", "MultiDiscrete", "MultiBinary", "Text", "Tuple", "Dict", "Sequence", "Graph", "OneOf", "Custom",
)  # fmt: skip
_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_SAFE = 2**53 - 1


# Plain values


def decode(plain: Any, space: Space | None, types: Types, at: str = "") -> Any:
    """The value of a plain form; `at` is its JSON Pointer. Raises `ValueError` where it has none."""
    if at in types:
        return _typed(plain, types[at], types, at)
    match space and space.get("type"):
        case "Box" | "MultiDiscrete" | "MultiBinary":
            assert space is not None
            return _array(plain, dtype(space.get("dtype", "int8")), shape(space), at)
        case "Discrete":
            assert space is not None
            return _scalar(plain, space["dtype"].lstrip("<>=|"), at)  # a scalar has the machine's byte order
        case "Text":
            return _a(str, plain, at)
        case "Tuple":
            assert space is not None
            return tuple(decode(*it) for it in _parts(plain, space["spaces"], types, at))
        case "Dict":
            assert space is not None
            return _dict(plain, space, types, at)
        case "Sequence" if space and not space.get("stack"):
            items = _a(list, plain, at)
            return tuple(decode(item, space["space"], types, f"{at}/{i}") for i, item in enumerate(items))
        case "OneOf":
            assert space is not None
            index, item = _of_length(2, plain, at)
            first = decode(index, {"type": "Discrete", "dtype": "int64"}, types, f"{at}/0")
            return first, decode(item, space["spaces"][index], types, f"{at}/1")
        case "Graph" | "Sequence":
            return OPAQUE
    return _free(plain, types, at)


def _parts(plain: Any, spaces: Sequence[Space], types: Types, at: str) -> Iterator[tuple[Any, Space, Types, str]]:
    for i, (item, space) in enumerate(zip(_of_length(len(spaces), plain, at), spaces, strict=True)):
        yield item, space, types, f"{at}/{i}"


def _dict(plain: Any, space: Space, types: Types, at: str) -> Any:
    spaces = space["spaces"]
    if not all(isinstance(key, str) for key, _ in spaces):
        return OPAQUE
    given, expected = _a(dict, plain, at), dict(spaces)
    if given.keys() != expected.keys():
        raise ValueError(f"{at or 'the value'} has the keys {sorted(given)}, the space {sorted(expected)}")
    return {key: decode(item, expected[key], types, f"{at}/{_token(key)}") for key, item in given.items()}


def _free(plain: Any, types: Types, at: str) -> Any:
    if isinstance(plain, list):
        return [decode(item, None, types, f"{at}/{i}") for i, item in enumerate(plain)]
    if isinstance(plain, dict):
        return {key: decode(item, None, types, f"{at}/{_token(key)}") for key, item in plain.items()}
    return plain


def _typed(plain: Any, name: str, types: Types, at: str) -> Any:
    """The value of a place with an entry in `types`."""
    match name:
        case "json":
            return _free(plain, types, at)
        case "int":
            return int(plain) if isinstance(plain, str) else _a(int, plain, at)
        case "float":
            return float(_number(plain, at))
        case "str":
            return base64.b64decode(plain, validate=True).decode("utf-8", "surrogatepass")
        case "bytes":
            return base64.b64decode(plain, validate=True)
        case "bytearray":
            return bytearray(base64.b64decode(plain, validate=True))
        case "complex":
            return _complex(plain, at)
        case "tuple" | "set" | "frozenset":
            kind = {"tuple": tuple, "set": set, "frozenset": frozenset}[name]
            return kind(_free(_a(list, plain, at), types, at))
        case "pairs":
            return dict(_free(_a(list, plain, at), types, at))
        case "Graph":
            return OPAQUE
    text, parenthesis, rest = name.partition("(")
    if not parenthesis:
        return _scalar(plain, text, at)
    sizes = tuple(int(size) for size in rest.removesuffix(")").split(",") if size)
    return _objects(plain, sizes, types, at) if text == "object" else _array(plain, dtype(text), sizes, at)


def _scalar(plain: Any, name: str, at: str) -> Array:
    kind = dtype(name)
    items = _elements([plain], kind, at)
    return Array(kind.code[0] if kind.code[0] in "US" else kind.name, (), items, scalar=True)


def _array(plain: Any, kind: Dtype, sizes: tuple[int, ...], at: str) -> Array:
    return Array(kind.name, sizes, _elements(_flat(plain, sizes, at) if sizes else [plain], kind, at))


def _flat(plain: Any, sizes: tuple[int, ...], at: str) -> list[Any]:
    """The elements of nested lists of a shape."""
    items = _of_length(sizes[0], plain, at)
    for size in sizes[1:]:
        for item in items:
            _of_length(size, item, at)
        items = list(chain.from_iterable(items))
    return items


def _objects(plain: Any, sizes: tuple[int, ...], types: Types, at: str) -> Array:
    return Array("object", sizes, tuple(_leaves(plain, sizes or (1,), types, at)))


def _leaves(plain: Any, sizes: tuple[int, ...], types: Types, at: str) -> Iterator[Any]:
    for i, item in enumerate(_of_length(sizes[0], plain, at)):
        if len(sizes) > 1:
            yield from _leaves(item, sizes[1:], types, f"{at}/{i}")
        else:
            yield decode(item, None, types, f"{at}/{i}")


def _elements(plain: list[Any], kind: Dtype, at: str) -> tuple[Any, ...]:
    match kind.code[0]:
        case "b":
            return tuple(_a(bool, item, at) for item in plain)
        case "S":
            return tuple(base64.b64decode(item, validate=True) for item in plain)
        case "U":
            return tuple(_a(str, item, at) for item in plain)
        case "M" | "m":
            return tuple(-(2**63) if item == "NaT" else _a(int, item, at) for item in plain)
        case "c":
            return cast(kind, tuple(_complex(item, at) for item in plain))
    # An image has a hundred thousand of them.
    numbers = set(map(type, plain)) <= {int, float}
    return cast(kind, tuple(plain if numbers else (_number(item, at) for item in plain)))


def _number(plain: Any, at: str) -> Any:
    if isinstance(plain, str) and plain in _SPECIAL:
        return _SPECIAL[plain]
    if isinstance(plain, str) and plain.removeprefix("-").isdigit() and abs(int(plain)) > _SAFE:
        return int(plain)
    if isinstance(plain, bool) or not isinstance(plain, int | float):
        raise ValueError(f"{at or 'the value'} should be a number and is {plain!r:.60}")
    return plain


def _complex(plain: Any, at: str) -> complex:
    real, imaginary = (_number(part, at) for part in _of_length(2, plain, at))
    return complex(real, imaginary)


def _of_length(length: int, plain: Any, at: str) -> list[Any]:
    items = _a(list, plain, at)
    if len(items) != length:
        raise ValueError(f"{at or 'the value'} should be a list of {length} and has {len(items)} elements")
    return items


def _a[T](kind: type[T], plain: Any, at: str) -> T:
    if not isinstance(plain, kind) or (kind is int and isinstance(plain, bool)):
        raise ValueError(f"{at or 'the value'} should be a {kind.__name__} and is {plain!r:.60}")
    return plain


def _token(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


# Spaces


def shape(space: Space) -> tuple[int, ...]:
    """The shape of the arrays of a Box, MultiDiscrete or MultiBinary."""
    if space["type"] == "MultiBinary":
        return tuple(space["n"]) if isinstance(space["n"], list) else (space["n"],)
    return tuple(space["shape"])


def outside(value: Any, space: Space, at: str = "") -> str:
    """Why a space does not contain a value; empty where it does, or where that is not known."""
    kind = space.get("type")
    if kind in ("Box", "MultiDiscrete", "MultiBinary"):
        return _outside_array(value, space, at)
    if kind == "Discrete":
        number = value.items[0] if isinstance(value, Array) and not value.shape else value
        good = isinstance(number, int) and 0 <= number - space["start"] < space["n"]
        return "" if good else f"{at} is {value!r}, which no Discrete({space['n']}, start={space['start']}) contains"
    if kind == "Text":
        good = isinstance(value, str) and space["min_length"] <= len(value) <= space["max_length"]
        return "" if good else f"{at} is {value!r:.60}, no text of the space's lengths"
    if kind == "Tuple":
        if not isinstance(value, tuple) or len(value) != len(space["spaces"]):
            return f"{at} is {value!r:.60}, no tuple of {len(space['spaces'])}"
        parts = ((item, inner, f"{at}/{i}") for i, (item, inner) in enumerate(zip(value, space["spaces"], strict=True)))
        return next(filter(None, (outside(*part) for part in parts)), "")
    if kind == "Dict" and isinstance(value, dict):
        parts = ((value.get(key), inner, f"{at}/{key}") for key, inner in space["spaces"] if isinstance(key, str))
        return next(filter(None, (outside(*part) for part in parts)), "")
    return ""


def _outside_array(value: Any, space: Space, at: str) -> str:
    kind, sizes = dtype(space.get("dtype", "int8")), shape(space)
    if not isinstance(value, Array) or value.scalar or value.shape != sizes or not _casts(dtype(value.dtype), kind):
        return f"{at} is {value!r:.80}; the space has arrays of {kind.name}{list(sizes)}"
    low, high = _bounds(space, kind, len(value.items))
    if kind.code[0] in "biu" and value.items and max(low) <= min(value.items) <= max(value.items) <= min(high):
        return ""  # at once; a number that is none would not be seen so
    for item, least, most in zip(value.items, low, high, strict=True):
        if not least <= item <= most:
            return f"{at} holds {item!r}, outside the bounds {least!r} and {most!r}"
    return ""


def _casts(one: Dtype, other: Dtype) -> bool:
    """Whether NumPy turns a dtype into another without loss."""
    ranks = "buifcUSMm"
    wider = ranks.index(one.code[0]) < ranks.index(other.code[0])
    return one.name == other.name or wider or (one.code[0] == other.code[0] and one.size <= other.size)


def _bounds(space: Space, kind: Dtype, count: int) -> tuple[list[Any], list[Any]]:
    sizes = shape(space)
    if space["type"] == "MultiBinary":
        return [0] * count, [1] * count
    if space["type"] == "MultiDiscrete":
        start, nvec = _spread(space.get("start", 0), sizes, kind), _spread(space["nvec"], sizes, kind)
        return start, [first + n - 1 for first, n in zip(start, nvec, strict=True)]
    return _spread(space["low"], sizes, kind), _spread(space["high"], sizes, kind)


def _spread(bound: Any, sizes: tuple[int, ...], kind: Dtype) -> list[Any]:
    if isinstance(bound, list) and sizes:
        return list(_array(bound, kind, sizes, "").items)
    return list(_elements([bound], kind, "")) * math.prod(sizes)


# Batches


def batch(values: Sequence[Any], space: Space) -> Any:
    """Canonical values of a space as one batch of them, as Gymnasium's vector environments take actions."""
    kind = space["type"]
    if kind in ("Box", "Discrete", "MultiDiscrete", "MultiBinary"):
        items = tuple(item for value in values for item in value.items)
        return Array(values[0].dtype, (len(values), *values[0].shape), items)
    if kind == "Tuple":
        return tuple(batch([value[i] for value in values], inner) for i, inner in enumerate(space["spaces"]))
    if kind == "Dict":
        return {key: batch([value[key] for value in values], inner) for key, inner in space["spaces"]}
    return tuple(values)


def element(values: Any, index: int, space: Space | None = None) -> Any:
    """The value of one sub-environment in a batch of a space, or in `infos`."""
    kind = space and space["type"]
    if kind == "Tuple":
        assert space is not None
        return tuple(element(item, index, inner) for item, inner in zip(values, space["spaces"], strict=True))
    if isinstance(values, dict):
        spaces = dict(space["spaces"]) if space and kind == "Dict" else {}
        return {key: element(item, index, spaces.get(key)) for key, item in values.items()}
    if not isinstance(values, Array):
        return values[index]
    size = math.prod(values.shape[1:])
    items = values.items[index * size : (index + 1) * size]
    return items[0] if values.dtype == "object" and size == 1 else Array(values.dtype, values.shape[1:], items)


def alike(one: Any, other: Any) -> bool:
    """Whether two values hold the same numbers at the same places, whatever their dtypes: batches cast."""
    if one is OPAQUE or other is OPAQUE:
        return True
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(item, other[key]) for key, item in one.items())
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(alike, one, other))
    left, right = _numbers(one), _numbers(other)
    if len(left) != len(right):
        return False
    return all(a == b or (a != a and b != b) or _close(a, b) for a, b in zip(left, right, strict=True))


def _numbers(value: Any) -> tuple[Any, ...]:
    return value.items if isinstance(value, Array) else (value,)


def _close(one: Any, other: Any) -> bool:
    numbers = isinstance(one, int | float) and isinstance(other, int | float)
    return numbers and math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-30)
