"""Values of a space as plain JSON, and back, bit for bit.

    codec = ValueCodec(space, "/obs")
    types: dict[str, str] = {}
    plain = codec.encode(observation, types)     # {"/obs": "int"} only where the value is not what its space says
    text = orjson.dumps(plain, option=orjson.OPT_SERIALIZE_NUMPY)
    observation = codec.decode(orjson.loads(text), types)

The canonical values, which need no entry in `types`, and their plain form:

    Box, MultiDiscrete, MultiBinary   ndarray of the space's dtype and shape     nested lists
    Discrete                          NumPy scalar of the space's dtype          integer
    Text                              str                                        string
    Tuple                             tuple                                      list
    Dict                              dict with the space's keys, in any order   object in the dict's order; a list of
                                                                                 [key, value] where a key is no string
    Sequence                          tuple; where stacked, a batch              list; the batch's form
    Graph                             GraphInstance of batches, int32 links      {"nodes", "edges"?, "edge_links"?}
    OneOf                             (np.int64, value)                          [index, value]
    any other                         any                                        the free form (`encode_free`)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from gymnasium import Space
from gymnasium import spaces as S

from converters.gymnasium.arrays import (
    DTYPES,
    SAFE,
    Misfit,
    is_safe,
    is_text,
    number,
    orjson_array,
    plain_array,
    read_array,
    shorten,
    token,
)
from converters.gymnasium.free import (
    Entry,
    Types,
    decode_entry,
    decode_free,
    encode_deviation,
    encode_free,
    entries,
)
from converters.gymnasium.keys import key_to_json

__all__ = ["Types", "ValueCodec", "decode_free", "encode_free"]

Encode = Callable[[Any, str, Types], Any]
Decode = Callable[[Any, Entry | None], Any]
_NOTHING: Final[Mapping[str, str]] = {}
_SMALL: Final = 32  # elements up to which Python's min and max are faster than NumPy's


class ValueCodec:
    """The plain JSON of one space's values; compiled once, safe to use from any thread.

    `path` is the JSON Pointer of the value in the frame's data (`""` for the whole); every entry in `types` and every
    error starts with it.
    """

    __slots__ = ("_decode", "_encode", "path", "space")

    def __init__(self, space: Space[Any], path: str) -> None:
        self.space = space
        self.path = path
        self._encode, self._decode = _compile(space)

    def encode(self, value: Any, types: Types) -> Any:
        """The plain form of `value`, for `orjson.dumps(..., option=OPT_SERIALIZE_NUMPY)`.

        It may contain the value's own arrays, uncopied: write it before the environment goes on. Adds an entry to
        `types` for each place where the value is not what its space says. Raises `CannotCarry`.
        """
        return self._encode(value, self.path, types)

    def decode(self, plain: Any, types: Mapping[str, str] = _NOTHING) -> Any:
        """The value of a plain form. Arrays are fresh and writable; values that are native already pass through.

        Raises `ValueError` with the JSON Pointer of what does not fit, the space, and what is accepted.
        """
        try:
            return self._decode(plain, entries(types, self.path) if types else None)
        except Misfit as misfit:
            raise ValueError(f"{misfit.error(self.path)} ({shorten(self.space)})") from None


def _compile(space: Space[Any]) -> tuple[Encode, Decode]:
    for kind, compiler in _COMPILERS.items():
        if isinstance(space, kind):
            encode, decode = compiler(space)
            return encode, _unless_named(decode)
    return encode_free, _decode_any


def _unless_named(decode: Decode) -> Decode:
    """The decoder, unless `types` names another type for the place."""

    def decode_place(plain: Any, entry: Entry | None) -> Any:
        if entry is None or entry.name is None:
            return decode(plain, entry)
        return decode_entry(plain, entry)

    return decode_place


def _decode_any(plain: Any, entry: Entry | None) -> Any:
    return plain if entry is None else decode_entry(plain, entry)


# Arrays


def _array_codec(dtype: np.dtype[Any], shape: tuple[int, ...], batched: bool = False) -> tuple[Encode, Decode]:
    """Arrays of one dtype and shape; `batched` ones have one more axis in front, of any length."""
    accepted = f"{dtype} values in nested lists of shape {[*(['n'] if batched else []), *shape]}"
    if dtype.char not in DTYPES:
        return encode_deviation, _decode_any  # which names the dtype's own way out
    char = dtype.char  # tells longlong from int64, which are equal
    passes = dtype.isnative and bool(shape or batched)
    if passes and dtype.kind == "f" and dtype.itemsize > 2:
        encode_array = _encode_floats
    elif passes and dtype.kind in "iu" and dtype.itemsize == 8:
        encode_array = _encode_integers
    elif passes and dtype.kind != "f":
        encode_array = _encode_as_it_is
    else:
        encode_array = plain_array

    def encode(value: Any, path: str, types: Types) -> Any:
        if type(value) is np.ndarray and value.dtype == dtype and value.dtype.char == char and value.shape == shape:
            return encode_array(value, path)
        return encode_deviation(value, path, types)

    def encode_batch(value: Any, path: str, types: Types) -> Any:
        if (
            type(value) is np.ndarray
            and value.dtype == dtype
            and value.dtype.char == char
            and value.ndim
            and value.shape[1:] == shape
        ):
            return encode_array(value, path)
        return encode_deviation(value, path, types)

    def decode(plain: Any, entry: Entry | None) -> Any:
        if isinstance(plain, (np.ndarray, np.generic)):
            return plain
        if entry is not None:
            raise Misfit(plain, f"nothing that `types` names inside of {accepted}")
        if not batched:
            return read_array(plain, dtype, shape, accepted)
        if type(plain) is not list:
            raise Misfit(plain, accepted)
        return read_array(plain, dtype, (len(plain), *shape), accepted)

    return encode_batch if batched else encode, decode


def _encode_floats(value: Any, path: str) -> Any:
    # A finite sum of squares has finite terms; it is a third of the price of isfinite().all().
    if value.flags.c_contiguous and math.isfinite(np.vdot(value, value)):
        return value
    return plain_array(value, path)


def _encode_integers(value: Any, path: str) -> Any:
    if value.size > _SMALL:
        return orjson_array(value) if is_safe(value) else plain_array(value, path)
    flat = value.ravel().tolist()
    if not flat or (min(flat) >= -SAFE and max(flat) <= SAFE):
        return orjson_array(value)
    return plain_array(value, path)


def _encode_as_it_is(value: Any, path: str) -> Any:
    return value if value.flags.c_contiguous else orjson_array(value)


# Scalars


def _discrete_codec(space: S.Discrete[Any]) -> tuple[Encode, Decode]:
    scalar = space.dtype.type
    limits = np.iinfo(space.dtype)
    low, high = limits.min, limits.max  # which NumPy works out anew each time
    accepted = f"an integer ({space.dtype})"

    def encode(value: Any, path: str, types: Types) -> Any:
        if type(value) is scalar:
            return number(int(value))
        return encode_deviation(value, path, types)

    def decode(plain: Any, entry: Entry | None) -> Any:
        if type(plain) is int and low <= plain <= high:
            return scalar(plain)
        if isinstance(plain, (np.generic, np.ndarray)):
            return plain
        return scalar(read_array(plain, np.dtype(scalar), (), accepted)[()])

    return encode, _leaf(decode, accepted)


def _text_codec(space: S.Text) -> tuple[Encode, Decode]:
    def encode(value: Any, path: str, types: Types) -> Any:
        if type(value) is str and is_text(value):
            return value
        return encode_deviation(value, path, types)

    def decode(plain: Any, entry: Entry | None) -> Any:
        if isinstance(plain, str):
            return plain
        raise Misfit(plain, "a string")

    return encode, _leaf(decode, "a string")


def _leaf(decode: Decode, accepted: str) -> Decode:
    def decode_leaf(plain: Any, entry: Entry | None) -> Any:
        if entry is not None:
            raise Misfit(plain, f"{accepted}, with nothing in it that `types` could name")
        return decode(plain, None)

    return decode_leaf


# Containers


def _tuple_codec(codecs: list[tuple[Encode, Decode]]) -> tuple[Encode, Decode]:
    encoders = [(f"/{index}", encode) for index, (encode, _) in enumerate(codecs)]
    decoders = [(index, decode) for index, (_, decode) in enumerate(codecs)]
    count = len(codecs)

    def encode(value: Any, path: str, types: Types) -> Any:
        if type(value) is not tuple or len(value) != count:
            return encode_deviation(value, path, types)
        return [encode(item, path + suffix, types) for (suffix, encode), item in zip(encoders, value, strict=True)]

    def decode(plain: Any, entry: Entry | None) -> Any:
        if (type(plain) is not list and type(plain) is not tuple) or len(plain) != count:
            raise Misfit(plain, f"a list of {count} elements")
        below = _below(plain, entry, count)
        items = []
        for index, item_decode in decoders:
            try:
                items.append(item_decode(plain[index], _child(below, index)))
            except Misfit as misfit:
                raise misfit.under(index) from None
        return tuple(items)

    return encode, decode


def _items_codec(codec: tuple[Encode, Decode]) -> tuple[Encode, Decode]:
    """Tuples of any length, all of one space."""
    encode_item, decode_item = codec

    def encode(value: Any, path: str, types: Types) -> Any:
        if type(value) is not tuple:
            return encode_deviation(value, path, types)
        return [encode_item(item, f"{path}/{index}", types) for index, item in enumerate(value)]

    def decode(plain: Any, entry: Entry | None) -> Any:
        if type(plain) is not list and type(plain) is not tuple:
            raise Misfit(plain, "a list")
        below = _below(plain, entry, len(plain))
        items = []
        for index, item in enumerate(plain):
            try:
                items.append(decode_item(item, _child(below, index)))
            except Misfit as misfit:
                raise misfit.under(index) from None
        return tuple(items)

    return encode, decode


def _below(plain: Any, entry: Entry | None, count: int) -> dict[str, Entry] | None:
    if entry is None:
        return None
    for segment in entry.below:
        if not segment.isdecimal() or int(segment) >= count:
            raise Misfit(plain, f"a list with the index {segment}, which `types` names")
    return entry.below


def _child(below: dict[str, Entry] | None, index: int) -> Entry | None:
    return below.get(str(index)) if below else None


def _dict_codec(codecs: dict[Any, tuple[Encode, Decode]]) -> tuple[Encode, Decode]:
    if all(type(key) is str and is_text(key) for key in codecs):
        return _object_codec(codecs)
    return _pairs_codec(codecs)


def _object_codec(codecs: dict[str, tuple[Encode, Decode]]) -> tuple[Encode, Decode]:
    encoders = {key: (f"/{token(key)}", encode) for key, (encode, _) in codecs.items()}
    decoders = {key: (token(key), decode) for key, (_, decode) in codecs.items()}
    accepted = f"an object with exactly the keys {list(codecs)}"
    segments = {segment for segment, _ in decoders.values()}
    only_str = {str} if codecs else set()

    def encode(value: Any, path: str, types: Types) -> Any:
        if type(value) is not dict or value.keys() != encoders.keys() or set(map(type, value)) != only_str:
            return encode_deviation(value, path, types)
        plain = {}
        for key, item in value.items():
            suffix, encode_item = encoders[key]
            plain[key] = encode_item(item, path + suffix, types)
        return plain

    def decode(plain: Any, entry: Entry | None) -> Any:
        if type(plain) is not dict or plain.keys() != decoders.keys():
            raise Misfit(plain, accepted)
        if entry is not None and not entry.below.keys() <= segments:
            raise Misfit(plain, f"{accepted}; `types` names {sorted(entry.below.keys() - segments)}")
        value = {}
        for key, item in plain.items():
            segment, decode_item = decoders[key]
            try:
                value[key] = decode_item(item, None if entry is None else entry.below.get(segment))
            except Misfit as misfit:
                raise misfit.under(key) from None
        return value

    return encode, decode


def _pairs_codec(codecs: dict[Any, tuple[Encode, Decode]]) -> tuple[Encode, Decode]:
    # Keys are known by type and value: 1, True and np.int64(1) are equal, and not the same.
    encoders = {(type(key), key): (key_to_json(key), encode) for key, (encode, _) in codecs.items()}
    decoders = [(key_to_json(key), key, decode) for key, (_, decode) in codecs.items()]
    count = len(codecs)
    accepted = f"a list of [key, value] with exactly the keys {[key for key, _, _ in decoders]}"

    def encode(value: Any, path: str, types: Types) -> Any:
        if type(value) is not dict or {(type(key), key) for key in value} != encoders.keys():
            return encode_deviation(value, path, types)
        pairs = []
        for index, (key, item) in enumerate(value.items()):
            plain_key, encode_item = encoders[type(key), key]
            pairs.append([plain_key, encode_item(item, f"{path}/{index}/1", types)])
        return pairs

    def decode(plain: Any, entry: Entry | None) -> Any:
        if type(plain) is dict:  # native: its keys are the space's own
            plain = [[encoders[type(key), key][0], item] for key, item in plain.items() if (type(key), key) in encoders]
        if type(plain) is not list or len(plain) != count:
            raise Misfit(plain, accepted)
        below = _below(plain, entry, count)
        value = {}
        for index, pair in enumerate(plain):
            found = [known for known in decoders if type(pair) is list and len(pair) == 2 and _same(pair[0], known[0])]
            node = _child(below, index)
            if not found or found[0][1] in value or (node and (node.name or node.below.keys() != {"1"})):
                raise Misfit(plain, accepted)
            try:
                value[found[0][1]] = found[0][2](pair[1], None if node is None else node.below["1"])
            except Misfit as misfit:
                raise misfit.under(1).under(index) from None
        return value

    return encode, decode


def _same(left: Any, right: Any) -> bool:
    """Equality of JSON values that tells `true` from 1."""
    return bool(left == right) and repr(left) == repr(right)


def _graph_codec(space: S.Graph) -> tuple[Encode, Decode]:
    codecs = {"nodes": _compile_batch(space.node_space), "edge_links": _compile_links()}
    if space.edge_space is not None:
        codecs["edges"] = _compile_batch(space.edge_space)
    no_edges: tuple[Encode, Decode] = (encode_deviation, _decode_any)

    def encode(value: Any, path: str, types: Types) -> Any:
        if type(value) is not S.GraphInstance:
            return encode_deviation(value, path, types)
        plain = {}
        for name, item in zip(value._fields, value, strict=True):
            if item is not None or name == "nodes":
                plain[name] = codecs.get(name, no_edges)[0](item, f"{path}/{name}", types)
        return plain

    def decode(plain: Any, entry: Entry | None) -> Any:
        if type(plain) is S.GraphInstance:
            return plain
        if type(plain) is not dict or "nodes" not in plain or not plain.keys() <= set(S.GraphInstance._fields):
            raise Misfit(plain, "an object with nodes, and edges and edge_links where it has edges")
        fields: dict[str, Any] = dict.fromkeys(S.GraphInstance._fields)
        for name, item in plain.items():
            try:
                fields[name] = codecs.get(name, no_edges)[1](item, None if entry is None else entry.below.get(name))
            except Misfit as misfit:
                raise misfit.under(name) from None
        return S.GraphInstance(**fields)

    return encode, decode


def _compile_links() -> tuple[Encode, Decode]:
    encode, decode = _array_codec(np.dtype(np.int32), (2,), batched=True)
    return encode, _unless_named(decode)


def _one_of_codec(codecs: list[tuple[Encode, Decode]]) -> tuple[Encode, Decode]:
    count = len(codecs)
    accepted = f"[index, value] with an index from 0 to {count - 1}"

    def encode(value: Any, path: str, types: Types) -> Any:
        if type(value) is not tuple or len(value) != 2 or type(value[0]) not in (np.int64, int):
            return encode_deviation(value, path, types)
        index = int(value[0])
        if not 0 <= index < count:
            return encode_deviation(value, path, types)
        if type(value[0]) is int:
            types[path + "/0"] = "int"
        return [index, codecs[index][0](value[1], path + "/1", types)]

    def decode(plain: Any, entry: Entry | None) -> Any:
        if (type(plain) is not list and type(plain) is not tuple) or len(plain) != 2:
            raise Misfit(plain, accepted)
        index = plain[0]
        if type(index) not in (int, np.int64) or not 0 <= index < count:
            raise Misfit(plain, accepted)
        below = _below(plain, entry, 2) or {}
        kind = below["0"].name if "0" in below else None
        if kind not in (None, "int"):
            raise Misfit(plain, f"{accepted}, which `types` may only name an int")
        native = index if kind == "int" or type(plain) is tuple else np.int64(index)
        try:
            return (native, codecs[index][1](plain[1], below.get("1")))
        except Misfit as misfit:
            raise misfit.under(1) from None

    return encode, decode


# Batches: what Gymnasium's `concatenate` makes of the elements of a stacked Sequence and the nodes of a Graph


def _compile_batch(space: Space[Any]) -> tuple[Encode, Decode]:
    if isinstance(space, (S.Box, S.Discrete, S.MultiDiscrete, S.MultiBinary)):
        encode, decode = _array_codec(np.dtype(space.dtype), tuple(space.shape or ()), batched=True)
    elif isinstance(space, S.Tuple):
        encode, decode = _tuple_codec([_compile_batch(subspace) for subspace in space.spaces])
    elif isinstance(space, S.Dict):
        encode, decode = _dict_codec({key: _compile_batch(subspace) for key, subspace in space.spaces.items()})
    else:
        encode, decode = _items_codec(_compile(space))
    return encode, _unless_named(decode)


def _sequence_codec(space: S.Sequence) -> tuple[Encode, Decode]:
    return _compile_batch(space.feature_space) if space.stack else _items_codec(_compile(space.feature_space))


_COMPILERS: Final[dict[type[Space[Any]], Callable[[Any], tuple[Encode, Decode]]]] = {
    S.Box: lambda space: _array_codec(space.dtype, space.shape),
    S.MultiDiscrete: lambda space: _array_codec(space.dtype, space.shape),
    S.MultiBinary: lambda space: _array_codec(space.dtype, space.shape),
    S.Discrete: _discrete_codec,
    S.Text: _text_codec,
    S.Tuple: lambda space: _tuple_codec([_compile(subspace) for subspace in space.spaces]),
    S.Dict: lambda space: _dict_codec({key: _compile(subspace) for key, subspace in space.spaces.items()}),
    S.Sequence: _sequence_codec,
    S.Graph: _graph_codec,
    S.OneOf: lambda space: _one_of_codec([_compile(subspace) for subspace in space.spaces]),
}
