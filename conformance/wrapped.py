"""What a server of a wrapped Gymnasium environment showed, decoded from evidence. It judges nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from conformance.evidence import Socket
from conformance.spaces import Space, decode
from conformance.values import MSGPACK_V1, Array, same
from conformance.values import number as plain_number
from conformance.view import Broken, NotApplicable, Reply, View

FIELDS = ("obs", "terminated", "truncated", "info")
Shown = dict[str, Any]
"""`obs`, `reward`, `done`, `terminated`, `truncated`, and `info/KEY` for each key of `info`."""
WRONG = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""What decoding raises where a value, a type or a space has none of the forms."""
NO_BINARY = f"the server does not select {MSGPACK_V1}"
NOTHING: Any = object()


def document(view: View) -> dict[str, Any]:
    """The body of `GET /gymnasium`. Raises `NotApplicable` where the server wraps no Gymnasium environment."""
    exchange = view.exchange("http.gymnasium")
    if exchange.status == 404:
        raise NotApplicable("GET /gymnasium is answered 404: the server wraps no Gymnasium environment")
    if not is_wrapped(view):
        raise NotApplicable("neither GET /gymnasium nor an observation speaks of a Gymnasium environment")
    body = view.body("http.gymnasium")
    if not isinstance(body, dict):
        raise Broken("GET /gymnasium is no object")
    return body


def is_wrapped(view: View) -> bool:
    """Whether a server means to wrap a Gymnasium environment: its description or its observations speak of one."""
    try:
        body = view.exchange("http.gymnasium").json
    except (ValueError, RecursionError):
        body = None
    if isinstance(body, dict) and body.keys() & {"format", "observation_space", "action_space"}:
        return True
    reply = next(iter(view.replies("observation")), None)
    shown = reply.data.get("observation") if reply is not None else None
    # Environments of language models tell terminated and truncated apart too.
    return isinstance(shown, dict) and "obs" in shown and bool(shown.keys() & {"terminated", "truncated"})


def space(view: View, key: str) -> Space:
    """One of the published spaces. Raises `Broken` where it is none."""
    found = document(view).get(key)
    if not isinstance(found, Mapping) or not isinstance(found.get("type"), str):
        raise Broken(f"`{key}` of /gymnasium is no space")
    return found


def is_selected(view: View) -> bool:
    """Whether the server selects the subprotocol when it is offered."""
    return view.socket("gymnasium.offered").subprotocol == MSGPACK_V1


def binary_sockets(view: View) -> Iterator[Socket]:
    """The connections with the subprotocol."""
    for socket in view.evidence.sockets():
        if socket.is_open and socket.subprotocol == MSGPACK_V1:
            yield socket


def binary_replies(view: View, *types: str) -> Iterator[Reply]:
    """The data messages of the connections with the subprotocol, or, of those that can be read, of some types."""
    for socket in binary_sockets(view):
        for index, event in socket.received():
            reply = Reply(socket, index, event)
            if not types or (event.size == len(event.payload) and _type(reply) in types):
                view.look(socket.name, index)
                yield reply


def observations(view: View) -> Iterator[Reply]:
    """Every observation reply, in JSON and in MessagePack, one by one. Raises `Missing` where there is none."""
    yield from view.each("observation")
    yield from view.one_by_one(binary_replies(view, "observation"))


def shown(view: View, reply: Reply) -> Shown:
    """The values of an observation reply. Raises one of `WRONG` where they do not decode."""
    data, observation = reply.data, reply.observation
    spaces = {} if reply.is_packed else {"obs": space(view, "observation_space")}
    if reply.event.shown is None:
        reply.event.shown = _shown(reply, data, observation, spaces)
    return dict(reply.event.shown)


def _shown(reply: Reply, data: dict[str, Any], observation: dict[str, Any], spaces: Mapping[str, Space]) -> Shown:
    types = observation.get("types", {})
    if reply.is_packed:
        values = {key: observation[key] for key in FIELDS if key in observation}
    else:
        given = [key for key in FIELDS if key in observation]  # GYM-8 says where one is missing
        values = {key: decode(observation[key], spaces.get(key), types, f"/{key}") for key in given}
    info = values.pop("info", {})
    if not isinstance(info, dict):
        raise TypeError(f"`info` is {info!r:.60}, no object")
    reward = NOTHING if "/reward" in types and data["reward"] is None else plain_number(data["reward"])
    return {**values, "reward": reward, "done": data["done"], **{f"info/{key}": item for key, item in info.items()}}


def sequence(view: View, name: str, label: str) -> list[Shown]:
    """What an episode showed, from the reset on, as far as it was answered with observations that decode."""
    socket = view.socket(name)
    labels = [event.label for event in socket.events if event.kind == "send" and event.label.startswith(f"{label}.")]
    found: list[Shown] = []
    kept = list(view.trail)
    for it in (it for it in labels if it == f"{label}.reset" or it.startswith(f"{label}.step.")):
        reply = view.answer(name, it)
        try:
            if reply is None or reply.type != "observation":
                break
            found.append(shown(view, reply))
        except (Broken, *WRONG):
            break
    view.trail[:] = [*kept, *view.trail[len(kept) :][-2:]]
    return found


def whole(view: View, index: int) -> tuple[list[Shown], list[Shown]]:
    """A whole episode of a session whose action is always the same, and what came after the next reset."""
    name = f"gymnasium.single.{index}"
    return sequence(view, name, "whole"), sequence(view, name, "again")


def is_repeatable(view: View) -> bool:
    """Whether two sessions with the same seed and the same actions showed the same."""
    spec = document(view).get("spec")
    if isinstance(spec, dict) and spec.get("nondeterministic") is True:
        return False
    first, second = (sequence(view, name, "seeded") for name in ("gymnasium.first", "gymnasium.second"))
    return 0 < len(first) == len(second) and all(
        same(one["obs"], other["obs"]) for one, other in zip(first, second, strict=True)
    )


def goes_on(view: View) -> bool:
    """Whether two sessions with the same seed showed the same after a reset without one."""
    first, second = (sequence(view, name, "next") for name in ("gymnasium.first", "gymnasium.second"))
    return len(first) == len(second) and all(
        same(one["obs"], other["obs"]) for one, other in zip(first, second, strict=True)
    )


def compared(view: View) -> Iterator[dict[str, tuple[Any, Any]]]:
    """Observations: what two JSON sessions showed alike, by field, and what it is in a binary session; one by one."""
    yield from view.one_by_one(_compared(view))


def _compared(view: View) -> Iterator[dict[str, tuple[Any, Any]]]:
    labels = [label for label, shows in (("seeded", is_repeatable), ("next", goes_on)) if shows(view)]
    for label in labels:
        first, second, binary = (sequence(view, f"gymnasium.{name}", label) for name in ("first", "second", "binary"))
        for number, (one, other, packed) in enumerate(zip(first, second, binary, strict=False)):
            at = f"{label}.step.{number - 1}" if number else f"{label}.reset"
            for name in ("gymnasium.first", "gymnasium.binary"):
                view.ask(name, at)
            alike = {key for key, value in one.items() if same(value, other.get(key, NOTHING))}
            yield {key: (one[key], packed.get(key, NOTHING)) for key in alike if one[key] is not NOTHING}


def holds_array(value: Any) -> bool:
    """Whether a value is an array."""
    return isinstance(value, Array) and not value.scalar


def is_finite(value: Any) -> bool:
    """Whether a value is a finite number."""
    return isinstance(value, int | float) and math.isfinite(value)


def _type(reply: Reply) -> Any:
    try:
        return reply.type
    except Broken:
        return None
