"""Numbers and NumPy arrays as plain JSON: nested lists in orjson's shortest digits, and the way back, checked.

What JSON has no number for is a string: "NaN", "Infinity", "-Infinity", and integers past 2**53 - 1 by their digits.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import numpy as np

from interop.errors import CannotCarry

SAFE: Final = 2**53 - 1  # the integers that every JSON reader reads exactly
NONFINITE: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
DTYPES: Final = frozenset("?bBhHiIlLqQefdFDMmSUO")  # by dtype.char: no longdouble, no structures, no StringDType
INTEGER: Final = re.compile(r"-?[0-9]{1,4300}")

_NAME: Final = re.compile(r"([^()]+)(?:\(((?:\d+(?:,\d+)*)?)\))?")
_MAX_ELEMENTS: Final = 2**28
_LARGEST: Final = {2: 65504.0, 4: 3.4028234663852886e38}  # of float16 and float32

Array = np.ndarray[Any, Any]


# Encoding


def dtype_name(dtype: np.dtype[Any]) -> str:
    """NumPy's name where it is exact ("float32", "datetime64[ns]"), else its code ("<U5", ">f4", "q")."""
    return _dtype_name(dtype.str, dtype.char)


@lru_cache(maxsize=1024)  # NumPy makes up the name anew each time, for microseconds
def _dtype_name(code: str, char: str) -> str:
    dtype = np.dtype(code)
    if dtype.kind in "US" or not dtype.isnative:
        return code
    if char in "lLqQ" and dtype.char != char:
        return char  # a second type of the same width, such as longlong
    return str(dtype.name)


def plain_array(value: Array, path: str) -> Any:
    """What orjson writes as the array's elements in nested lists; a 0-d array as one element. No object arrays."""
    kind = value.dtype.kind
    if kind == "f":
        return orjson_array(value) if np.isfinite(value).all() else _nested(_finite_or_text, value)
    if kind == "i" or kind == "u":
        return orjson_array(value) if is_safe(value) else _nested(number, value)
    if kind == "b":
        return orjson_array(value)
    if kind == "c":
        return plain_array(np.stack((value.real, value.imag), axis=-1), path)
    if kind == "U":
        return _nested(utf8(path), value)
    if kind == "S":
        return _nested(to_base64, value)
    return _nested(lambda count: "NaT" if count == -(2**63) else number(count), value.astype(np.int64))


def orjson_array(value: Array) -> Any:
    """The array as orjson takes it: C-contiguous, native, not 0-d. The same object where it is so already."""
    if not value.ndim:
        return value.astype(value.dtype.newbyteorder("="))[()] if value.dtype.kind == "f" else value.item()
    if value.flags.c_contiguous and value.dtype.isnative:
        return value
    return np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("="))


def is_safe(value: Array) -> bool:
    """Whether every integer is read exactly by every JSON reader (at most 2**53 - 1 in size)."""
    if value.dtype.itemsize < 8 or not value.size:
        return True
    return bool(value.min() >= -SAFE and value.max() <= SAFE)


def is_text(value: str) -> bool:
    """Whether the string has an UTF-8 form: no lone surrogates."""
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def special(value: float) -> str:
    """The text of a float that JSON has no number for."""
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def token(key: str) -> str:
    """A key as a segment of a JSON Pointer."""
    return key.replace("~", "~0").replace("/", "~1") if "~" in key or "/" in key else key


def _nested(function: Callable[[Any], Any], value: Array) -> Any:
    """Nested lists of the function's results. Floats narrower than 64 bits stay scalars, for their shortest digits."""
    keep = value.dtype.kind == "f" and value.dtype.itemsize < 8
    flat: list[Any] = list(value.astype(value.dtype.newbyteorder("=")).ravel()) if keep else value.ravel().tolist()
    return _reshape(list(map(function, flat)), value.shape)


def _reshape(flat: list[Any], shape: tuple[int, ...]) -> Any:
    if not shape:
        return flat[0]
    if len(shape) == 1:
        return flat
    step = len(flat) // shape[0] if shape[0] else 0
    return [_reshape(flat[index * step : (index + 1) * step], shape[1:]) for index in range(shape[0])]


def _finite_or_text(value: Any) -> Any:
    return value if math.isfinite(value) else special(value)


def number(value: float) -> float | int | str:
    if isinstance(value, int):
        return value if -SAFE <= value <= SAFE else str(value)
    return value if math.isfinite(value) else special(value)


def utf8(path: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        if not is_text(value):
            raise CannotCarry(path, value, "a NumPy string with a lone surrogate is no JSON text", "Return str.")
        return value

    return check


def to_base64(value: bytes | bytearray) -> str:
    return base64.b64encode(value).decode()


# Decoding


class Misfit(Exception):
    """A plain value that is not what it should be. Travels up and collects its place, which costs nothing till then."""

    def __init__(self, plain: object, accepted: str) -> None:
        super().__init__(plain, accepted)
        self.plain = plain
        self.accepted = accepted
        self.segments: list[str] = []

    def under(self, segment: object) -> Misfit:
        """The same misfit, seen from one container further out."""
        self.segments.append(token(str(segment)))
        return self

    def error(self, path: str) -> ValueError:
        """The error for people: where, what, and what is accepted."""
        pointer = path + "".join(f"/{segment}" for segment in reversed(self.segments))
        return ValueError(f"{pointer or '/'}: {shorten(self.plain)} is not accepted: {self.accepted}")


@lru_cache(maxsize=4096)
def parse_name(name: str) -> tuple[np.dtype[Any], tuple[int, ...] | None]:
    """dtype and shape of a type name ("float32(2,3)"); the shape of a scalar ("float32") is `None`. Raises `Misfit`."""
    match = _NAME.fullmatch(name)
    try:
        dtype = np.dtype(match[1]) if match else None
    except (TypeError, ValueError, SyntaxError):
        dtype = None
    if match is None or dtype is None or dtype.char not in DTYPES or dtype_name(dtype) != match[1]:
        raise Misfit(name, "a type name such as int, tuple, float32 or float32(2,3)")
    shape = None if match[2] is None else tuple(map(int, match[2].split(","))) if match[2] else ()
    if shape and (len(shape) > 64 or math.prod(side or 1 for side in shape) > _MAX_ELEMENTS):
        raise Misfit(name, f"an array of at most {_MAX_ELEMENTS} elements")
    return dtype, shape


def read_scalar(plain: Any, dtype: np.dtype[Any], accepted: str) -> Any:
    """A NumPy scalar of its plain form. Raises `Misfit`."""
    if dtype.kind == "U":
        return np.str_(_read_text(plain))
    if dtype.kind == "S":
        return np.bytes_(from_base64(plain))
    return read_array(plain, dtype, (), accepted)[()]


def read_array(plain: Any, dtype: np.dtype[Any], shape: tuple[int, ...], accepted: str) -> Array:
    """A fresh, writable array of its plain form, nested lists of numbers. Raises `Misfit` with `accepted`."""
    kind = dtype.kind
    if kind in "fiub":
        try:
            probe = np.array(plain)
        except (ValueError, TypeError, OverflowError):
            raise Misfit(plain, accepted) from None
        # NumPy alone would take "1" for a number, 1.5 for an integer and None for NaN.
        if probe.dtype.kind == kind or (probe.dtype.kind == "i" and kind in "uf"):
            return _cast(probe, plain, dtype, shape, accepted)
        flat = _flatten(plain, shape, accepted)
        return _from_elements([_ELEMENTS[kind](item, accepted) for item in flat], plain, dtype, shape, accepted)
    if kind == "c":
        real = read_array(plain, np.dtype(f"f{dtype.itemsize // 2}"), (*shape, 2), accepted)
        return real.view(f"c{dtype.itemsize}").reshape(shape).astype(dtype)
    flat = _flatten(plain, shape, accepted)
    if kind in "mM":
        counts = [-(2**63) if item == "NaT" else _integer(item, accepted) for item in flat]
        return _from_elements(counts, plain, np.dtype(np.int64), shape, accepted).astype(dtype)
    read = _read_text if kind == "U" else from_base64
    return _from_elements([read(item) for item in flat], plain, dtype, shape, accepted)


def _cast(probe: Array, plain: Any, dtype: np.dtype[Any], shape: tuple[int, ...], accepted: str) -> Array:
    if probe.shape != shape:
        if probe.size or 0 not in shape or probe.shape != shape[: shape.index(0) + 1]:
            raise Misfit(plain, accepted)
        return np.empty(shape, dtype)
    if probe.dtype == dtype and probe.dtype.char == dtype.char:
        return probe
    if dtype.kind == "f":
        # The norm bounds every element, at a third of the price of looking at each.
        largest = _LARGEST.get(dtype.itemsize)
        if largest is None or (probe.dtype.kind == "f" and math.sqrt(np.vdot(probe, probe)) <= largest):
            return probe.astype(dtype)
        with np.errstate(over="ignore"):
            array = probe.astype(dtype)
        if not np.isfinite(array).all() and np.isfinite(probe).all():
            raise Misfit(plain, accepted)  # a number too large for the dtype
        return array
    array = probe.astype(dtype)
    if (array != probe).any():  # an integer beyond the dtype's limits
        raise Misfit(plain, accepted)
    return array


def _from_elements(
    elements: list[Any], plain: Any, dtype: np.dtype[Any], shape: tuple[int, ...], accepted: str
) -> Array:
    try:
        with np.errstate(over="ignore"):
            array = np.array(elements, dtype=dtype).reshape(shape)
    except (ValueError, TypeError, OverflowError):
        raise Misfit(plain, accepted) from None
    if dtype.kind == "f" and any(map(math.isfinite, elements)):
        finite = np.array([math.isfinite(element) for element in elements]).reshape(shape)
        if not np.isfinite(array[finite]).all():
            raise Misfit(plain, accepted)
    return array


def _flatten(plain: Any, shape: tuple[int, ...], accepted: str) -> list[Any]:
    if not shape:
        return [plain]
    if type(plain) is not list or len(plain) != shape[0]:
        raise Misfit(plain, accepted)
    if len(shape) == 1:
        return plain
    return [item for row in plain for item in _flatten(row, shape[1:], accepted)]


def _integer(item: Any, accepted: str) -> int:
    if type(item) is int:
        return item
    if type(item) is float and item.is_integer():  # JSON does not tell 1.0 from 1
        return int(item)
    if type(item) is str and INTEGER.fullmatch(item) and abs(int(item)) > SAFE:
        return int(item)
    raise Misfit(item, accepted)


def _real(item: Any, accepted: str) -> float:
    try:
        if type(item) is float or type(item) is int:
            return float(item)
    except OverflowError:
        raise Misfit(item, accepted) from None
    if type(item) is str and item in NONFINITE:
        return NONFINITE[item]
    raise Misfit(item, accepted)


def _boolean(item: Any, accepted: str) -> bool:
    if type(item) is bool:
        return item
    raise Misfit(item, accepted)


_ELEMENTS: Final[dict[str, Callable[[Any, str], Any]]] = {"f": _real, "i": _integer, "u": _integer, "b": _boolean}


def _read_text(plain: Any) -> str:
    if type(plain) is not str:
        raise Misfit(plain, "a string")
    return plain


def shorten(value: object) -> str:
    """The value for an error text, at most 80 characters of it."""
    try:
        text = repr(value)
    except ValueError:  # an int of too many digits
        text = f"a {type(value).__name__}"
    return text if len(text) <= 80 else text[:77] + "..."


def from_base64(plain: Any) -> bytes:
    try:
        return base64.b64decode(plain, validate=True) if type(plain) is str else _refuse_base64(plain)
    except ValueError:
        return _refuse_base64(plain)


def _refuse_base64(plain: Any) -> bytes:
    raise Misfit(plain, "base64, a string")
