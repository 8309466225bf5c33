"""The value form of `interop.msgpack.v1`: msgpack with extension types, self-describing and lossless.

None, bool, int (64 bits), float, str, bytes, list and dict (keys of any hashable type) are msgpack's own. All else is
an extension; multi-byte numbers are little-endian, `value` stands for a complete msgpack value.

    code  carries            body
    1     tuple              value: an array
    2     NumPy array        u8 ndim, u8 n, n bytes dtype, ndim x u64 shape, the elements in C order
    3     NumPy scalar       the same with ndim 0
    4     NumPy object array value: [[dimension, ...], [element, ...]], elements in C order
    5     int                its two's complement, little-endian, where it does not fit into 64 bits
    6     set                value: an array
    7     frozenset          value: an array
    8     complex            two f64: real, imaginary
    9     bytearray          the bytes
    10    str                UTF-8 with lone surrogates encoded as if they were characters ("surrogatepass")
    11    instance           value: [class name, field, ...]; "Graph": Gymnasium's (nodes, edges, edge_links)

A dtype is NumPy's own string (`<f4`, `|u1`, `<M8[ns]`, `>f4`), and the elements are in the byte order it states: a raw
copy of memory. Scalars of text are the exception: dtype `U` with the body of code 10, dtype `S` with the bytes.
Extensions nest to `MAX_DEPTH`; 511 arrays and maps may nest between them.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from typing import Any, Final

import msgpack

from interop.errors import CannotCarry

TUPLE: Final = 1
ARRAY: Final = 2
SCALAR: Final = 3
OBJECTS: Final = 4
INT: Final = 5
SET: Final = 6
FROZENSET: Final = 7
COMPLEX: Final = 8
BYTEARRAY: Final = 9
STR: Final = 10
INSTANCE: Final = 11

MAX_DEPTH: Final = 32  # of extensions in extensions, each of which costs a Python frame and up to 511 of C

_DTYPES: Final = frozenset("?bBhHiIlLqQefdFDMmSU")  # by dtype.char: no objects, longdouble, structures, StringDType
_ATOMS: Final = frozenset({type(None), bool, int, float, str, bytes})
_BIN: Final = (b"\xc4", b"\xc5", b"\xc6")  # the markers of msgpack's bin type
_MAX_NESTING: Final = 256  # of everything, on the slow way

_packb: Final[Callable[..., bytes]] = msgpack.packb
_unpackb: Final[Callable[..., Any]] = msgpack.unpackb


def pack(value: Any) -> bytes:
    """The msgpack form of a value. Raises `CannotCarry` with the place of what has no exact form."""
    try:
        data = _packb(value, default=_DEFAULTS[0], strict_types=True)
    except (CannotCarry, ValueError, TypeError, OverflowError):
        # A lone surrogate, something too deep or with no exact form: the slow way carries it or names the place.
        return _pack_slowly(value)
    # msgpack writes a bytearray or a memoryview as bytes and asks nobody. Only bytes with a bin marker can hide one.
    if (_BIN[0] in data or _BIN[1] in data or _BIN[2] in data) and _hides(value):
        return _pack_slowly(value)
    return data


def unpack(data: bytes | bytearray | memoryview) -> Any:
    """The value of its msgpack form; arrays are fresh and writable.

    Raises `ValueError` for anything that is not exactly one complete value of this form.
    """
    return _unpack(data, 0)


# Packing


def _pack_slowly(value: Any) -> bytes:
    return _packb(_exact(value, "", 0), default=_DEFAULTS[0], strict_types=True)


def _default(depth: int, value: Any) -> Any:
    """What msgpack packs in place of a value that it does not know."""
    kind = type(value)
    if kind is tuple:
        return msgpack.ExtType(TUPLE, _pack_inside(depth, list(value)))
    if (numpy := sys.modules.get("numpy")) is not None:
        if kind is numpy.ndarray:
            return _array(depth, value)
        if isinstance(value, numpy.generic):
            return _scalar(value)
    if kind is int:
        return msgpack.ExtType(INT, value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True))
    if kind is set or kind is frozenset:
        return msgpack.ExtType(SET if kind is set else FROZENSET, _pack_inside(depth, list(value)))
    if kind is complex:
        return msgpack.ExtType(COMPLEX, struct.pack("<dd", value.real, value.imag))
    if kind is _graph_class():
        return msgpack.ExtType(INSTANCE, _pack_inside(depth, ["Graph", *value]))
    raise refusal("", value)


def _pack_inside(depth: int, value: list[Any]) -> bytes:
    if depth + 1 >= MAX_DEPTH:
        raise _too_deep("", value)
    return _packb(value, default=_DEFAULTS[depth + 1], strict_types=True)


_DEFAULTS: Final = tuple(partial(_default, depth) for depth in range(MAX_DEPTH))


def _array(depth: int, array: Any) -> Any:
    dtype = array.dtype
    if dtype.char == "O":
        return msgpack.ExtType(OBJECTS, _pack_inside(depth, [list(array.shape), array.ravel().tolist()]))
    header = _header(dtype.str, dtype.char, array.shape)
    if header is None:
        raise refusal("", array)
    if not array.flags.c_contiguous or dtype.char in "Mm":  # dates have no buffer
        return msgpack.ExtType(ARRAY, header + array.tobytes())
    return msgpack.ExtType(ARRAY, b"".join((header, array)))


def _scalar(value: Any) -> Any:
    dtype = value.dtype
    if dtype.char == "U":  # a slice is the whole text; str() drops NULs at its end
        return msgpack.ExtType(SCALAR, b"\x00\x01U" + value[:].encode("utf-8", "surrogatepass"))
    if dtype.char == "S":
        return msgpack.ExtType(SCALAR, b"\x00\x01S" + value[:])
    header = _header(dtype.str, dtype.char, ())
    if header is None or type(value) is not dtype.type:
        raise refusal("", value)
    return msgpack.ExtType(SCALAR, header + value.tobytes())


@lru_cache(maxsize=1024)
def _header(text: str, char: str, shape: tuple[int, ...]) -> bytes | None:
    if char not in _DTYPES:
        return None
    import numpy as np

    if np.dtype(text).char != char and char in "lLqQ":  # a second type of the same bytes, such as longlong
        text = char
    return struct.pack(f"<BB{len(text)}s{len(shape)}Q", len(shape), len(text), text.encode(), *shape)


def _graph_class() -> Any:
    return getattr(sys.modules.get("gymnasium.spaces.graph"), "GraphInstance", _Never)


class _Never:
    """The type of no value."""


def _hides(value: Any) -> bool:
    """Whether something in the value was packed as bytes without being bytes. The value has no cycles."""
    kind = type(value)
    if kind in _ATOMS:
        return False
    if kind is dict:
        return _any_hides(value.values()) or _any_hides(value)
    if kind is list or kind is tuple or kind is set or kind is frozenset or kind is _graph_class():
        return _any_hides(value)
    if kind is bytearray or kind is memoryview:
        return True
    return getattr(getattr(value, "dtype", None), "char", "") == "O" and _any_hides(value.ravel().tolist())


def _any_hides(values: Iterable[Any]) -> bool:
    return not _ATOMS.issuperset(map(type, values)) and any(map(_hides, values))


def _exact(value: Any, path: str, depth: int) -> Any:
    """The value with an extension for everything that msgpack itself would take for something else."""
    kind = type(value)
    if kind is str:
        return _exact_str(value)
    if kind in _ATOMS:
        return value
    if kind is bytearray:
        return msgpack.ExtType(BYTEARRAY, bytes(value))
    if depth > _MAX_NESTING:
        raise _too_deep(path, value)
    deeper = depth + 1
    if kind is dict:
        return {
            _exact(key, f"{path}/{_token(key)}", deeper): _exact(item, f"{path}/{_token(key)}", deeper)
            for key, item in value.items()
        }
    if kind is _graph_class():
        return kind(*(_exact(item, f"{path}/{name}", deeper) for name, item in zip(kind._fields, value, strict=True)))
    if kind is set or kind is frozenset:
        return kind([_exact(item, path, deeper) for item in value])
    if kind is list or kind is tuple:
        return kind([_exact(item, f"{path}/{index}", deeper) for index, item in enumerate(value)])
    if getattr(getattr(value, "dtype", None), "char", "") == "O" and hasattr(value, "ravel"):
        _exact(value.ravel().tolist(), path, deeper)  # names the place of what cannot be carried
        return _exact_objects(value, path, deeper)
    try:
        return _default(0, value)
    except CannotCarry:
        raise refusal(path, value) from None


def _exact_str(value: str) -> Any:
    try:
        value.encode()
    except UnicodeEncodeError:
        return msgpack.ExtType(STR, value.encode("utf-8", "surrogatepass"))
    return value


def _exact_objects(array: Any, path: str, depth: int) -> Any:
    copy = array.copy()
    flat = copy.reshape(-1)
    for index, item in enumerate(array.ravel().tolist()):
        flat[index] = _exact(item, f"{path}/{index}", depth)
    return copy


def _token(key: object) -> str:
    return str(key).replace("~", "~0").replace("/", "~1")


# Refusing


def refusal(path: str, value: object) -> CannotCarry:
    """The error for a value with no exact form, with the way out that fits its type."""
    why, way_out = _reason(value)
    return CannotCarry(path, value, why, way_out)


def _reason(value: object) -> tuple[str, str]:
    kind = type(value)
    dtype = getattr(value, "dtype", None)
    if kind.__module__.partition(".")[0] == "numpy" and dtype is not None:
        if getattr(dtype, "char", "") in "gG":
            return "a longdouble has another format on every machine", "Return float64."
        if getattr(dtype, "char", "") == "V":
            return "a structured or void dtype has no exact form", "Return a dict of arrays."
        if getattr(dtype, "char", "") in _DTYPES | {"O"}:
            return f"{kind.__name__} is not exactly numpy.ndarray", "Return np.asarray(value) or a dict of arrays."
        return f"dtype {dtype} has no exact form", "Return an array of numbers, bools, strings or dates."
    bases = {base.__name__ for base in kind.__mro__}
    if "Enum" in bases:
        return "an Enum has no exact form", "Return its value or its name."
    if isinstance(value, tuple) and hasattr(kind, "_fields"):
        return "a named tuple has no exact form", "Return a tuple or a dict of its fields."
    for base in (bool, int, float, str, bytes, bytearray, list, tuple, dict, set, frozenset, complex):
        if isinstance(value, base):
            return f"{kind.__name__} is not exactly {base.__name__}", f"Return {base.__name__}(value)."
    return "an object of this type has no exact form", "Return numbers, strings, lists, dicts or NumPy arrays of it."


def _too_deep(path: str, value: object) -> CannotCarry:
    shown = path if len(path) <= 60 else path[:57] + "..."
    return CannotCarry(shown, value, "it is nested too deeply, or contains itself", "Return a flatter value.")


# Unpacking


def _unpack(data: Any, depth: int) -> Any:
    try:
        return _unpackb(data, ext_hook=_HOOKS[depth], strict_map_key=False)
    except _Malformed:
        raise
    except msgpack.exceptions.ExtraData as error:
        raise _Malformed(f"not one msgpack value: {len(error.extra)} more bytes follow it") from None
    except msgpack.exceptions.StackError:
        raise _Malformed("not a msgpack value: it is nested too deeply") from None
    except msgpack.exceptions.FormatError:
        raise _Malformed("not a msgpack value: a byte that starts nothing") from None
    except UnicodeDecodeError as error:
        raise _Malformed(f"not a msgpack value: a string is not UTF-8 ({error.reason})") from None
    except (ValueError, TypeError, OverflowError, MemoryError, RecursionError, msgpack.UnpackException) as error:
        raise _Malformed(f"not a msgpack value: {error or type(error).__name__}") from None


class _Malformed(ValueError):
    """Raised once, at the place that knows best; passed on unchanged."""


def _ext(depth: int, code: int, body: bytes) -> Any:
    if code in (ARRAY, SCALAR):
        return _read_array(body, code == SCALAR)
    try:
        read = _READERS[code]
    except KeyError:
        raise _Malformed(f"extension type {code} is none of interop.msgpack.v1") from None
    try:
        return read(body, depth)
    except _Malformed:
        raise
    except (ValueError, TypeError, struct.error, OverflowError) as error:
        raise _Malformed(f"extension type {code} with a malformed body: {error}") from None


_HOOKS: Final = tuple(partial(_ext, depth) for depth in range(MAX_DEPTH + 1))


def _read_inside(body: bytes, depth: int) -> list[Any]:
    if depth >= MAX_DEPTH:
        raise _Malformed(f"extensions are nested more than {MAX_DEPTH} deep")
    value = _unpack(body, depth + 1)
    if type(value) is not list:
        raise ValueError("an array was expected")
    return value


def _read_array(body: bytes, scalar: bool) -> Any:
    import numpy as np

    try:
        end = 2 + body[1] + 8 * body[0]
        dtype, shape, size = _read_header(body[:end])
    except (IndexError, ValueError, TypeError, struct.error, SyntaxError) as error:
        raise _Malformed(f"an array with a malformed header: {error}") from None
    if dtype is None:  # text
        raw = body[end:]
        return np.str_(raw.decode("utf-8", "surrogatepass")) if size == -1 else np.bytes_(raw)
    if len(body) - end != size:
        raise _Malformed(f"an array of {dtype} {list(shape)} takes {size} bytes, not {len(body) - end}")
    array = np.ndarray(shape, dtype, body, end).copy()
    return array[()] if scalar else array


@lru_cache(maxsize=1024)
def _read_header(header: bytes) -> tuple[Any, tuple[int, ...], int]:
    import numpy as np

    ndim, length = header[0], header[1]
    text = header[2 : 2 + length].decode("ascii")
    if text in ("U", "S") and not ndim:
        return None, (), -1 if text == "U" else -2
    dtype = np.dtype(text)
    if dtype.char not in _DTYPES or text not in (dtype.str, dtype.char):
        raise ValueError(f"dtype {text!r} is not carried")
    shape = struct.unpack(f"<{ndim}Q", header[2 + length :])
    size = dtype.itemsize
    for dimension in shape:
        size *= dimension
    return dtype, shape, size


def _read_objects(body: bytes, depth: int) -> Any:
    import numpy as np

    shape, items = _read_inside(body, depth)
    array = np.empty(len(items), object)
    for index, item in enumerate(items):
        array[index] = item
    return array.reshape(shape)


def _read_instance(body: bytes, depth: int) -> Any:
    name, *fields = _read_inside(body, depth)
    if name != "Graph" or len(fields) != 3:
        raise ValueError(f"an instance of {name!r} with {len(fields)} fields is not known")
    try:
        from gymnasium.spaces import GraphInstance
    except ImportError:
        raise ValueError("a Graph is read with gymnasium, which is not installed") from None
    return GraphInstance(*fields)


_READERS: Final[dict[int, Callable[[bytes, int], Any]]] = {
    TUPLE: lambda body, depth: tuple(_read_inside(body, depth)),
    OBJECTS: _read_objects,
    INT: lambda body, depth: int.from_bytes(body, "little", signed=True),
    SET: lambda body, depth: set(_read_inside(body, depth)),
    FROZENSET: lambda body, depth: frozenset(_read_inside(body, depth)),
    COMPLEX: lambda body, depth: complex(*struct.unpack("<dd", body)),
    BYTEARRAY: lambda body, depth: bytearray(body),
    STR: lambda body, depth: body.decode("utf-8", "surrogatepass"),
    INSTANCE: _read_instance,
}
