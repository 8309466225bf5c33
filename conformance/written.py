"""JSON as it was written: the text of its numbers, the order of its keys, its escapes and its gaps.

Nothing is lost that a JSON value loses: `3` and `3.0`, `1e-7` and `1e-07`, two equal keys, the literal `NaN`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_GAP = re.compile(r"[ \t\n\r]+")
_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{4}|.)")
_SHORT = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}
_NEEDED = {*_SHORT.values(), *(f"\\u{code:04x}" for code in range(32) if chr(code) not in _SHORT)}


class Number(str):
    """A number, as it was written."""

    __slots__ = ()

    @property
    def is_integer(self) -> bool:
        """Whether it has neither a point nor an exponent."""
        return not set(self) & set(".eE")

    @property
    def shortest(self) -> str:
        """How it should be written; `null` where it is beyond all floats."""
        return _shortest(self)


class Constant(str):
    """One of the literals `NaN`, `Infinity` and `-Infinity`, which are not JSON."""

    __slots__ = ()


class Object(dict[str, Any]):
    """An object in the order of its text. `repeated` holds the keys that came before."""

    __slots__ = ("repeated",)

    def __init__(self, pairs: Iterable[tuple[str, Any]]) -> None:
        super().__init__()
        self.repeated: list[str] = []
        for key, value in pairs:
            if key in self:
                self.repeated.append(key)
            self[key] = value


class _Numbers(dict[str, Number]):
    """Each number once, however often it was written: a picture has a million of them, and few different ones."""

    def __missing__(self, text: str) -> Number:
        return self.setdefault(text, Number(text))


@dataclass(frozen=True, slots=True)
class Document:
    """A JSON text.

    Attributes:
        text: All of it.
        value: What it says.
        numbers: The different numbers in it.
        constants: The literals in it that are not JSON.
        objects: The objects in it, inner ones first.
    """

    text: str
    value: Any
    numbers: tuple[Number, ...]
    constants: tuple[Constant, ...]
    objects: tuple[Object, ...]


@lru_cache(maxsize=1024)
def read(text: str) -> Document:
    """Read a JSON text.

    Raises:
        ValueError: It is none, the three constants aside.
    """
    numbers, constants, objects = _Numbers(), list[Constant](), list[Object]()

    def constant(word: str) -> Constant:
        constants.append(Constant(word))
        return constants[-1]

    def object(pairs: list[tuple[str, Any]]) -> Object:
        objects.append(Object(pairs))
        return objects[-1]

    number = numbers.__getitem__
    decoder = json.JSONDecoder(object_pairs_hook=object, parse_float=number, parse_int=number, parse_constant=constant)
    try:
        value = decoder.decode(text)
    except RecursionError:
        raise ValueError("it is nested too deeply to be read") from None
    return Document(text, value, tuple(numbers.values()), tuple(constants), tuple(objects))


def nodes(value: Any) -> Iterator[Any]:
    """A value and all that is in it, in the order of the text."""
    waiting = [value]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, dict):
            waiting.extend(reversed(node.values()))
        elif isinstance(node, list):
            waiting.extend(reversed(node))


def shortest(value: float) -> str:
    """A float in the fewest digits that read back as the same float, in the layout of the specification."""
    if value != value or value in (float("inf"), float("-inf")):
        return "null"
    number = Decimal(repr(value))
    if not number or -5 <= number.adjusted() < 16:
        text = f"{number:f}"
        return text if "." in text else f"{text}.0"
    sign, digits, _ = number.normalize().as_tuple()
    first, rest = str(digits[0]), "".join(map(str, digits[1:]))
    return f"{'-' if sign else ''}{first}{'.' if rest else ''}{rest}e{number.adjusted():+d}"


@lru_cache(maxsize=1 << 16)
def _shortest(number: Number) -> str:
    if number.is_integer:
        return "-0.0" if number == "-0" else str(number)
    return shortest(float(number))


def gap(text: str) -> int | None:
    """Where the first whitespace outside strings stands, None where there is none."""
    end = 0
    for string in _STRING.finditer(text):
        if found := _GAP.search(text, end, string.start()):
            return found.start()
        end = string.end()
    found = _GAP.search(text, end)
    return found.start() if found else None


def needless_escape(text: str) -> int | None:
    """Where the first escape stands that is not needed, or is not in its usual form; None where there is none."""
    return next((it.start() for it in _ESCAPE.finditer(text) if it.group() not in _NEEDED), None)
