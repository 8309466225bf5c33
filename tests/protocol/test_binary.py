"""The value form of interop.msgpack.v1."""

from __future__ import annotations

import collections
import enum
import subprocess
import sys
import threading
from typing import Any, NamedTuple

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interop.errors import CannotCarry
from interop.protocol import binary
from interop.protocol.binary import pack, unpack
from tests.exact import assert_identical
from tests.free_values import free_values, nasty_values
from tests.gymnasium.nasty import nasty_spaces

NASTY = nasty_values()
SPACES = nasty_spaces()


class Color(enum.Enum):
    RED = 1


class Number(enum.IntEnum):
    ONE = 1


class Point(NamedTuple):
    x: int


class Whole(int):
    pass


@pytest.mark.parametrize("name", NASTY)
def test_value_survives(name: str) -> None:
    """A value comes back the same in every bit."""
    assert_identical(unpack(pack(NASTY[name])), NASTY[name])


@pytest.mark.parametrize("name", SPACES)
def test_samples_survive(name: str) -> None:
    """Samples of every kind of space come back the same in every bit."""
    space = SPACES[name]
    space.seed(5)
    for _ in range(5):
        sample = space.sample()
        assert_identical(unpack(pack(sample)), sample)


@settings(max_examples=300, deadline=None)
@given(free_values())
def test_any_value_survives(value: Any) -> None:
    """A random value comes back the same in every bit."""
    assert_identical(unpack(pack(value)), value)


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=60))
def test_garbage_is_a_value_error(data: bytes) -> None:
    """Random bytes are a value or a ValueError, never another exception."""
    try:
        unpack(data)
    except ValueError:
        pass


@settings(max_examples=200, deadline=None)
@given(free_values(), st.data())
def test_damaged_value_is_a_value_error(value: Any, data: st.DataObject) -> None:
    """A value that lost its end or had a byte changed is a value or a ValueError, never another exception."""
    packed = bytearray(pack(value))
    if data.draw(st.booleans()):
        del packed[data.draw(st.integers(0, len(packed) - 1)) :]
    else:
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    try:
        unpack(bytes(packed))
    except ValueError:
        pass


def test_arrays_are_fresh_and_writable() -> None:
    """An unpacked array is writable and belongs to nobody else."""
    data = bytearray(pack(np.arange(4, dtype=np.float32)))
    first, second = unpack(data), unpack(memoryview(data))
    first[0] = 9
    assert second[0] == 0
    assert first.flags.owndata
    assert first.flags.aligned


def test_nan_keeps_its_bits() -> None:
    """A NaN keeps its sign and payload, alone and in arrays."""
    odd = np.array([0xFFF8000000000001], np.uint64).view(np.float64)
    assert_identical(unpack(pack([odd, float(odd[0])])), [odd, float(odd[0])])


def test_plain_values_are_plain_msgpack() -> None:
    """What msgpack says exactly is written as msgpack writes it."""
    value = {"a": [1, 2.5, None, True, "x", b"y"]}
    assert pack(value) == msgpack.packb(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ((1,), "d5019101"),
        (np.array([1.5], "<f4"), "c7 11 02 01 03 3c6634 0100000000000000 0000c03f"),
        (np.uint8(7), "c7 06 03 00 03 7c7531 07"),
        (2**64, "c7 09 05 000000000000000001"),
        ({1}, "d5 06 9101"),
        (bytearray(b"a"), "d4 09 61"),
        (np.str_("a"), "d6 03 00 01 55 61"),
    ],
)
def test_bytes_are_the_documented_ones(value: Any, expected: str) -> None:
    """The bytes of an extension are those of the specification."""
    assert pack(value).hex() == expected.replace(" ", "")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Color.RED, "/ cannot be carried: an Enum has no exact form .* Return its value or its name."),
        ({"a": [1, {"b/c~": Number.ONE}]}, "/a/1/b~1c~0 cannot be carried: an Enum"),
        ([Whole(3)], r"/0 cannot be carried: Whole is not exactly int .* Return int\(value\)."),
        (Point(1), "a named tuple has no exact form .* Return a tuple or a dict of its fields."),
        ((1, Point(1)), "/1 cannot be carried: a named tuple"),
        ({"x": np.longdouble(1)}, "/x cannot be carried: a longdouble has another format .* Return float64."),
        (np.zeros(2, np.longdouble), "a longdouble"),
        (np.zeros(1, "i4,f4"), "a structured or void dtype has no exact form .* Return a dict of arrays."),
        (np.ma.zeros(2), r"(?s)MaskedArray is not exactly numpy.ndarray .* Return np.asarray\(value\)"),
        (np.zeros(1, np.dtypes.StringDType()), "dtype StringDType.* has no exact form"),
        (collections.OrderedDict(a=1), r"OrderedDict is not exactly dict .* Return dict\(value\)."),
        ({"a": memoryview(b"x")}, "/a cannot be carried: an object of this type has no exact form"),
        ({"a": object()}, "/a cannot be carried: an object of this type"),
        ({Color.RED: 1}, "/Color.RED cannot be carried: an Enum"),
        (np.array([1, Color.RED], object), "/1 cannot be carried: an Enum"),
        ({"a": {(Whole(1),): 2}}, "Whole is not exactly int"),
    ],
)
def test_refusal(value: Any, text: str) -> None:
    """A value without an exact form is refused by its place, with the reason and a way out."""
    with pytest.raises(CannotCarry, match=text):
        pack(value)


def _cycle(link: type[list[Any]] | type[tuple[Any, ...]], length: int) -> list[Any]:
    end: list[Any] = []
    start = end
    for _ in range(length):
        end.append([])
        end = end[0]
    end.append(link([start]))
    return start


@pytest.mark.parametrize("link", [list, tuple])
@pytest.mark.parametrize("length", [0, 3, 200, 500])
def test_cycle_is_refused(link: Any, length: int) -> None:
    """A value that contains itself is refused, in a thread with a small stack too."""
    errors = []

    def run() -> None:
        try:
            pack(_cycle(link, length))
        except CannotCarry as error:
            errors.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert "nested too deeply, or contains itself" in errors[0]
    assert len(errors[0]) < 400


def _nested(depth: int) -> Any:
    value: Any = ()
    for _ in range(depth):
        value = (value,)
    return value


def test_depth_of_tuples() -> None:
    """Tuples nest to the documented depth in both directions, and no deeper."""
    assert unpack(pack(_nested(binary.MAX_DEPTH - 2))) == _nested(binary.MAX_DEPTH - 2)
    with pytest.raises(CannotCarry, match="too deeply"):
        pack(_nested(binary.MAX_DEPTH + 1))


def _bomb(depth: int) -> bytes:
    data = b"\x90"
    for _ in range(depth):
        data = msgpack.packb(msgpack.ExtType(1, b"\x91" + data))
    return data


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "not a msgpack value: Unpack failed: incomplete input"),
        (b"\xc1", "not a msgpack value: a byte that starts nothing"),
        (b"\x92\x01", "incomplete input"),
        (b"\x01\x01\x01", "not one msgpack value: 2 more bytes follow it"),
        (b"\xa1\xff", r"a string is not UTF-8 \(invalid start byte\)"),
        (b"\x91" * 3000 + b"\x01", "it is nested too deeply"),
        (b"\x81\x90\x01", "unhashable type"),
        (b"\xdf\xff\xff\xff\xff", "exceeds max_map_len"),
        (b"\xd4\x50\x00", "extension type 80 is none of interop.msgpack.v1"),
        (_bomb(100), "extensions are nested more than 32 deep"),
        (b"\xd4\x01\x05", "extension type 1 with a malformed body: an array was expected"),
        (b"\xd4\x01\xc1", "a byte that starts nothing"),
        (b"\xc7\x00\x02", "an array with a malformed header"),
        (b"\xc7\x05\x02\x00\x03<f4", "an array of float32 .* takes 4 bytes, not 0"),
        (b"\xc7\x0d\x02\x01\x03<f4" + b"\xff" * 8, "an array of float32 .* takes .* bytes, not 0"),
        (b"\xc7\x04\x02\x00\x02|O", "dtype .* is not carried"),
        (b"\xc7\x07\x02\x00\x05i4,f4", "dtype .* is not carried"),
        (b"\xc7\x06\x02\x00\x04nope", "an array with a malformed header"),
        (b"\xd4\x08\x00", "extension type 8 with a malformed body"),
        (
            msgpack.packb(msgpack.ExtType(11, msgpack.packb(["os.exit", 1]))),
            "an instance of 'os.exit' with 1 fields",
        ),
        (msgpack.packb(msgpack.ExtType(4, msgpack.packb([[3], [1]]))), "extension type 4 with a malformed body"),
        (msgpack.packb(msgpack.ExtType(6, msgpack.packb([[1]]))), "extension type 6 with a malformed body: unhashable"),
    ],
)
def test_malformed(data: bytes, text: str) -> None:
    """Bytes that are not one value of this form are a ValueError that says why."""
    with pytest.raises(ValueError, match=text):
        unpack(data)


def test_import_is_light() -> None:
    """The module needs neither NumPy nor Gymnasium until a value does."""
    code = (
        "import sys; from interop.protocol.binary import pack, unpack\n"
        "assert unpack(pack({'a': (1, {2}, 2**70)})) == {'a': (1, {2}, 2**70)}\n"
        "assert not {'numpy', 'gymnasium'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
