"""Values of Gymnasium environments without NumPy, and their MessagePack form (`docs/gymnasium-space.md`, "Binary")."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import batched
from typing import Any, NamedTuple

import msgpack

MSGPACK_V1 = "interop.msgpack.v1"
"""The subprotocol whose messages are `pack`ed values."""

TUPLE, ARRAY, SCALAR, OBJECTS, INT, SET, FROZENSET, COMPLEX, BYTEARRAY, STR, INSTANCE = range(1, 12)

_NAMES = {
    "b1": "bool", "i1": "int8", "i2": "int16", "i4": "int32", "i8": "int64", "u1": "uint8", "u2": "uint16",
    "u4": "uint32", "u8": "uint64", "f2": "float16", "f4": "float32", "f8": "float64", "c8": "complex64",
    "c16": "complex128",
}  # fmt: skip
_CODES = {name: code for code, name in _NAMES.items()}
_FORMATS = {
    "b1": "?", "i1": "b", "i2": "h", "i4": "i", "i8": "q", "u1": "B", "u2": "H", "u4": "I", "u8": "Q", "f2": "e",
    "f4": "f", "f8": "d", "c8": "f", "c16": "d",
}  # fmt: skip
# NumPy's characters for types of C; the two of 64 bits have no other name.
_CHARACTERS = {
    "?": "b1", "b": "i1", "B": "u1", "h": "i2", "H": "u2", "i": "i4", "I": "u4", "l": "i8", "L": "u8", "q": "i8",
    "Q": "u8", "e": "f2", "f": "f4", "d": "f8", "F": "c8", "D": "c16",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Array:
    """A NumPy array or scalar.

    Attributes:
        dtype: NumPy's name, `float32`; its code where it has none (`<U5`) or another byte order (`>f4`); `object`.
        shape: Of the array.
        items: The elements in C order: numbers, texts, bytes, counts of dates, or, of `object`, any values.
        scalar: Whether it is a scalar rather than an array of shape `()`.
    """

    dtype: str
    shape: tuple[int, ...]
    items: tuple[Any, ...]
    scalar: bool = False

    def __repr__(self) -> str:
        items = ", ".join(map(repr, self.items[:6])) + (", …" if len(self.items) > 6 else "")
        return f"{self.dtype}({items})" if self.scalar else f"{self.dtype}{list(self.shape)}[{items}]"


class Instance(NamedTuple):
    """An object of a class that the form knows by name: `Graph`."""

    name: str
    fields: tuple[Any, ...]


class Malformed(NamedTuple):
    """An extension value whose body is none; equal to nothing else."""

    code: int
    why: str


class Opaque:
    """The type of `OPAQUE`."""


OPAQUE = Opaque()
"""A value that is not read: graphs, stacked sequences, dicts with keys that are no strings."""


class Dtype(NamedTuple):
    """A dtype: its name as in `Array`, the byte order of `struct`, and its code without the order."""

    name: str
    order: str
    code: str

    @property
    def size(self) -> int:
        """Bytes of an element."""
        if self.code[0] in "Mm":
            return 8
        return int(self.code[1:]) * (4 if self.code[0] == "U" else 1)


@cache
def dtype(text: str) -> Dtype:
    """The dtype of a name or code. Raises `ValueError`."""
    first, code = (text[0], text[1:]) if text[:1] in ("<", ">", "|", "=") else ("<", text)
    order = ">" if first == ">" else "<"
    code = _CODES.get(code, _CHARACTERS.get(code, code))
    if code in _NAMES:
        swapped = order == ">" and not code.endswith("1")
        return Dtype(f">{code}" if swapped else _NAMES[code], order if swapped else "<", code)
    for short, long in (("M8", "datetime64"), ("m8", "timedelta64")):
        if code.startswith((short, long)):
            unit = code.removeprefix(short).removeprefix(long)
            return Dtype(f">{short}{unit}" if order == ">" else f"{long}{unit}", order, f"{short}{unit}")
    if code[:1] in ("U", "S") and code[1:].isdigit():
        return Dtype(text, order, code)
    raise ValueError(f"there is no dtype {text!r} in this form")


def elements(kind: Dtype, data: bytes) -> tuple[Any, ...]:
    """The elements in the bytes of an array."""
    code = kind.code
    if code in _FORMATS:
        count = len(data) // struct.calcsize(f"<{_FORMATS[code]}")
        numbers = struct.unpack(f"{kind.order}{count}{_FORMATS[code]}", data)
        return tuple(complex(*pair) for pair in batched(numbers, 2)) if code[0] == "c" else numbers
    if code[0] in "Mm":
        return struct.unpack(f"{kind.order}{len(data) // 8}q", data)
    if not kind.size:
        return ()
    parts = [bytes(part) for part in batched(data, kind.size)]
    if code[0] == "S":
        return tuple(part.rstrip(b"\0") for part in parts)
    encoding = "utf-32-be" if kind.order == ">" else "utf-32-le"
    return tuple(part.decode(encoding, "surrogatepass").rstrip("\0") for part in parts)


def cast(kind: Dtype, items: tuple[Any, ...]) -> tuple[Any, ...]:
    """Numbers as they are in a dtype. Raises `ValueError` for one that it cannot hold."""
    return elements(kind, number_bytes(kind, items))


def number_bytes(kind: Dtype, items: tuple[Any, ...]) -> bytes:
    """The bytes of an array of numbers. Raises `ValueError`."""
    if kind.code[0] == "c":
        items = tuple(part for item in items for part in (complex(item).real, complex(item).imag))
    if kind.code[0] in "iu" and float in set(map(type, items)):
        items = tuple(int(item) if isinstance(item, float) and item.is_integer() else item for item in items)
    try:
        return struct.pack(f"{kind.order}{len(items)}{_FORMATS[kind.code]}", *items)
    except (struct.error, OverflowError, KeyError) as exc:
        raise ValueError(f"{items[:4]} are no elements of {kind.name}: {exc}") from None


# MessagePack


def unpack(data: bytes) -> Any:
    """The value of a message. An extension with a body that is none is `Malformed`. Raises `ValueError`."""
    try:
        return msgpack.unpackb(data, ext_hook=_read, strict_map_key=False)
    except (ValueError, TypeError, OverflowError, RecursionError, msgpack.UnpackException) as exc:
        raise ValueError(f"{type(exc).__name__}: {exc}") from None


def pack(value: Any) -> bytes:
    """The message of a value of JSON, tuples, and arrays of numbers or of such values."""
    data: bytes = msgpack.packb(value, default=_write, strict_types=True)
    return data


def _write(value: Any) -> Any:
    if isinstance(value, tuple) and type(value) is tuple:
        return msgpack.ExtType(TUPLE, pack(list(value)))
    if not isinstance(value, Array):
        raise TypeError(f"{value!r} has no form here")
    if value.dtype == "object":
        return msgpack.ExtType(OBJECTS, pack([list(value.shape), list(value.items)]))
    kind = dtype(value.dtype)
    code = (kind.order if kind.size > 1 else "|") + kind.code
    header = struct.pack(
        f"<BB{len(code)}s{len(value.shape)}Q", len(value.shape), len(code), code.encode(), *value.shape
    )
    return msgpack.ExtType(SCALAR if value.scalar else ARRAY, header + number_bytes(kind, value.items))


def _read(code: int, body: bytes) -> Any:
    try:
        return _extension(code, body)
    except (ValueError, TypeError, LookupError, struct.error, OverflowError) as exc:
        return Malformed(code, f"{exc}")


def _extension(code: int, body: bytes) -> Any:
    match code:
        case 2 | 3:
            return _array(body, scalar=code == SCALAR)
        case 5:
            return int.from_bytes(body, "little", signed=True)
        case 8:
            return complex(*struct.unpack("<dd", body))
        case 9:
            return bytearray(body)
        case 10:
            return body.decode("utf-8", "surrogatepass")
    value = unpack(body) if TUPLE <= code <= INSTANCE else None
    if not isinstance(value, list):
        raise ValueError(f"extension type {code} with the value {value!r}")
    match code:
        case 4:
            shape, items = value
            if math.prod(shape) != len(items):
                raise ValueError(f"an array of objects of shape {shape} has {len(items)} elements")
            return Array("object", tuple(shape), tuple(items))
        case 11:
            return Instance(value[0], tuple(value[1:]))
    return {TUPLE: tuple, SET: set, FROZENSET: frozenset}[code](value)


def _array(body: bytes, *, scalar: bool) -> Array:
    ndim, length = body[0], body[1]
    text, start = body[2 : 2 + length].decode("ascii"), 2 + length + 8 * ndim
    data = body[start:]
    if scalar and text == "U":
        return Array("U", (), (data.decode("utf-8", "surrogatepass"),), scalar)
    if scalar and text == "S":
        return Array("S", (), (data,), scalar)
    kind, shape = dtype(text), struct.unpack(f"<{ndim}Q", body[2 + length : start])
    size = math.prod(shape) * kind.size
    if size != len(data):
        raise ValueError(f"an array of {kind.name} of shape {list(shape)} has {len(data)} bytes, not {size}")
    return Array(kind.name, shape, elements(kind, data), scalar)


# Comparing


def same(one: Any, other: Any) -> bool:
    """Whether two values have the same types, dtypes, shapes and content; NaN is NaN, and `OPAQUE` is anything."""
    if one is OPAQUE or other is OPAQUE:
        return True
    if type(one) is not type(other) or isinstance(one, Malformed):
        return False
    if isinstance(one, Array):
        alike = (one.dtype, one.shape, one.scalar) == (other.dtype, other.shape, other.scalar)
        return alike and (one.items == other.items or _all_same(one.items, other.items))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple):
        return _all_same(one, other)
    return bool(one == other or (one != one and other != other))


def _all_same(one: Any, other: Any) -> bool:
    return len(one) == len(other) and all(map(same, one, other))


def number(value: Any) -> Any:
    """A scalar as a Python number; anything else as it is."""
    return value.items[0] if isinstance(value, Array) and value.scalar else value


def walk(value: Any) -> Iterator[Any]:
    """A value and all values in it."""
    yield value
    if isinstance(value, dict):
        for item in value.values():
            yield from walk(item)
    elif isinstance(value, list | tuple | set | frozenset) and not isinstance(value, Malformed):
        for item in value:
            yield from walk(item)
    elif isinstance(value, Array) and value.dtype == "object":
        for item in value.items:
            yield from walk(item)
