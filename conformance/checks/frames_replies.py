"""Section 4.2 of the specification: frames from server to client."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from conformance.checks import check
from conformance.view import Broken, Missing, Reply, View, expect, short

REQUIRED = {"observation", "reward", "done"}


@check("FRM-14")
def one_reply(view: View) -> None:
    name = "frames.one_reply"
    socket = view.socket(name)
    sent = [index for index, event in enumerate(socket.events) if event.kind == "send" and event.is_message]
    for start, stop in pairwise([*sent, len(socket.events)]):
        replies = [index for index, _ in socket.received(start) if index < stop]
        if len(replies) != 1:
            view.trail.clear()
            for index in (start, *replies):
                view.look(name, index)
            raise Broken(f"`{socket.events[start].label}` was answered with {len(replies)} messages, not one")
    view.ask(name, "step")


@check("FRM-15")
def no_reply_to_close(view: View) -> None:
    name = "frames.kinds"
    socket = view.socket(name)
    sent = socket.find("close")
    if sent is None:
        raise Missing("no `close` frame could be sent")
    view.look(name, sent)
    for index, event in socket.received(sent):
        view.look(name, index)
        raise Broken(f"a `close` frame was answered with {short(event.payload.decode(errors='replace'))}")


@check("FRM-16")
def observations(view: View) -> None:
    _answers(view, "observation", "reset", "step")


@check("FRM-17")
def states(view: View) -> None:
    _answers(view, "state", "state")


@check("FRM-18")
def mcp(view: View) -> None:
    labels = ("mcp", "mcp of an unknown method", "mcp of an unknown tool", "mcp of no request")
    for label, reply in view.asked("frames.kinds", *labels):
        expect(reply.type == "mcp", f"a frame `{label}` is answered with {short(reply.raw)}, not an mcp frame")


@check("FRM-19")
def two_keys(view: View) -> None:
    for reply in view.each():
        frame = _frame(reply)
        good = isinstance(frame, dict) and frame.keys() == {"type", "data"}
        expect(good, f"a reply is no object of exactly `type` and `data`: {short(reply.raw)}")


@check("FRM-20")
def data_is_an_object(view: View) -> None:
    for reply in view.each():
        frame = _frame(reply)
        if isinstance(frame, dict) and "data" in frame:
            expect(isinstance(frame["data"], dict), f"the `data` of a reply is no object: {short(reply.raw)}")


@check("FRM-21")
def observation_keys(view: View) -> None:
    for reply in view.each("observation"):
        missing, more = REQUIRED - reply.data.keys(), reply.data.keys() - REQUIRED - {"metadata"}
        expect(not missing, f"an observation reply has no {_names(missing)}: {short(reply.raw)}")
        expect(not more, f"an observation reply has {_names(more)} besides: {short(reply.raw)}")


@check("FRM-22")
def observation_is_an_object(view: View) -> None:
    for reply, observation in _values(view, "observation"):
        expect(isinstance(observation, dict), f"`observation` is {short(observation)}: {short(reply.raw)}")


@check("FRM-23")
def reward(view: View) -> None:
    for _, value in _values(view, "reward"):
        expect(value is None or isinstance(value, (bool, int, float)), f"`reward` is {short(value)}")


@check("FRM-24")
def done(view: View) -> None:
    for _, value in _values(view, "done"):
        expect(isinstance(value, bool), f"`done` is {short(value)}, not true or false")


@check("FRM-25")
def not_repeated(view: View) -> None:
    for reply, observation in _values(view, "observation"):
        again = {"reward", "done"} & (observation.keys() if isinstance(observation, dict) else set())
        expect(not again, f"{_names(again)} is repeated in `observation`: {short(reply.raw)}")


@check("FRM-26")
def inner_metadata(view: View) -> None:
    for reply, observation in _values(view, "observation"):
        if isinstance(observation, dict):
            expect("metadata" in observation, f"`observation` has no `metadata`: {short(reply.raw)}")
            metadata = observation["metadata"]
            expect(isinstance(metadata, dict), f"the `metadata` of `observation` is {short(metadata)}, no object")


@check("FRM-27")
def outer_metadata(view: View) -> str | None:
    full = False
    for reply, observation in _values(view, "observation"):
        if not isinstance(observation, dict):
            continue
        inner, outer = observation.get("metadata"), "metadata" in reply.data
        full |= bool(inner)
        expect(not outer or inner, f"`metadata` is beside `observation`, where it is empty: {short(reply.raw)}")
        expect(outer or not inner, f"`metadata` is in `observation` and not beside it: {short(reply.raw)}")
    return None if full else "no observation had metadata that is not empty"


@check("FRM-28")
def same_metadata(view: View) -> str | None:
    compared = False
    for reply, observation in _values(view, "observation"):
        if isinstance(observation, dict) and "metadata" in observation and "metadata" in reply.data:
            inner, outer = observation["metadata"], reply.data["metadata"]
            expect(inner == outer, f"`metadata` is {short(inner)} in `observation` and {short(outer)} beside it")
            compared = True
    return None if compared else "no reply had metadata twice"


def _answers(view: View, type: str, *kinds: str) -> None:
    """Every answer to requests of some types is of a type or an error, and there is one that is no error."""
    good = 0
    for request, reply in view.pairs(*kinds):
        if reply.type != "error":
            expect(reply.type == type, f"a {request['type']} frame is answered with {short(reply.raw)}, not a {type}")
            good += 1
    if not good:
        raise Missing(f"no {' or '.join(kinds)} frame was answered but with errors")


def _values(view: View, key: str) -> Iterator[tuple[Reply, Any]]:
    """The observation replies that have a key, and its value; that it is there is judged elsewhere."""
    for reply in view.each("observation"):
        if key in reply.data:
            yield reply, reply.data[key]


def _frame(reply: Reply) -> Any:
    """The parsed reply, None-like where it is no JSON: that it is some is judged by ENC-1 and ENC-2."""
    try:
        return reply.frame
    except Broken:
        return {"type": None, "data": {}}


def _names(keys: set[str]) -> str:
    return " and ".join(f"`{key}`" for key in sorted(keys))
