"""Values that no space describes (`info`, `options`, deviations) as plain JSON, with a `types` side map.

The plain JSON is what a person would write: lists, numbers, strings, objects. What it cannot say is in `types`, a dict
of JSON Pointers (RFC 6901) and type names; `docs/gymnasium-space.md` lists the names.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import numpy as np
from gymnasium.spaces import GraphInstance

from converters.gymnasium.arrays import (
    DTYPES,
    INTEGER,
    NONFINITE,
    SAFE,
    Array,
    Misfit,
    dtype_name,
    from_base64,
    is_text,
    number,
    parse_name,
    plain_array,
    read_array,
    read_scalar,
    shorten,
    special,
    to_base64,
    token,
    utf8,
)
from interop.errors import CannotCarry
from interop.protocol.binary import refusal

MAX_DEPTH: Final = 64  # of containers
_MAX_SEGMENTS: Final = 2 * MAX_DEPTH + 16  # of a pointer: a pair takes two

Types = dict[str, str]


# Encoding


def encode_free(value: Any, path: str, types: Types) -> Any:
    """The plain form of any value, for `orjson.dumps(..., option=OPT_SERIALIZE_NUMPY)`.

    Adds to `types` what the plain form does not say, under `path` (the value's JSON Pointer). C-contiguous arrays of
    numbers are passed on as they are, without a copy. Raises `CannotCarry`.
    """
    return _encode(value, path, types, 0)


def encode_deviation(value: Any, path: str, types: Types) -> Any:
    """The plain form of a value that its space does not describe: as `encode_free`, and always with an entry."""
    plain = _encode(value, path, types, 0)
    if path not in types:
        kind = type(value)
        types[path] = kind.__name__ if kind is int or kind is float else "json"
    return plain


def _encode(value: Any, path: str, types: Types, depth: int) -> Any:
    encoder = _ENCODERS.get(type(value))
    if encoder is not None:
        return encoder(value, path, types, depth)
    if isinstance(value, np.generic):
        return _encode_scalar(value, path, types)
    raise refusal(path, value)


def _encode_constant(value: Any, path: str, types: Types, depth: int) -> Any:
    return value


def _encode_int(value: int, path: str, types: Types, depth: int) -> int | str:
    if -SAFE <= value <= SAFE:
        return value
    types[path] = "int"
    try:
        return str(value)
    except ValueError:
        shown = f"about 2**{value.bit_length()}"
        raise CannotCarry(path, shown, "an int of so many digits has no decimal form", "Return bytes.") from None


def _encode_float(value: float, path: str, types: Types, depth: int) -> float | str:
    if math.isfinite(value):
        return value
    types[path] = "float"
    return special(value)


def _encode_str(value: str, path: str, types: Types, depth: int) -> str:
    if is_text(value):
        return value
    types[path] = "str"
    return to_base64(value.encode("utf-8", "surrogatepass"))


def _encode_bytes(value: bytes | bytearray, path: str, types: Types, depth: int) -> str:
    types[path] = type(value).__name__
    return to_base64(value)


def _encode_complex(value: complex, path: str, types: Types, depth: int) -> list[float | str]:
    types[path] = "complex"
    return [number(value.real), number(value.imag)]


def _encode_list(value: Iterable[Any], path: str, types: Types, depth: int) -> list[Any]:
    if depth >= MAX_DEPTH:
        raise _too_deep(path, value)
    if type(value) is not list:
        types[path] = type(value).__name__
    return [_encode(item, f"{path}/{index}", types, depth + 1) for index, item in enumerate(value)]


def _encode_dict(value: dict[Any, Any], path: str, types: Types, depth: int) -> Any:
    if depth >= MAX_DEPTH:
        raise _too_deep(path, value)
    if not value:  # as most infos are
        return {}
    if all(type(key) is str and is_text(key) for key in value):
        return {key: _encode(item, f"{path}/{token(key)}", types, depth + 1) for key, item in value.items()}
    types[path] = "pairs"
    return [
        [_encode(key, f"{path}/{index}/0", types, depth + 1), _encode(item, f"{path}/{index}/1", types, depth + 1)]
        for index, (key, item) in enumerate(value.items())
    ]


def _encode_graph(value: GraphInstance, path: str, types: Types, depth: int) -> dict[str, Any]:
    if depth >= MAX_DEPTH:
        raise _too_deep(path, value)
    types[path] = "Graph"
    fields = zip(value._fields, value, strict=True)
    return {name: _encode(item, f"{path}/{name}", types, depth + 1) for name, item in fields}


def _encode_scalar(value: np.generic, path: str, types: Types) -> Any:
    dtype = value.dtype
    if dtype.char not in DTYPES or type(value) is not dtype.type:
        raise refusal(path, value)
    types[path] = dtype_name(dtype)
    if isinstance(value, np.bytes_):
        return to_base64(value[:])
    return utf8(path)(value[:]) if isinstance(value, np.str_) else plain_array(np.asarray(value), path)


def _encode_array(value: Array, path: str, types: Types, depth: int) -> Any:
    dtype = value.dtype
    if dtype.char not in DTYPES:
        raise refusal(path, value)
    types[path] = f"{dtype_name(dtype)}({','.join(map(str, value.shape))})"
    if dtype.char != "O":
        return plain_array(value, path)
    if depth + value.ndim >= MAX_DEPTH:
        raise _too_deep(path, value)
    return _encode_objects(value, path, types, depth + 1)


def _encode_objects(value: Any, path: str, types: Types, depth: int) -> Any:
    if not value.ndim:
        return [_encode(value[()], path + "/0", types, depth)]  # a list, since the array's own entry is at its path
    if value.ndim == 1:
        return [_encode(value[index], f"{path}/{index}", types, depth) for index in range(len(value))]
    return [_encode_objects(value[index], f"{path}/{index}", types, depth) for index in range(len(value))]


_ENCODERS: Final[dict[type, Callable[[Any, str, Types, int], Any]]] = {
    type(None): _encode_constant,
    bool: _encode_constant,
    int: _encode_int,
    float: _encode_float,
    str: _encode_str,
    bytes: _encode_bytes,
    bytearray: _encode_bytes,
    complex: _encode_complex,
    list: _encode_list,
    tuple: _encode_list,
    set: _encode_list,
    frozenset: _encode_list,
    dict: _encode_dict,
    GraphInstance: _encode_graph,
    np.ndarray: _encode_array,
}


def _too_deep(path: str, value: object) -> CannotCarry:
    shown = path if len(path) <= 60 else path[:57] + "..."
    return CannotCarry(shown, value, "it is nested too deeply, or contains itself", "Return a flatter value.")


# Decoding


class Entry:
    """What `types` says of a place and of the places below it."""

    __slots__ = ("below", "name")

    def __init__(self) -> None:
        self.name: str | None = None
        self.below: dict[str, Entry] = {}


def entries(types: Mapping[str, str], path: str) -> Entry | None:
    """The entries of `types` at `path` and below, as a tree; `None` where there is none."""
    root: Entry | None = None
    for pointer, name in types.items():
        if not pointer.startswith(path) or (len(pointer) > len(path) and pointer[len(path)] != "/"):
            continue
        if type(name) is not str or pointer.count("/") > _MAX_SEGMENTS:
            raise ValueError(f"types {shorten(pointer)}: {shorten(name)} is not accepted: a type name of a near place")
        root = node = root or Entry()
        for segment in pointer[len(path) + 1 :].split("/") if len(pointer) > len(path) else ():
            node = node.below.setdefault(segment, Entry())
        node.name = name
    return root


def decode_free(plain: Any, path: str, types: Mapping[str, str]) -> Any:
    """The value of its plain form: the inverse of `encode_free`.

    Without entries at `path` this is `plain` itself. Raises `ValueError` with the JSON Pointer of what does not fit.
    """
    if not types or (entry := entries(types, path)) is None:
        return plain
    try:
        return decode_entry(plain, entry)
    except Misfit as misfit:
        raise misfit.error(path) from None


def decode_entry(plain: Any, entry: Entry) -> Any:
    """The value of a plain form and its entries. Raises `Misfit`."""
    name = entry.name
    if name is None or name == "json":
        return _decode_below(plain, entry) if entry.below else plain
    reader = _READERS.get(name)
    if reader is not None:
        return reader(plain, entry)
    dtype, shape = parse_name(name)
    if dtype.char == "O" and shape is not None:
        return _read_objects(plain, entry, shape)
    _no_entries_below(plain, entry)
    return read_scalar(plain, dtype, name) if shape is None else read_array(plain, dtype, shape, name)


def _decode_below(plain: Any, entry: Entry) -> Any:
    kind = type(plain)
    if kind is dict:
        copy = dict(plain)
        for segment, node in entry.below.items():
            key = segment.replace("~1", "/").replace("~0", "~")
            if key not in copy:
                raise Misfit(plain, f"an object with the key {key!r}, which `types` names")
            copy[key] = _descend(copy[key], node, segment)
        return copy
    if kind is list:
        items = list(plain)
        for segment, node in entry.below.items():
            if not segment.isdecimal() or int(segment) >= len(items):
                raise Misfit(plain, f"a list with the index {segment}, which `types` names")
            items[int(segment)] = _descend(items[int(segment)], node, segment)
        return items
    raise Misfit(plain, "a list or an object, since `types` names something in it")


def _descend(plain: Any, entry: Entry, segment: str) -> Any:
    try:
        return decode_entry(plain, entry)
    except Misfit as misfit:
        misfit.segments.append(segment)
        raise


def _items(plain: Any, entry: Entry, accepted: str) -> list[Any]:
    if type(plain) is not list:
        raise Misfit(plain, accepted)
    below: list[Any] = _decode_below(plain, entry) if entry.below else plain
    return below


def _no_entries_below(plain: Any, entry: Entry) -> None:
    if entry.below:
        raise Misfit(plain, f"nothing that `types` names inside of {entry.name}")


def _read_int(plain: Any, entry: Entry) -> int:
    if type(plain) is int:
        return plain
    if type(plain) is str and INTEGER.fullmatch(plain):
        return int(plain)
    raise Misfit(plain, "an integer, or its decimal digits as a string")


def _read_float(plain: Any, entry: Entry) -> float:
    if type(plain) is float or type(plain) is int:
        return float(plain)
    if type(plain) is str and plain in NONFINITE:
        return NONFINITE[plain]
    raise Misfit(plain, 'a number, "NaN", "Infinity" or "-Infinity"')


def _read_str(plain: Any, entry: Entry) -> str:
    try:
        return from_base64(plain).decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        raise Misfit(plain, "a string, as base64 of UTF-8") from None


def _read_complex(plain: Any, entry: Entry) -> complex:
    if type(plain) is not list or len(plain) != 2:
        raise Misfit(plain, "[real, imaginary]")
    return complex(_read_float(plain[0], entry), _read_float(plain[1], entry))


def _read_set(kind: type[set[Any]] | type[frozenset[Any]]) -> Callable[[Any, Entry], Any]:
    def read(plain: Any, entry: Entry) -> Any:
        try:
            return kind(_items(plain, entry, "a list"))
        except TypeError:
            raise Misfit(plain, "a list of hashable values") from None

    return read


def _read_pairs(plain: Any, entry: Entry) -> dict[Any, Any]:
    accepted = "a list of [key, value] with hashable keys"
    pairs = _items(plain, entry, accepted)
    if not all(type(pair) is list and len(pair) == 2 for pair in pairs):
        raise Misfit(plain, accepted)
    try:
        return dict(pairs)
    except TypeError:
        raise Misfit(plain, accepted) from None


def _read_graph(plain: Any, entry: Entry) -> GraphInstance:
    if type(plain) is not dict or set(plain) != set(GraphInstance._fields):
        raise Misfit(plain, "an object with nodes, edges and edge_links")
    return GraphInstance(**(_decode_below(plain, entry) if entry.below else plain))


def _read_objects(plain: Any, entry: Entry, shape: tuple[int, ...]) -> Array:
    array = np.empty(shape, object)
    if not shape:
        items = _items(plain, entry, "a list of one element")
        if len(items) != 1:
            raise Misfit(plain, "a list of one element")
        array[()] = items[0]
        return array
    below = _decode_below(plain, entry) if entry.below else plain
    _fill(array, below, f"nested lists of shape {list(shape)}")
    return array


def _fill(array: Any, plain: Any, accepted: str) -> None:
    if type(plain) is not list or len(plain) != len(array):
        raise Misfit(plain, accepted)
    for index, item in enumerate(plain):
        if array.ndim == 1:
            array[index] = item
        else:
            _fill(array[index], item, accepted)


_READERS: Final[dict[str, Callable[[Any, Entry], Any]]] = {
    "int": _read_int,
    "float": _read_float,
    "str": _read_str,
    "bytes": lambda plain, entry: from_base64(plain),
    "bytearray": lambda plain, entry: bytearray(from_base64(plain)),
    "complex": _read_complex,
    "tuple": lambda plain, entry: tuple(_items(plain, entry, "a list")),
    "set": _read_set(set),
    "frozenset": _read_set(frozenset),
    "pairs": _read_pairs,
    "Graph": _read_graph,
}
