"""Section 13.1 of the specification: sessions that speak MessagePack."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from conformance.checks import check
from conformance.evidence import Event, Socket
from conformance.scenarios.gymnasium import NO_MAPS, NOT_MSGPACK, REFUSED
from conformance.values import ARRAY, MSGPACK_V1, OBJECTS, SCALAR, Malformed, same, walk
from conformance.view import Broken, Missing, NotApplicable, Reply, View, expect, short
from conformance.wrapped import NO_BINARY, binary_replies, compared, holds_array, is_selected, is_wrapped

TYPES = ("observation", "state", "mcp", "vector", "error")
KEYS = {"observation": {"observation", "reward", "done"}, "error": {"message", "code"}}


@check("BIN-2")
def selected_if_offered(view: View) -> None:
    for socket in view.evidence.sockets():
        if socket.subprotocol == MSGPACK_V1 and MSGPACK_V1 not in _offered(socket):
            view.look(socket.name)
            offered = ", ".join(_offered(socket)) or "nothing"
            raise Broken(f"{MSGPACK_V1} is selected for a client that offers {offered}")
    view.socket("gymnasium.near")


@check("BIN-3")
def binary_maps(view: View) -> None:
    for reply in _replies(view):
        event = reply.event
        expect(event.opcode == "binary", f"a text message in a session with {MSGPACK_V1}: {short(_text(event))}")
        expect(isinstance(reply.frame, dict), f"a message holds no map: {short(reply.raw)}")


@check("BIN-5")
def type_and_data(view: View) -> None:
    for reply in _maps(view):
        frame = reply.frame
        expect(
            frame.keys() == {"type", "data"}, f"a message has not exactly the keys type and data: {short(reply.raw)}"
        )
        expect(frame["type"] in TYPES, f"a message of type {frame['type']!r:.60}")
        missing = KEYS.get(frame["type"], set()) - reply.data.keys()
        expect(not missing, f"a message of type {frame['type']} lacks {', '.join(sorted(missing))} in `data`")


@check("BIN-6")
def text_message(view: View) -> None:
    _refused(view, "VALIDATION_ERROR", "gymnasium.text", "text")


@check("BIN-7")
def no_msgpack(view: View) -> None:
    _refused(view, "INVALID_JSON", "gymnasium.no_msgpack", *NOT_MSGPACK)


@check("BIN-8")
def no_map(view: View) -> None:
    _refused(view, "VALIDATION_ERROR", "gymnasium.no_map", *NO_MAPS)


@check("BIN-9")
def arrays_unchanged(view: View) -> str | None:
    seen = False
    for reply in _maps(view):
        for value in walk(reply.frame):
            if isinstance(value, Malformed) and value.code in (ARRAY, SCALAR, OBJECTS):
                raise Broken(f"an array cannot be read: {value.why}")
            seen = seen or holds_array(value)
    if is_wrapped(view):
        for fields in compared(view):
            for key, (plain, packed) in fields.items():
                pairs = zip(_arrays(plain), _arrays(packed), strict=False)
                wrong = next((pair for pair in pairs if not same(*pair)), None)
                expect(wrong is None, f"an array in `{key}` is, in JSON and in MessagePack, {wrong!r:.180}")
    return None if seen else "the values hold no arrays"


@check("BIN-10")
def otherwise_a_json_session(view: View) -> None:
    _applies(view)
    _order(view)
    for reply in view.one_by_one(binary_replies(view, "error")):
        _error(reply)
    for number in view.one_by_one(range(len(REFUSED))):
        one, other = (_error(view.ask(f"gymnasium.refused.{form}", f"refused.{number}")) for form in ("json", "binary"))
        expect(one == other, f"{short(REFUSED[number])} is answered {one} in JSON and {other} in MessagePack")
    view.ask("gymnasium.refused.binary", "refused.state").expect_type("state")
    if is_wrapped(view):
        _same_kinds(view)
    end = view.socket("gymnasium.binary").end
    expect(
        end is not None and end.code == 1000, f"after a `close` frame the connection ended with {_end(end)}, not 1000"
    )
    _capacity(view)


def _order(view: View) -> None:
    view.ask("gymnasium.pipelined", "first").expect_type("state")
    socket = view.socket("gymnasium.pipelined")
    types = [Reply(socket, index, event).type for index, event in socket.received()]
    expected = ["state", "observation", "error", "state"]
    expect(types == expected, f"frames sent without waiting are answered {types}, expected {expected}")


def _same_kinds(view: View) -> None:
    """The same requests are answered with the same types as in a JSON session."""
    sent = [it.label for it in view.socket("gymnasium.first").events if it.kind == "send" and "." in it.label]
    for label in sent:
        plain, packed = view.ask("gymnasium.first", label), view.ask("gymnasium.binary", label)
        expect(
            plain.type == packed.type, f"`{label}` is answered {plain.type} in JSON, in MessagePack {short(packed.raw)}"
        )


def _capacity(view: View) -> None:
    if view.fact("capacity") is None:
        return
    for name in ("gymnasium.beyond.binary", "gymnasium.beyond.json"):
        socket = view.socket(name)  # the refusal may come before anything is asked
        first = next((Reply(socket, index, event) for index, event in socket.received()), None)
        if first is None:
            raise Missing(f"a session beyond the capacity was not answered: it ended with {_end(socket.end)}")
        first.expect_code("CAPACITY_REACHED")
    end = view.socket("gymnasium.beyond.binary").end
    expect(end is not None and end.code == 1000, f"after a refusal the connection ended with {_end(end)}, not 1000")


def _error(reply: Reply) -> tuple[Any, Any]:
    """An error's code, and the types and places of its entries, which are arrays."""
    reply.expect_type("error")
    errors = reply.data.get("errors")
    if errors is None and reply.code != "VALIDATION_ERROR":
        return reply.code, None
    if not isinstance(errors, list) or not errors:
        raise Broken(f"`errors` is no array with entries: {short(reply.raw)}")
    return reply.code, [(it.get("type"), it.get("loc")) for it in errors]


def _refused(view: View, code: str, name: str, *labels: str) -> None:
    _applies(view)
    for label in view.one_by_one(labels):
        view.ask(name, label).expect_code(code)
        view.ask(name, f"{label}.state").expect_type("state")


def _replies(view: View) -> Iterator[Reply]:
    """The messages of the sessions with the subprotocol, one by one."""
    _applies(view)
    found = False
    for reply in view.one_by_one(binary_replies(view)):
        if reply.event.size == len(reply.event.payload):
            found = True
            yield reply
    if not found:
        raise Missing(f"no message was received in a session with {MSGPACK_V1}")


def _maps(view: View) -> Iterator[Reply]:
    """Those that are what they must be."""
    for reply in _replies(view):
        try:
            if reply.is_packed and isinstance(reply.frame, dict):
                yield reply
        except Broken:
            continue


def _applies(view: View) -> None:
    if not is_selected(view):
        raise NotApplicable(NO_BINARY)


def _arrays(value: Any) -> list[Any]:
    return [it for it in walk(value) if holds_array(it)]


def _offered(socket: Socket) -> list[str]:
    values = [value for name, value in socket.request if name.lower() == "sec-websocket-protocol"]
    return [it.strip() for value in values for it in value.split(",")]


def _text(event: Event) -> str:
    return event.payload.decode(errors="replace")


def _end(end: Event | None) -> str:
    if end is None:
        return "nothing (it is still open)"
    return f"code {end.code}" if end.kind == "close" else (end.text or "no close frame")
