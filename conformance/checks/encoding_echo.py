"""Section 7 of the specification: what a server reads, and the values that it writes back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from conformance.checks import check
from conformance.checks.encoding import Written, every, judge, schemas, written
from conformance.scenarios.encoding import MARK
from conformance.view import Reply, Untested, View, short
from conformance.written import Number, Object, nodes, read

EXACT = 2**53
"""Integers below this are exact as floats too."""
NO_ECHO = (
    "the server writes back neither the `input` of an error nor the `id` of a JSON-RPC request; give an action whose "
    'observation repeats it as "echo" in --actions FILE'
)


class Echo(NamedTuple):
    """A value that was sent, and what came back in its place."""

    reply: Reply
    sent: Any
    got: Any


@check("ENC-4")
def literals(view: View) -> str:
    reply = view.ask("encoding.literals", "message")
    return f"refused: {reply.code}" if reply.code == "INVALID_JSON" else "accepted"


@check("ENC-13")
def floats(view: View) -> str | None:
    every(view, lambda it: next((fault for number in it.json.numbers if (fault := _layout(number))), None))
    echoes = [it for it in _echoes(view) if isinstance(it.sent, Number) and not it.sent.is_integer]
    _compare(view, echoes, lambda it: isinstance(it.got, Number) and repr(float(it.got)) == repr(float(it.sent)))
    return None if echoes else "layout alone was judged: no float was written back"


@check("ENC-14")
def integers_and_floats(view: View) -> str | None:
    declared = {type: list(_integers(schema)) for type, schema in schemas(view).items()}
    every(view, lambda it: _declared(it, declared))
    echoes = [it for it in _echoes(view) if isinstance(it.sent, Number) and not _is_big(it.sent)]
    _compare(view, echoes, lambda it: not isinstance(it.got, Number) or it.got.is_integer == it.sent.is_integer)
    if not echoes:
        raise Untested(NO_ECHO)
    return None if any(not it.sent.is_integer for it in echoes) else "no float was written back, integers alone"


@check("ENC-16")
def big_integers(view: View) -> None:
    echoes = [it for it in _echoes(view) if isinstance(it.sent, Number) and _is_big(it.sent)]
    _compare(view, echoes, lambda it: isinstance(it.got, Number) and it.got == it.sent)
    if not echoes:
        raise Untested(NO_ECHO)


@check("ENC-17")
def any_spelling(view: View) -> None:
    if list(_ids(view, "encoding.echo", "id.raw")):
        for name, label in (("encoding.echo", "id.text"), ("encoding.spelling", "id")):
            view.ask(name, label).expect_type("mcp")
            _compare(view, list(_ids(view, name, label)), lambda it: it.got == it.sent)
    view.ask("encoding.spelling", "state").expect_type("state")
    view.ask("encoding.spelling", "reset").expect_type("observation")
    view.ask("encoding.spelling", "step").expect_type("observation")


@check("ENC-18")
def repeated_keys(view: View) -> str:
    reply = view.ask("encoding.repeated", "message")
    return "the last one is taken" if reply.type == "state" else f"refused, or the first one is taken: {reply.code}"


# What came back


def _compare(view: View, echoes: list[Echo], good: Callable[[Echo], bool]) -> None:
    """Raise `Broken` where something came back otherwise."""
    view.trail.clear()
    if echoes:
        judge(view, ((it.reply, None if good(it) else _other(it)) for it in echoes))


def _other(it: Echo) -> str:
    return f"{_words(it.sent)}, sent by the client, came back as {_words(it.got)}"


def _words(value: Any) -> str:
    return short(str(value) if isinstance(value, Number) else value)


def _echoes(view: View) -> Iterator[Echo]:
    """All that came back: the document wherever it stands in a reply, ids, and the action given for it."""
    document = _sent(view, "encoding.echo", "document")["data"][MARK]
    for reply, it in written(view):
        for echo in (object[MARK] for object in it.json.objects if isinstance(object.get(MARK), Object)):
            yield from (Echo(reply, document[key], echo[key]) for key in document if key in echo)
    for event in view.socket("encoding.echo").events:
        if event.label.startswith("id."):
            yield from _ids(view, "encoding.echo", event.label)
    yield from _given(view)


def _sent(view: View, name: str, label: str) -> Any:
    """The JSON of a request. Raises `Missing` where it was not sent."""
    view.answer(name, label)
    socket = view.socket(name)
    return read(socket.events[socket.find(label) or 0].payload.decode()).value


def _ids(view: View, name: str, label: str) -> Iterator[Echo]:
    """The `id` of a JSON-RPC request, from servers that have JSON-RPC."""
    reply = view.answer(name, label)
    if reply is not None and reply.type == "mcp":
        yield Echo(reply, _sent(view, name, label)["data"]["id"], read(reply.raw).value["data"].get("id"))


def _given(view: View) -> Iterator[Echo]:
    """The longest value of the action that the observation repeats."""
    if view.socket("encoding.fields").find("step.given") is None:
        return
    reply = view.answer("encoding.fields", "step.given")
    action = _sent(view, "encoding.fields", "step.given")["data"]
    longest = max(action.values(), key=lambda value: len(str(value)), default=None)
    if reply is not None and isinstance(longest, (list, dict)):
        for node in nodes(read(reply.raw).value):
            if _rough(node) == _rough(longest):
                yield from (Echo(reply, sent, got) for sent, got in _leaves(longest, node))


def _rough(value: Any) -> Any:
    """A value in which all numbers are floats."""
    if isinstance(value, dict):
        return {key: _rough(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_rough(inner) for inner in value]
    return float(value) if isinstance(value, Number) else value


def _leaves(sent: Any, got: Any) -> Iterator[tuple[Any, Any]]:
    """The scalars of two values of the same form."""
    if isinstance(sent, dict):
        for key, inner in sent.items():
            yield from _leaves(inner, got[key])
    elif isinstance(sent, list):
        for inner, other in zip(sent, got, strict=True):
            yield from _leaves(inner, other)
    else:
        yield sent, got


# Numbers


def _is_big(number: Number) -> bool:
    return number.is_integer and abs(int(number)) >= EXACT


def _layout(number: Number) -> str | None:
    if number.shortest in (number, "null"):
        return None
    return f"a float is written {short(str(number))}, expected {number.shortest}"


def _integers(schema: Any) -> Iterator[str]:
    """The fields that are declared as integers and nothing else."""
    properties = schema.get("properties") if isinstance(schema, dict) else None
    for key, inner in (properties or {}).items():
        if isinstance(inner, dict) and inner.get("type") == "integer":
            yield key


def _declared(it: Written, declared: dict[str, list[str]]) -> str | None:
    """A field that is declared as an integer and written as a float."""
    if not isinstance(it.value, Object):
        return None
    fields = it.data.get("observation") if it.is_type("observation") else it.data
    for key in declared.get(str(it.value.get("type")), ()):
        value = fields.get(key) if isinstance(fields, Object) else None
        if isinstance(value, Number) and not value.is_integer:
            return f"the integer `{key}` is written {value}"
    return None
