"""The suite reads values without NumPy and without the converter; the golden vectors say that it reads them right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from conformance.spaces import decode
from conformance.values import Array, Malformed, pack, same, unpack

GOLDEN = json.loads((Path(__file__).parent.parent / "golden" / "gymnasium_space_1.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("vector", GOLDEN["vectors"], ids=lambda vector: vector["name"])
def test_plain_and_packed_values_are_the_same(vector: dict[str, Any]) -> None:
    """A value decodes to the same from its plain form, by types and space, and from its MessagePack form."""
    for value in vector["values"]:
        plain = decode(value["plain"], vector["space"], value["types"], GOLDEN["path"])
        packed = unpack(bytes.fromhex(value["msgpack"]))
        assert same(plain, packed), f"{plain!r} is not {packed!r}"


def test_what_is_packed_is_read_again() -> None:
    """Tuples, arrays, scalars and arrays of objects survive."""
    inner = Array("float32", (2,), (0.5, float("nan")))
    value = {
        "a": (1, None),
        "b": inner,
        "c": Array("int64", (), (3,), scalar=True),
        "d": Array("object", (1,), (inner,)),
    }
    assert same(unpack(pack(value)), value)


def test_a_malformed_array_is_a_value_that_equals_nothing() -> None:
    """A message with a broken array can still be read; the array is no value."""
    broken = unpack(pack({"a": Array("int8", (4,), (1, 2, 3))}))["a"]
    assert isinstance(broken, Malformed)
    assert "3 bytes" in broken.why
    assert not same(broken, broken)
