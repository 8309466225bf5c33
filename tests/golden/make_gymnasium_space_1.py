"""Writes `gymnasium_space_1.json`, the vectors for other implementations.

Run it only for new vectors: those that are published never change within gymnasium-space/1.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from converters.gymnasium.spaces import FORM, space_to_json
from converters.gymnasium.values import ValueCodec
from interop.protocol.binary import pack
from tests.gymnasium.nasty import nasty_spaces

DEVIATIONS: dict[str, list[Any]] = {
    "box-f4": [[0.5, 1, 0], np.zeros(3), np.array([np.nan, np.inf, -0.0], np.float32), None],
    "discrete": [2, np.int32(1), "1", True, 1.0],
    "tuple": [(3, np.int64(2), np.zeros(2, np.float32)), [1, 2]],
    "dict": [{"position": np.int64(1)}, {1: "x"}],
    "one-of": [(0, np.int64(2))],
    "text": ["", "\ud800"],
}
COUNT = 2


def vectors() -> list[dict[str, Any]]:
    result = []
    for name, space in nasty_spaces().items():
        if name in ("box-longlong", "text-many"):
            continue
        space.seed(42)
        values = [*(space.sample() for _ in range(COUNT)), *DEVIATIONS.get(name, [])]
        data = {key: value for key, value in space_to_json(space).items() if key != "subclass"}
        result.append({"name": name, "space": data, "values": [case(space, value) for value in values]})
    return result


def case(space: Any, value: Any) -> dict[str, Any]:
    types: dict[str, str] = {}
    plain = orjson.loads(
        orjson.dumps(ValueCodec(space, "/obs").encode(value, types), option=orjson.OPT_SERIALIZE_NUMPY)
    )
    return {"plain": plain, "types": types, "msgpack": pack(value).hex()}


if __name__ == "__main__":
    lines = ",\n".join(json.dumps(vector, allow_nan=False) for vector in vectors())
    text = f'{{"form": "{FORM}", "path": "/obs", "vectors": [\n{lines}\n]}}\n'
    Path(__file__).with_name("gymnasium_space_1.json").write_text(text)
