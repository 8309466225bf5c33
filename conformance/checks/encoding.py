"""Section 7 of the specification: the bytes of every reply. Values that come back are in `encoding_echo`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from conformance.actions import fits, resolve
from conformance.checks import check
from conformance.view import Broken, Missing, Reply, Untested, View, expect, short
from conformance.written import Document, Number, Object, gap, needless_escape, nodes, read

SHOWN = 3
"""Replies that are shown where all is well."""
GUILTY = 12
"""Replies that are shown where it is not."""
WORD = re.compile(r'"(nan|[+-]?inf(?:inity)?)"', re.IGNORECASE)
"""A string by which languages write floats that are not finite."""


class Written(NamedTuple):
    """A reply's JSON."""

    json: Document

    @property
    def text(self) -> str:
        """Its text."""
        return self.json.text

    @property
    def value(self) -> Any:
        """The frame."""
        return self.json.value

    @property
    def data(self) -> Object:
        """The frame's `data`; empty where it is no object."""
        data = self.value.get("data") if isinstance(self.value, Object) else None
        return data if isinstance(data, Object) else Object(())

    def is_type(self, type: str) -> bool:
        """Whether it is a frame of a type."""
        return isinstance(self.value, Object) and self.value.get("type") == type


@check("ENC-1")
def utf8(view: View) -> None:
    judge(view, ((reply, _utf8(reply)) for reply in view.some_replies() if reply.event.opcode == "text"))


@check("ENC-2")
def rfc8259(view: View) -> None:
    judge(view, ((reply, _json(reply)) for reply in view.some_replies()))


@check("ENC-5")
def not_finite(view: View) -> None:
    declared = schemas(view)
    every(view, lambda it: _not_finite(it, declared))
    seen = [
        node for name in ("overflow", "literals") for node in _echo(view.answer(f"encoding.{name}", "message"), name)
    ]
    word = next((node for node in seen if _is_word(node)), None)
    expect(word is None, f"a float that is not finite came back as the string {word!r}")
    if None in seen:
        return
    raise Untested(
        "no float that is not finite came back; give an action on which the environment returns one: --action '{...}'"
    )


@check("ENC-6")
def compact(view: View) -> None:
    every(view, lambda it: _near(it.text, gap(it.text), "whitespace between tokens"))


@check("ENC-7")
def frame_order(view: View) -> None:
    every(view, lambda it: _order(it.value, ("type", "data"), "a frame"))


@check("ENC-8")
def observation_order(view: View) -> None:
    keys = ("observation", "reward", "done", "metadata")
    every(view, lambda it: _order(it.data, keys, "an observation reply"), "observation")


@check("ENC-9")
def field_order(view: View) -> None:
    orders = [_fields(view.schema.get(name)) for name in ("observation", "reset_observation")]

    def fault(it: Written) -> str | None:
        # Whether a reply is that of a reset is not asked: where there are two schemas, either order will do.
        faults = [_order(it.data.get("observation"), ("metadata", *order), "`observation`") for order in orders]
        return faults[0] if all(faults) else None

    every(view, fault, "observation")


@check("ENC-10")
def error_order(view: View) -> None:
    every(view, lambda it: _order(it.data, ("message", "code"), "an error"), "error")


@check("ENC-12")
def escapes(view: View) -> None:
    every(view, lambda it: _near(it.text, needless_escape(it.text), "an escape that is not needed or not usual"))


@check("ENC-19")
def repeated_keys(view: View) -> None:
    every(view, lambda it: next((f"an object has the key {key!r} twice" for key in _repeated(it)), None))


# Over all replies


def every(view: View, fault: Callable[[Written], str | None], type: str = "") -> None:
    """Judge each reply that is JSON, or those of a type; what is no JSON is found by ENC-1 and ENC-2."""
    judge(view, ((reply, fault(it)) for reply, it in written(view) if not type or it.is_type(type)))


def written(view: View) -> Iterator[tuple[Reply, Written]]:
    """The replies that are JSON."""
    for reply in view.some_replies():
        try:
            yield reply, Written(read(reply.raw))
        except (Broken, ValueError):
            continue


def judge(view: View, judged: Iterable[tuple[Reply, str | None]]) -> None:
    """Raise `Broken` where a reply has a fault, and show the guilty ones alone."""
    all = list(judged)
    guilty = [(reply, fault) for reply, fault in all if fault]
    view.trail.clear()
    for reply, _ in guilty[:GUILTY] or all[:SHOWN]:
        view.look(reply.socket.name, reply.index)
    if not all:
        raise Missing("no such reply was received")
    if guilty:
        raise Broken(f"{guilty[0][1]} ({len(guilty)} of {len(all)})")


# Faults of one reply


def _utf8(reply: Reply) -> str | None:
    try:
        reply.event.payload.decode()
    except UnicodeDecodeError as exc:
        return f"a text message is not valid UTF-8: {exc}"
    return None


def _json(reply: Reply) -> str | None:
    text = reply.event.payload.decode(errors="replace")
    try:
        constants = read(text).constants
    except ValueError as exc:
        return f"a message is not JSON ({exc}): {short(text)}"
    return f"the literal {constants[0]} is not JSON: {_around(text, text.find(constants[0]))}" if constants else None


def _near(text: str, position: int | None, what: str) -> str | None:
    return None if position is None else f"{what}, at byte {len(text[:position].encode())}: {_around(text, position)}"


def _around(text: str, position: int) -> str:
    return f"{'…' if position > 30 else ''}{short(text[max(0, position - 30) :], 80)}"


def _order(value: Any, known: tuple[str, ...], what: str) -> str | None:
    """What is wrong with the order of an object's keys: those that are known come first, in their order."""
    if not isinstance(value, Object):
        return None
    wanted = [key for key in known if key in value]
    found = list(value)[: len(wanted)]
    return None if found == wanted else f"the keys of {what} begin with {short(found)}, expected {short(wanted)}"


def _fields(schema: Any) -> tuple[str, ...]:
    """The fields of an observation schema that are written inside `observation`, in their order."""
    properties = resolve(schema, schema).get("properties") if isinstance(schema, Mapping) else None
    return tuple(key for key in properties or () if key not in ("metadata", "reward", "done"))


def _repeated(it: Written) -> list[str]:
    return [key for object in it.json.objects for key in object.repeated]


def _not_finite(it: Written, schemas: dict[str, Any]) -> str | None:
    beyond = [number for number in it.json.numbers if number.shortest == "null"]
    literal = next(iter([*it.json.constants, *beyond]), None)
    return _undeclared(it, schemas) if literal is None else f"a float that is not finite is written {short(literal)}"


def _undeclared(it: Written, schemas: dict[str, Any]) -> str | None:
    """Such a float as a string that the schema does not allow there, though it allows a number."""
    words = [word[1] for word in WORD.finditer(it.text)]
    schema = schemas.get(str(it.value.get("type"))) if words and isinstance(it.value, Object) else None
    if schema is None:
        return None
    data = it.data
    plain = {**data.get("observation", {}), "reward": data.get("reward"), "done": data.get("done")}
    document = _plain(plain if it.is_type("observation") else data)
    if fits(schema, document) or not fits(schema, _numbered(document)):
        return None
    return f"a float that is not finite is written as the string {words[0]!r}, which its schema does not declare"


def _is_word(node: Any) -> bool:
    return type(node) is str and WORD.fullmatch(f'"{node}"') is not None


def _plain(value: Any) -> Any:
    """JSON as Python has it."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, Number):
        return int(value) if value.is_integer else float(value)
    return value


def _numbered(value: Any) -> Any:
    """The same with a number for each word."""
    if isinstance(value, dict):
        return {key: _numbered(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_numbered(inner) for inner in value]
    return 0.5 if _is_word(value) else value


def schemas(view: View) -> dict[str, Any]:
    """The schema of each type of reply."""
    schema = view.schema
    return {"observation": schema.get("observation"), "state": schema.get("state")}


def _echo(reply: Reply | None, name: str) -> list[Any]:
    """What came back of the floats that were sent under a name."""
    try:
        objects = read(reply.raw).objects if reply is not None else ()
    except (Broken, ValueError):
        return []
    return [node for object in objects if name in object for node in nodes(object[name])]
