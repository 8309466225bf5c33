"""Keys of a Dict space as JSON, told apart: "0", 0, false and (0,) are four keys."""

from __future__ import annotations

from typing import Any

from converters.gymnasium.arrays import SAFE, Misfit, is_text
from converters.gymnasium.free import Types, decode_free, encode_free


def key_to_json(key: Any) -> Any:
    """A string is itself; int, bool and None are `{"json": key}`, a tuple is `{"tuple": [...]}`.

    Any other hashable value is `{"value": plain, "types": {...}}` in the free form. Raises `CannotCarry`.
    """
    kind = type(key)
    if kind is str and is_text(key):
        return key
    if kind is bool or key is None or (kind is int and -SAFE <= key <= SAFE):
        return {"json": key}
    if kind is tuple:
        return {"tuple": [key_to_json(part) for part in key]}
    types: Types = {}
    plain = encode_free(key, "", types)
    return {"value": plain, "types": types}


def key_from_json(data: Any) -> Any:
    """The key of its JSON. Raises `Misfit`."""
    if type(data) is str:
        return data
    if type(data) is dict:
        if data.keys() == {"json"} and (data["json"] is None or type(data["json"]) in (bool, int)):
            return data["json"]
        if data.keys() == {"tuple"} and type(data["tuple"]) is list:
            return tuple(key_from_json(part) for part in data["tuple"])
        if data.keys() == {"value", "types"} and type(data["types"]) is dict:
            try:
                return decode_free(data["value"], "", data["types"])
            except ValueError as error:
                raise Misfit(data, f"a key ({error})") from None
    raise Misfit(data, 'a key: a string, {"json": ...}, {"tuple": [...]} or {"value": ..., "types": {...}}')
