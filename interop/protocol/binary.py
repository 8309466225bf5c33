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
_ARRAYS: Final = (ARRAY, SCALAR)

MAX_DEPTH: Final = 32  # of extensions in extensions, each of which costs a Python frame and up to 511 of C

_DTYPES: Final = frozenset("?bBhHiIlLqQefdFDMmSU")  # by dtype.char: no objects, longdouble, structures, StringDType
_ATOMS: Final = frozenset({type(None), bool, int, float, str, bytes})
_BIN_8, _BIN_16, _BIN_32 = 0xC4, 0xC5, 0xC6  # the markers of msgpack's bin type
_MAX_NESTING: Final = 256  # of everything, on the slow way
_SMALL: Final = 1024  # bytes of an array up to which a second copy is cheaper than asking how to avoid it
ROOM: Final = 1024  # bytes that a packer sets aside; msgpack's 256 KiB take longer to get than a step to write

_packer: Final[Callable[..., Any]] = msgpack.Packer
_unpackb: Final[Callable[..., Any]] = msgpack.unpackb
# An ExtType, without its constructor's checks of what is right by construction: 0.2 us instead of 0.6.
_ext_type: Final[Callable[[tuple[int, bytes]], Any]] = partial(tuple.__new__, msgpack.ExtType)


def pack(value: Any, room: int = ROOM) -> bytes:
    """The msgpack form of a value. Raises `CannotCarry` with the place of what has no exact form.

    `room` is how many bytes to set aside for it. It grows, which costs a large message more than packing it.
    """
    try:
        data = _packb(value, 0, room)
    except (CannotCarry, ValueError, TypeError, OverflowError):
        # A lone surrogate, something too deep or with no exact form: the slow way carries it or names the place.
        return _pack_slowly(value)
    # msgpack writes a bytearray or a memoryview as bytes and asks nobody. Only bytes with a bin marker can hide one.
    if (_BIN_8 in data or _BIN_16 in data or _BIN_32 in data) and _hides(value):
        return _pack_slowly(value)
    return data


def unpack(data: bytes | bytearray | memoryview) -> Any:
    """The value of its msgpack form; arrays are fresh and writable.

    Raises `ValueError` for anything that is not exactly one complete value of this form.
    """
    return _unpack(data, 0)


# Packing


def _packb(value: Any, depth: int, room: int) -> bytes:
    packed: bytes = _packer(default=_DEFAULTS[depth], strict_types=True, buf_size=room).pack(value)
    return packed


def _pack_slowly(value: Any) -> bytes:
    return _packb(_exact(value, "", 0), 0, ROOM)


def _default(depth: int, value: Any) -> Any:
    """What msgpack packs in place of a value that it does not know."""
    kind = type(value)
    if kind is tuple:
        return _ext_type((TUPLE, _pack_inside(depth, list(value))))
    if (numpy := sys.modules.get("numpy")) is not None:
        if kind is numpy.ndarray:
            return _array(depth, value)
        if isinstance(value, numpy.generic):
            return _scalar(value)
    if kind is int:
        return _ext_type((INT, value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)))
    if kind is set or kind is frozenset:
        return _ext_type((SET if kind is set else FROZENSET, _pack_inside(depth, list(value))))
    if kind is complex:
        return _ext_type((COMPLEX, struct.pack("<dd", value.real, value.imag)))
    if kind is _graph_class():
        return _ext_type((INSTANCE, _pack_inside(depth, ["Graph", *value])))
    raise refusal("", value)


def _pack_inside(depth: int, value: list[Any]) -> bytes:
    if depth + 1 >= MAX_DEPTH:
        raise _too_deep("", value)
    return _packb(value, depth + 1, ROOM)


_DEFAULTS: Final = tuple(partial(_default, depth) for depth in range(MAX_DEPTH))


def _array(depth: int, array: Any) -> Any:
    dtype = array.dtype
    char = dtype.char
    if char == "O":
        return _ext_type((OBJECTS, _pack_inside(depth, [list(array.shape), array.ravel().tolist()])))
    if char not in _DTYPES:
        raise refusal("", array)
    header = _header(dtype, char, array.shape)
    if array.nbytes <= _SMALL or not array.flags.c_contiguous or char in "Mm":  # dates have no buffer
        return _ext_type((ARRAY, header + array.tobytes()))
    return _ext_type((ARRAY, b"".join((header, array))))


def _scalar(value: Any) -> Any:
    dtype = value.dtype
    char = dtype.char
    if char == "U":  # a slice is the whole text; str() drops NULs at its end
        return _ext_type((SCALAR, b"\x00\x01U" + value[:].encode("utf-8", "surrogatepass")))
    if char == "S":
        return _ext_type((SCALAR, b"\x00\x01S" + value[:]))
    if char not in _DTYPES or type(value) is not dtype.type:
        raise refusal("", value)
    header = _header(dtype, char, ())
    return _ext_type((SCALAR, header + value.tobytes() if char in "Mm" else b"".join((header, value))))


@lru_cache(maxsize=1024)
def _header(dtype: Any, char: str, shape: tuple[int, ...]) -> bytes:
    import numpy as np

    text = dtype.str
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
        for key, item in value.items():  # of few items, mostly atoms
            if (type(item) not in _ATOMS and _hides(item)) or (type(key) is not str and _hides(key)):
                return True
        return False
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
        return _ext_type((BYTEARRAY, bytes(value)))
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
        return _ext_type((STR, value.encode("utf-8", "surrogatepass")))
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
    if code in _ARRAYS:
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
    try:
        end = 2 + body[1] + 8 * body[0]
        dtype, shape, size, read = _read_header(body[:end])
    except (IndexError, ValueError, TypeError, struct.error, SyntaxError) as error:
        raise _Malformed(f"an array with a malformed header: {error}") from None
    if dtype is None:  # text
        return read(body, end)
    if len(body) - end != size:
        raise _Malformed(f"an array of {dtype} {list(shape)} takes {size} bytes, not {len(body) - end}")
    view = read(body, end)
    return view[()] if scalar and not shape else view.copy()


@lru_cache(maxsize=1024)
def _read_header(header: bytes) -> tuple[Any, tuple[int, ...], int, Callable[[bytes, int], Any]]:
    import numpy as np

    ndim, length = header[0], header[1]
    text = header[2 : 2 + length].decode("ascii")
    if text == "U" and not ndim:
        return None, (), 0, lambda body, end: np.str_(body[end:].decode("utf-8", "surrogatepass"))
    if text == "S" and not ndim:
        return None, (), 0, lambda body, end: np.bytes_(body[end:])
    dtype = np.dtype(text)
    if dtype.char not in _DTYPES or text not in (dtype.str, dtype.char):
        raise ValueError(f"dtype {text!r} is not carried")
    shape = struct.unpack(f"<{ndim}Q", header[2 + length :])
    size = dtype.itemsize
    for dimension in shape:
        size *= dimension
    read: Any = np.ndarray
    return dtype, shape, size, partial(read, shape, dtype)


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
