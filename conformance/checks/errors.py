"""Sections 5.1 and 5.2 of the specification: the shape of errors, and those after which the session lives."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import pairwise

from conformance.checks import check
from conformance.scenarios.errors import NO_JSON, NO_OBJECT, NO_TYPE
from conformance.view import Missing, Reply, View, expect, short

LIVING = ("INVALID_JSON", "UNKNOWN_TYPE", "VALIDATION_ERROR", "EXECUTION_ERROR")
ENDING = ("CAPACITY_REACHED", "FACTORY_ERROR", "SESSION_ERROR")
REFUSING = LIVING[:3]
FRAMES = ("reset", "step", "state", "close", "mcp")
RAN = re.compile(r"\b(ran|run|advanced|moved|executed|performed|applied|happened|stepped)\b")
"""Words that say that a step was not in vain."""


@check("ERR-1")
def shape(view: View) -> None:
    for reply in view.each("error"):
        for key in ("message", "code"):
            expect(isinstance(reply.data.get(key), str), f"an error has no string `{key}`: {short(reply.raw)}")


@check("ERR-2")
def codes(view: View) -> None:
    for reply in view.each("error"):
        expect(reply.code in LIVING + ENDING, f"there is no code {short(reply.code)}: {short(reply.raw)}")


@check("ERR-5")
def no_json(view: View) -> None:
    for label, reply in view.asked("errors.no_json", *(f"no JSON {number}" for number in range(len(NO_JSON)))):
        text = NO_JSON[int(label.rpartition(" ")[2])]
        expect(reply.code == "INVALID_JSON", f"{text!r} is answered {short(reply.raw)}, not INVALID_JSON")


@check("ERR-6")
def no_json_message(view: View) -> None:
    _begins(view, "INVALID_JSON", "Invalid JSON: ")


@check("ERR-7")
def no_type(view: View) -> None:
    for label, reply in view.asked("errors.no_type", "hello", *(f"no type {n}" for n in range(len(NO_TYPE)))):
        frame = {"type": "hello"} if label == "hello" else NO_TYPE[int(label.rpartition(" ")[2])]
        expect(reply.code == "UNKNOWN_TYPE", f"{short(frame)} is answered {short(reply.raw)}, not UNKNOWN_TYPE")


@check("ERR-8")
def no_type_message(view: View) -> None:
    _begins(view, "UNKNOWN_TYPE", "Unknown message type: ")


@check("ERR-9")
def no_type_message_end(view: View) -> None:
    named = view.ask("errors.no_type", "hello").data["message"]
    expect(named.endswith("hello"), f"the message for the type hello does not end with it: {named!r}")
    missing = view.ask("errors.no_type", "no type 0").data["message"]
    expect(
        missing == named.removesuffix("hello"),
        f"the message without a type is {missing!r}, expected {named.removesuffix('hello')!r}",
    )


@check("ERR-18")
def environment_raises(view: View) -> None:
    view.given("raises", "no action is known on which the environment raises")
    view.ask("errors.raises", "raises").expect_code("EXECUTION_ERROR")


@check("ERR-19")
def session_lives(view: View) -> str | None:
    seen = set()
    inputs = view.fact("inputs") or {}
    for name in ("untouched", *(role for role in ("raises", "uncarryable") if role in inputs)):
        for _, reply, state in _aftermaths(view, f"errors.{name}"):
            if reply.code in LIVING:
                seen.add(reply.code)
                expect(state.type == "state", f"a state frame after {reply.code} is answered {short(state.raw)}")
        view.ask(f"errors.{name}", "reset at last").expect_type("observation")
    unseen = [code for code in LIVING if code not in seen]
    return f"not seen: {', '.join(unseen)}" if unseen else None


@check("ERR-20")
def untouched(view: View) -> None:
    first, last = view.ask("errors.untouched", "state").data, view.ask("errors.untouched", "state again").data
    stable = [key for key in first if key in last and first[key] == last[key]]
    for label, reply, state in _aftermaths(view, "errors.untouched"):
        changed = {key: state.data.get(key) for key in stable if state.data.get(key) != last.get(key)}
        expect(
            reply.code not in REFUSING or not changed,
            f"{label} is refused with {reply.code}, yet the state changed: {short(changed)}",
        )
        last = state.data


@check("ERR-21")
def no_object(view: View) -> None:
    for number, value in enumerate(NO_OBJECT):
        name = f"errors.no_object.{number}"
        reply = view.ask(name, "value")
        expect(
            reply.code == "VALIDATION_ERROR",
            f"{json.dumps(value)} is answered {short(reply.raw)}, not VALIDATION_ERROR",
        )
        view.ask(name, "state").expect_type("state")


@check("ERR-22")
def binary(view: View) -> None:
    view.ask("errors.binary", "binary").expect_code("INVALID_JSON")
    view.ask("errors.binary", "state").expect_type("state")


@check("ERR-23")
def rejected(view: View) -> None:
    view.given("rejected", "no action is known that a validator of the environment rejects")
    view.ask("errors.rejected", "rejected").expect_code("VALIDATION_ERROR")
    view.ask("errors.rejected", "state after rejected").expect_type("state")


@check("ERR-25")
def uncarryable(view: View) -> None:
    _uncarryable(view).expect_code("EXECUTION_ERROR")


@check("ERR-26")
def uncarryable_message(view: View) -> None:
    reply = _uncarryable(view)
    message = str(reply.data.get("message"))
    fields = view.ask("errors.uncarryable", "reset").observation.keys()
    named = fields & set(re.findall(r"\w+", message))
    expect(named, f"the message names no field of the observation: {short(message)}")
    expect(RAN.search(message), f"the message does not say that the step ran: {short(message)}")


def _uncarryable(view: View) -> Reply:
    view.given("uncarryable", "no action is known whose observation cannot be encoded")
    return view.ask("errors.uncarryable", "uncarryable")


def _aftermaths(view: View, name: str) -> Iterator[tuple[str, Reply, Reply]]:
    """What was sent to be refused, the replies, and those to the state frames that came next; one by one."""
    socket = view.socket(name)
    labels = [event.label for event in socket.events if event.kind == "send"]
    asked = [label for label, after in pairwise(labels) if after == f"state after {label}"]
    return view.one_by_one((it, view.ask(name, it), view.ask(name, f"state after {it}")) for it in asked)


def _begins(view: View, code: str, words: str) -> None:
    found = False
    for reply in view.each("error"):
        if reply.code == code:
            found = True
            message = reply.data.get("message")
            expect(
                str(message).startswith(words), f"the message of {code} is {message!r}; it begins not with {words!r}"
            )
    if not found:
        raise Missing(f"no {code} was received")
