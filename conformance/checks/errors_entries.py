"""Section 5.2 of the specification: what `VALIDATION_ERROR` says about the frame or the action."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from conformance.actions import Invalid, invalid, resolve
from conformance.checks import check
from conformance.view import Missing, Reply, Untested, View, expect, short

KINDS = ("reset", "step", "state", "close", "mcp")
EXTRA = (
    ("frames.extra", "state with id", "id"),
    ("frames.extra", "reset with seed", "seed"),
    ("frames.extra", "step with timeout_s", "timeout_s"),
    ("frames.extra", "mcp with id", "id"),
    ("frames.close_extra", "close with reason", "reason"),
    ("frames.state_data", "state with data {}", "data"),
)
"""Frames with an additional key, by conversation and label."""
MISSING = (
    ("frames.no_data", "step without data", "data"),
    ("frames.no_data", "mcp without data", "data"),
)
"""Frames without a key that they need."""


@check("ERR-10")
def unfit_actions(view: View) -> None:
    name = "errors.actions"
    events = [it for it in view.socket(name).events if it.kind == "send" and it.label.startswith("unfit")]
    if not events:
        if view.fact("no_action"):
            raise Missing(f"no action could be sent: {view.fact('no_action')}")
        raise Untested('the action schema refuses nothing that is known; give actions as "invalid" in --actions FILE')
    sent = {event.label: event.payload.decode() for event in events}
    for label, reply in view.asked(name, *sent):
        expect(
            reply.code == "VALIDATION_ERROR",
            f"{short(sent[label])}, whose action does not fit the schema, is answered {short(reply.raw)}",
        )


@check("ERR-11")
def constant_message(view: View) -> None:
    for _, reply in view.pairs(*KINDS):
        if reply.code == "VALIDATION_ERROR":
            message = reply.data.get("message")
            expect(message == "Invalid message", f"the message of VALIDATION_ERROR is {short(message)}")


@check("ERR-12")
def entries(view: View) -> None:
    for reply in _refusals(view):
        errors = reply.data.get("errors")
        expect(isinstance(errors, list) and errors, f"VALIDATION_ERROR has no entries in `errors`: {short(reply.raw)}")


@check("ERR-13")
def form_of_entries(view: View) -> None:
    for reply in _refusals(view):
        for entry in _entries(reply):
            flaw = _flaw(entry)
            expect(flaw is None, f"an entry of `errors` {flaw}: {short(entry)}")


@check("ERR-14")
def places(view: View) -> None:
    for key, reply in _named(view, *EXTRA, *MISSING):
        found = [it["loc"] for it in _good(reply)]
        expect([key] in found, f"of the errors of a frame none has the loc {short([key])}, but {short(found)}")
    top = resolve(view.schema.get("action", {}), view.schema.get("action", {}))
    union = "anyOf" in top or "oneOf" in top  # whose members' names may stand before the key
    for it, reply in _derived(view):
        found = [entry["loc"] for entry in _good(reply)]
        good = any(loc[:1] == [it.key] or (union and it.key in loc and loc[0] != "data") for loc in found)
        expect(good, f"of the errors of the action {short(it.action)} none is at {it.key!r}, but {short(found)}")


@check("ERR-15")
def more_keys(view: View) -> str:
    more = {key for reply in _refusals(view) for entry in _good(reply) for key in entry.keys() & {"ctx", "url"}}
    return f"added: {', '.join(sorted(more))}" if more else "not added"


@check("ERR-16")
def additional_keys(view: View) -> None:
    _reported(view, "extra_forbidden", EXTRA, "extra")


@check("ERR-17")
def missing_keys(view: View) -> None:
    _reported(view, "missing", MISSING, "missing")


def _reported(view: View, type: str, frames: Sequence[tuple[str, str, str]], wrong: str) -> None:
    """Each key that is wrong has an entry of a type whose `loc` ends with it."""
    judged = 0
    keys = [*_named(view, *frames), *((it.key, reply) for it, reply in _derived(view) if it.wrong == wrong)]
    for key, reply in view.one_by_one(keys):
        view.look(reply.socket.name, reply.index)
        good = any(entry["type"] == type and entry["loc"][-1:] == [key] for entry in _good(reply))
        expect(good, f"no entry of type {type} has a loc that ends with {key!r}: {short(reply.raw, 300)}")
        judged += 1
    if not judged:
        raise Missing("no such frame was refused with VALIDATION_ERROR")


def _named(view: View, *frames: tuple[str, str, str]) -> Iterator[tuple[str, Reply]]:
    """The keys of frames that were refused for them, and the replies; that they are refused is judged elsewhere."""
    for name, label, key in frames:
        reply = view.answer(name, label)
        if reply is not None and reply.code == "VALIDATION_ERROR":
            yield key, reply


def _derived(view: View) -> Iterator[tuple[Invalid, Reply]]:
    """The unfit actions that were derived from the schema, and the replies that refuse them."""
    schema, actions = view.schema.get("action"), view.fact("actions")
    if isinstance(schema, dict) and actions:
        given = len((view.fact("inputs") or {}).get("invalid", ()))
        for number, it in enumerate(invalid(schema, actions[0]), given):
            reply = view.answer("errors.actions", f"unfit action {number}")
            if reply is not None and reply.code == "VALIDATION_ERROR":
                yield it, reply


def _refusals(view: View) -> Iterator[Reply]:
    return (reply for reply in view.each("error") if reply.code == "VALIDATION_ERROR")


def _entries(reply: Reply) -> list[Any]:
    errors = reply.data.get("errors")
    return errors if isinstance(errors, list) else []


def _good(reply: Reply) -> list[dict[str, Any]]:
    """The entries that can be judged: those with a type and a place."""
    found = [entry for entry in _entries(reply) if isinstance(entry, dict)]
    return [it for it in found if isinstance(it.get("type"), str) and isinstance(it.get("loc"), list)]


def _flaw(entry: Any) -> str | None:
    if not isinstance(entry, dict):
        return "is no object"
    for key, kind, name in (("type", str, "string"), ("loc", list, "array"), ("msg", str, "string")):
        if not isinstance(entry.get(key), kind):
            return f"has no {name} `{key}`"
    if "input" not in entry:
        return "has no `input`"
    steps = all(isinstance(it, (str, int)) and not isinstance(it, bool) for it in entry["loc"])
    return None if steps else "has a `loc` of something else than strings and integers"
