"""What the checks of section 7 take for right is what pydantic writes, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import to_json

from conformance.checks.encoding import Written, _undeclared
from conformance.scenarios.encoding import spelled
from conformance.written import Constant, Number, Object, gap, needless_escape, read, shortest

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


def _written(value: Any) -> str:
    return to_json(value, inf_nan_mode="null").decode()


@given(st.floats())
def test_floats_have_the_layout_of_pydantic(value: float) -> None:
    """The shortest form of a float is what pydantic writes."""
    assert shortest(value) == _written(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1.0"), (-0.0, "-0.0"), (0.00001, "0.00001"), (9.9e-6, "9.9e-6"), (1e-7, "1e-7"), (1e16, "1e+16"),
        (9999999999999998.0, "9999999999999998.0"), (1.2e16, "1.2e+16"), (5e-324, "5e-324"), (float("inf"), "null"),
    ],
)  # fmt: skip
def test_floats_have_the_layout_of_the_table(value: float, text: str) -> None:
    """The examples of the specification."""
    assert shortest(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_in_another_form_is_not_the_shortest(value: float) -> None:
    """Python's layout and more digits than are needed are told apart from the shortest form."""
    for text in (repr(value), f"{value:.17g}", f"{value:.20e}"):
        number = Number(text)
        if not number.is_integer and text != shortest(value):
            assert number != number.shortest


@given(VALUES)
def test_nothing_is_wrong_with_what_pydantic_writes(value: Any) -> None:
    """No gap, no needless escape, no number in another form."""
    text = _written(value)
    assert gap(text) is None
    assert needless_escape(text) is None
    assert [number for number in read(text).numbers if number != number.shortest] == []
    assert _values(read(text).value) == value


@given(VALUES, st.sampled_from([" ", "\t", "\n", "\r"]))
def test_a_gap_is_seen_wherever_it_stands(value: Any, space: str) -> None:
    """Whitespace after a comma or colon, and around the text, is found; whitespace in strings is none."""
    text = json.dumps(value, ensure_ascii=False, separators=(f",{space}", ":"))
    compact = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    assert gap(compact) is None
    assert (gap(text) is None) == (text == compact)
    assert gap(f"{compact}{space}") == len(compact)
    assert gap(space + compact) == 0


@given(st.text())
def test_an_escape_is_needless_unless_there_is_no_other_way(text: str) -> None:
    """ASCII alone and escaped slashes are found; what has to be escaped is not."""
    ascii_only = json.dumps(text)
    assert (needless_escape(ascii_only) is None) == (max(text, default="a") <= "~")
    assert (needless_escape(_written(text).replace("/", "\\/")) is None) == ("/" not in text)


@pytest.mark.parametrize("text", ["\\u000a", "\\u001F", "\\u0041", "\\/", "\\u2028", "\\ud83d\\ude00", "\\u007f"])
def test_escapes_that_have_another_form(text: str) -> None:
    """An escape in a form that is not the table's is found where it stands."""
    assert needless_escape(f'{{"a\\\\":"x{text}"}}') == 9


@given(st.text())
def test_escapes_are_paired_from_the_left(text: str) -> None:
    """An escaped backslash before a letter is no escape of the letter."""
    assert needless_escape(_written(text + "\\u0041")) is None


@given(VALUES)
def test_the_hardest_spelling_is_the_same_json(value: Any) -> None:
    """A JSON parser reads what the suite sends."""
    assert json.loads(spelled(value)) == value


def test_what_json_values_lose_is_kept() -> None:
    """Order, repetition and the text of numbers and of the literals that are not JSON."""
    document = read('{"b":3,"a":3.0,"b":NaN,"c":-0}')
    value = document.value
    assert list(value) == ["b", "a", "c"]
    assert value.repeated == ["b"]
    assert document.constants == (value["b"],) == (Constant("NaN"),)
    assert document.objects == (value,)
    assert (value["a"], value["c"].shortest) == ("3.0", "-0.0")


@pytest.mark.parametrize("text", ["", "{", "[1,]", "01", "1.", "+1", "'a'", '"\x00"', "nan", '{"a":1}}', "[" * 100_000])
def test_what_is_no_json_is_refused(text: str) -> None:
    """The parser is as strict as RFC 8259, the three literals aside."""
    with pytest.raises(ValueError, match=r"line 1|nested"):
        read(text)


@pytest.mark.parametrize(
    ("schema", "value", "broken"),
    [
        ({"type": "number"}, "NaN", True),
        ({"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]}, "NaN", False),
        ({"type": "string"}, "inf", False),
        ({}, "nan", False),
        ({"type": "boolean"}, "NaN", False),  # no number either: another requirement's matter
        ({"type": "number"}, "much", False),
    ],
)
def test_strings_for_floats_need_a_schema(schema: Any, value: Any, broken: bool) -> None:
    """A string that stands for a float is a fault where the schema has a number and no such string."""
    frame = read(_written({"type": "state", "data": {"x": value}}))
    fault = _undeclared(Written(frame), {"state": {"type": "object", "properties": {"x": schema}}})
    assert (fault is not None) == broken


def _values(value: Any) -> Any:
    if isinstance(value, Object):
        return {key: _values(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_values(inner) for inner in value]
    if isinstance(value, Number):
        return int(value) if value.is_integer else float(value)
    return value
