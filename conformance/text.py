"""What a server sent, in a form that can be written anywhere."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufffe\uffff]"
)
_SURROGATE = re.compile("[\ud800-\udfff]")


def visible(text: str) -> str:
    r"""Text whose control characters, lone surrogates and direction marks are written as `\uXXXX`."""
    return _INVISIBLE.sub(_written, text)


def plain(value: Any) -> Any:
    """A value as JSON that every reader takes: no lone surrogates, no floats that are not finite."""
    match value:
        case str():
            return _SURROGATE.sub(_written, value)
        case float():
            return value if math.isfinite(value) else repr(value)
        case None | bool() | int():
            return value
        case Mapping():
            return {plain(str(key)): plain(it) for key, it in value.items()}
        case list() | tuple():
            return [plain(it) for it in value]
    return plain(repr(value))


def _written(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
