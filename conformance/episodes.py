"""Requests with their replies, and the episodes that they make, read from evidence. It judges nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from conformance.evidence import Socket
from conformance.recorder import parsed
from conformance.view import Broken, Reply, View

TOOL_ACTIONS = ("list_tools", "call_tool")


class Call(NamedTuple):
    """A request frame of ours, its index in the conversation, and its reply."""

    request: dict[str, Any]
    sent: int
    reply: Reply

    @property
    def kind(self) -> Any:
        """The request's `type`."""
        return self.request.get("type")

    @property
    def data(self) -> dict[str, Any]:
        """The request's `data`; empty where it has none."""
        data = self.request.get("data")
        return data if isinstance(data, dict) else {}

    @property
    def answered(self) -> Any:
        """The reply's `type`, None where it has none."""
        try:
            return self.reply.type
        except Broken:
            return None

    @property
    def uses_tools(self) -> bool:
        """Whether it is a step of section 10.5, whose observation is not the environment's own."""
        return self.kind == "step" and self.data.get("type") in TOOL_ACTIONS


def calls(socket: Socket) -> Iterator[Call]:
    """The requests of a conversation that were answered; the k-th message of the server answers our k-th."""
    waiting: list[tuple[int, bytes]] = []
    for index, event in enumerate(socket.events):
        if event.kind == "timeout":  # whatever comes now may be late
            return
        if not event.is_message:
            continue
        if event.kind == "send":
            waiting.append((index, event.payload))
        elif waiting:
            sent, payload = waiting.pop(0)
            request = parsed(payload)
            yield Call(request if isinstance(request, dict) else {}, sent, Reply(socket, index, event))


def all_calls(view: View, *kinds: str) -> Iterator[Call]:
    """The answered requests of some types in all sessions of `/ws`."""
    for socket in view.json_sockets():
        yield from (call for call in calls(socket) if call.kind in kinds)


@dataclass(slots=True)
class Episode:
    """A reset that was answered with an observation, and the steps and states until the next."""

    reset: Call
    steps: list[Call] = field(default_factory=list)
    states: list[Call] = field(default_factory=list)

    @property
    def shown(self) -> list[tuple[Any, Any, Any]]:
        """Observation, reward and done of the reset and of the steps. Raises `Broken` where a reply is no such."""
        return [_shown(call) for call in (self.reset, *self.steps)]


def episodes(view: View, name: str) -> list[Episode]:
    """The episodes of a conversation; steps that were answered with an error are no part of them. Raises `Missing`."""
    found: list[Episode] = []
    for call in calls(view.socket(name)):
        if call.kind == "reset" and call.answered == "observation":
            found.append(Episode(call))
        elif found and call.kind == "step" and call.answered == "observation":
            found[-1].steps.append(call)
        elif found and call.kind == "state" and call.answered == "state":
            found[-1].states.append(call)
    return found


def _shown(call: Call) -> tuple[Any, Any, Any]:
    data = call.reply.data
    return data.get("observation"), data.get("reward"), data.get("done")
