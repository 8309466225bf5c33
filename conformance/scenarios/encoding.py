"""Section 7 of the specification: JSON that is hard to read, and values that a server has to write back.

Every server repeats what it refuses (`input` of an error) and the `id` of a JSON-RPC request; some environments repeat
fields of an action. So a document of values that are hard to write comes back, wherever a server stands.
"""

from __future__ import annotations

import itertools
import json
import struct
from collections.abc import Iterator, Mapping
from typing import Any

from conformance.actions import fits, resolve
from conformance.probe import Probe
from conformance.scenarios import scenario

MARK = "conformance_echo"
"""The key of a document that is to come back."""
TEXT = 'é\u2028\U0001f600 "\\/<>\x7f\b\t\n\f\r\x00\x1f'
INTEGERS = {"three": 3, "past_floats": 2**53 + 1, "largest": 2**63 - 1, "smallest": -(2**63)}
FLOATS = {
    "three_point": 3.0, "tenth": 0.1, "sum": 0.1 + 0.2, "negative_zero": -0.0, "small": 0.00001, "smaller": 1.25e-7,
    "large": 1e15, "larger": 1e16, "huge": 1.7976931348623157e308, "tiny": 5e-324,
}  # fmt: skip
DOCUMENT = {**INTEGERS, **FLOATS, "text": TEXT}
FIELDS = 3
"""Fields of an action that are tried."""


@scenario("encoding.echo")
def echo(probe: Probe) -> None:
    """Values that come back: in an error, as a JSON-RPC id, in an unknown type."""
    with probe.session("encoding.echo") as session:
        session.ask({"type": "state", "data": {MARK: DOCUMENT}}, "document")
        for name, integer in INTEGERS.items():
            session.ask(_rpc(integer), f"id.{name}")
        session.ask(json.dumps(_rpc(TEXT), ensure_ascii=False), "id.raw")
        session.ask(_rpc(TEXT), "id.text")
        session.ask(json.dumps({"type": TEXT}, ensure_ascii=False), "type.text")


@scenario("encoding.fields")
def fields(probe: Probe) -> None:
    """Values that come back in observations: fields of the action that take anything, and what the run was given."""
    with probe.session("encoding.fields") as session:
        if probe.inputs.echo is not None:
            session.ask(probe.reset(), "reset.given")
            session.ask({"type": "step", "data": probe.inputs.echo}, "step.given")
        for key, action in itertools.islice(_free_fields(probe.schema.get("action"), probe.action()), FIELDS):
            session.ask(probe.reset(), f"reset.{key}")
            session.ask({"type": "step", "data": action}, f"step.{key}")
            session.ask({"type": "state"}, f"state.{key}")


@scenario("encoding.spelling")
def spelling(probe: Probe) -> None:
    """Requests with whitespace wherever it may stand, every character escaped, and their keys in reverse."""
    with probe.session("encoding.spelling") as session:
        session.ask(spelled({"type": "state"}), "state")
        session.ask(spelled(_rpc("é\U0001f600/")), "id")
        session.ask(spelled(probe.reset()), "reset")
        session.ask(spelled(probe.step()), "step")


@scenario("encoding.liberties")
def liberties(probe: Probe) -> None:
    """Requests that a server may refuse: equal keys, literals that are not JSON, numbers beyond all floats."""
    for name, message in (
        ("repeated", '{"type":"no_such_type","type":"state"}'),
        ("overflow", f'{{"type":"state","data":{{"{MARK}":{{"overflow":[1e999,-1e999]}}}}}}'),
        ("literals", f'{{"type":"state","data":{{"{MARK}":{{"literals":[NaN,Infinity,-Infinity]}}}}}}'),
        ("surrogate", r'{"type":"\ud800"}'),
    ):
        with probe.session(f"encoding.{name}") as session:
            session.ask(message, "message")


def spelled(value: Any) -> str:
    """JSON in the form that is hardest to read."""
    match value:
        case str():
            return f'"{"".join(_escaped(value))}"'
        case Mapping():
            members = (f"{spelled(key)}\t:\r\n{spelled(inner)}" for key, inner in reversed(list(value.items())))
            return f" {{\n{' ,'.join(members)}\r}}\t"
        case list() | tuple():
            return f"[ {' , '.join(map(spelled, value))} ]"
    return json.dumps(value)


def _escaped(text: str) -> Iterator[str]:
    """An escape for each UTF-16 unit, digits in capitals and small letters by turns."""
    units = struct.iter_unpack("<H", text.encode("utf-16-le", "surrogatepass"))
    return (f"\\u{unit:04X}" if number % 2 else f"\\u{unit:04x}" for number, (unit,) in enumerate(units))


def _rpc(id: Any) -> dict[str, Any]:
    return {"type": "mcp", "data": {"jsonrpc": "2.0", "id": id, "method": "no/such/method"}}


def _free_fields(schema: Any, action: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Actions with the document in a field that takes it."""
    if isinstance(schema, Mapping):
        for key in resolve(schema, schema).get("properties", {}):
            filled = {**action, key: {MARK: DOCUMENT}}
            if fits(schema, filled):
                yield key, filled
