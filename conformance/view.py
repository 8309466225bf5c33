"""What a check sees of the evidence. It remembers what the check looked at, so that a report can show exactly that."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from conformance.evidence import Event, Evidence, Exchange, Socket
from conformance.recorder import parsed
from conformance.values import MSGPACK_V1, unpack

FEW = 9
"""Places that are kept of many that are all right."""


class Broken(Exception):
    """The requirement is not met; the text says what was seen instead."""


class Missing(Broken):
    """What the requirement rests on did not happen, so it cannot be met."""


class NotApplicable(Exception):
    """The server declares that it does not offer what the requirement is about."""


class Untested(Exception):
    """The run was not given what the requirement needs; the text says what to give."""


@dataclass(frozen=True, slots=True)
class Place:
    """A conversation, and the index of an event in it where one matters."""

    conversation: str
    event: int | None = None


def expect(condition: object, message: str) -> None:
    """Raise `Broken` unless the condition holds."""
    if not condition:
        raise Broken(message)


def short(value: Any, limit: int = 120) -> str:
    """A value as a reader sees it in a message."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


@dataclass(slots=True, weakref_slot=True)
class Reply:
    """A data message of the server."""

    socket: Socket
    index: int
    event: Event

    @property
    def raw(self) -> str:
        """The text, or the value of a packed message. Raises `Broken` where it is not UTF-8."""
        if self.is_packed:
            return repr(self.frame)
        try:
            return self.event.payload.decode()
        except UnicodeDecodeError as exc:
            raise Broken(f"a message is not valid UTF-8: {exc}") from None

    @property
    def frame(self) -> Any:
        """The parsed JSON or MessagePack. Raises `Broken` where it is none."""
        if self.event.size > len(self.event.payload):
            raise Broken(f"a message of {self.event.size} bytes is too long to be judged")
        if self.is_packed:
            if self.event.parsed is None:
                self.event.parsed = self._unpacked()
            return self.event.parsed
        if self.event.parsed is None:
            try:
                self.event.parsed = json.loads(self.raw)
            except (ValueError, RecursionError) as exc:
                raise Broken(f"a message is not JSON ({exc}): {short(self.raw)}") from None
        return self.event.parsed

    @property
    def is_packed(self) -> bool:
        """Whether it is a binary message of a session that speaks MessagePack."""
        return self.event.opcode == "binary" and self.socket.subprotocol == MSGPACK_V1

    def _unpacked(self) -> Any:
        try:
            return unpack(self.event.payload)
        except ValueError as exc:
            text = self.event.payload.hex(" ")
            raise Broken(f"a binary message is not MessagePack ({exc}): {short(text)}") from None

    @property
    def type(self) -> Any:
        """The frame's `type`, None where there is none."""
        frame = self.frame
        return frame.get("type") if isinstance(frame, dict) else None

    @property
    def data(self) -> dict[str, Any]:
        """The frame's `data`. Raises `Broken` where it is no object."""
        frame = self.frame
        data = frame.get("data") if isinstance(frame, dict) else None
        if not isinstance(data, dict):
            raise Broken(f"a reply has no object `data`: {short(self.raw)}")
        return data

    @property
    def code(self) -> Any:
        """The error code, None where it is no error."""
        return self.data.get("code") if self.type == "error" else None

    @property
    def observation(self) -> dict[str, Any]:
        """The object `observation`. Raises `Broken` where it is no observation frame."""
        self.expect_type("observation")
        observation = self.data.get("observation")
        if not isinstance(observation, dict):
            raise Broken(f"`observation` is no object: {short(self.raw)}")
        return observation

    def expect_type(self, type: str) -> None:
        """Raise `Broken` unless the frame has this type."""
        expect(self.type == type, f"expected a frame of type {type}, got {short(self.raw)}")

    def expect_code(self, *codes: str) -> None:
        """Raise `Broken` unless the frame is an error with one of these codes."""
        expect(self.code in codes, f"expected an error {' or '.join(codes)}, got {short(self.raw)}")


@dataclass(slots=True, weakref_slot=True)
class View:
    """Evidence through the eyes of one check.

    Attributes:
        evidence: All of it.
        trail: What the check looked at, in order.
    """

    evidence: Evidence
    trail: list[Place] = field(default_factory=list)

    def look(self, conversation: str, event: int | None = None) -> None:
        """Remember a place."""
        self.trail.append(Place(conversation, event))

    # Facts

    def fact(self, name: str) -> Any:
        """A fact of the run, None where it is not known."""
        return self.evidence.facts.get(name)

    def given(self, role: str, why: str) -> Any:
        """An action or argument that the run was given in a role. Raises `Untested` with how to give one."""
        value = (self.fact("inputs") or {}).get(role)
        if not value:
            raise Untested(f'{why}; give one as "{role}" in --actions FILE')
        return value

    # WebSocket

    def socket(self, name: str) -> Socket:
        """A connection that was opened. Raises `Missing`."""
        socket = self.any_socket(name)
        if not socket.is_open:
            raise Missing(f"the connection `{name}` was not opened: {_why(socket)}")
        return socket

    def any_socket(self, name: str) -> Socket:
        """A connection, opened or refused. Raises `Missing` where none was tried."""
        socket = self.evidence.conversations.get(name)
        if not isinstance(socket, Socket):
            raise Missing(f"nothing was recorded as `{name}`: {self.fact('stopped') or 'the run did not get there'}")
        self.look(name)
        return socket

    def ask(self, name: str, label: str) -> Reply:
        """The reply to a request. Raises `Missing` where the request was not sent or not answered."""
        reply = self.answer(name, label)
        if reply is None:
            socket = self.socket(name)
            raise Missing(f"`{label}` was not answered: {_how_it_ended(socket)}")
        return reply

    def answer(self, name: str, label: str) -> Reply | None:
        """The reply to a request, or None where there is none. Raises `Missing` where it was not sent."""
        socket = self.socket(name)
        sent = socket.find(label)
        if sent is None:
            why = self.fact("no_action") if self._needs_action(label) else None
            raise Missing(f"`{label}` could not be sent: {why or _how_it_ended(socket)}")
        self.look(name, sent)
        for index, event in enumerate(socket.events[sent + 1 :], sent + 1):
            if event.kind == "receive" and event.is_message:
                self.look(name, index)
                return Reply(socket, index, event)
            if event.kind in ("timeout", "close", "eof", "violation"):
                self.look(name, index)
                return None
        return None

    def _needs_action(self, label: str) -> bool:
        return "step" in label or "action" in label

    def replies(self, *types: str, path: str = "/ws") -> Iterator[Reply]:
        """Every data message of JSON sessions on a path, or those of some types alone.

        The frames of types are parsed; those that are no JSON objects have no type.
        """
        for socket in self.json_sockets(path):
            for index, event in socket.received():
                if event.size > len(event.payload):  # too long to be kept whole; its size is judged elsewhere
                    continue
                reply = Reply(socket, index, event)
                if types and _type(reply) not in types:
                    continue
                self.look(socket.name, index)
                yield reply

    def json_sockets(self, path: str = "/ws") -> Iterator[Socket]:
        """The opened connections without a subprotocol on a path."""
        for socket in self.evidence.sockets():
            if socket.is_open and socket.subprotocol is None and socket.path.partition("?")[0].endswith(path):
                yield socket

    def some_replies(self, *types: str, path: str = "/ws") -> list[Reply]:
        """As `replies`, at least one. Raises `Missing` where there is none."""
        replies = list(self.replies(*types, path=path))
        if not replies:
            raise self._nothing(*types)
        return replies

    def _nothing(self, *types: str) -> Missing:
        what = " or ".join(types) or "message"
        return Missing(f"no {what} was received: {self.fact('stopped') or 'see the rest'}")

    # Many at a time

    def one_by_one[T](self, things: Iterable[T]) -> Iterator[T]:
        """The things in turn. A check that fails at one has what it looked at for that one alone as its trail."""
        kept = list(self.trail)
        self.trail.clear()
        for thing in things:
            yield thing
            kept += self.trail[: FEW - len(kept)]
            self.trail.clear()
        self.trail[:] = kept[:FEW]

    def each(self, *types: str, path: str = "/ws") -> Iterator[Reply]:
        """As `replies`, one by one, at least one. Raises `Missing` where there is none."""
        replies = self.one_by_one(self.replies(*types, path=path))
        first = next(replies, None)
        if first is None:
            raise self._nothing(*types)
        yield first
        yield from replies

    def asked(self, name: str, *labels: str) -> Iterator[tuple[str, Reply]]:
        """The labels of requests and the replies to them, one by one. Raises `Missing` as `ask`."""
        return self.one_by_one((label, self.ask(name, label)) for label in labels)

    def pairs(self, *types: str, path: str = "/ws") -> Iterator[tuple[dict[str, Any], Reply]]:
        """The frames of some types that were sent while no other was open, and the message that came next, one by one.

        Only those are certain to belong together when a server answers too often or not at all.
        """
        return self.one_by_one(pair for socket in self.json_sockets(path) for pair in self._pairs(socket, types))

    def _pairs(self, socket: Socket, types: tuple[str, ...]) -> Iterator[tuple[dict[str, Any], Reply]]:
        sent: int | None = None
        waiting = 0
        for index, event in enumerate(socket.events):
            if event.kind == "send" and event.is_message:
                waiting += 1
                sent = index if waiting == 1 else None
            elif event.kind == "receive" and event.is_message:
                is_whole = event.size == len(event.payload)
                request = _request(socket.events[sent]) if sent is not None and is_whole else None
                if sent is not None and request is not None and request.get("type") in types:
                    self.look(socket.name, sent)
                    self.look(socket.name, index)
                    yield request, Reply(socket, index, event)
                sent, waiting = None, max(waiting - 1, 0)

    # HTTP

    def exchange(self, name: str) -> Exchange:
        """An HTTP request that was answered. Raises `Missing`."""
        exchange = self.evidence.conversations.get(name)
        if not isinstance(exchange, Exchange):
            raise Missing(f"nothing was recorded as `{name}`: {self.fact('stopped') or 'the run did not get there'}")
        self.look(name)
        if not exchange.status:
            raise Missing(f"{exchange.method} {exchange.path} was not answered: {exchange.error}")
        return exchange

    def body(self, name: str, status: int = 200) -> Any:
        """The JSON of a response of a status. Raises `Broken` where it is another or no JSON."""
        exchange = self.exchange(name)
        expect(
            exchange.status == status,
            f"{exchange.method} {exchange.path} is answered {exchange.status}, expected {status}: "
            f"{short(exchange.body.decode(errors='replace'))}",
        )
        try:
            return exchange.json
        except (ValueError, RecursionError) as exc:
            raise Broken(f"{exchange.method} {exchange.path} is answered without JSON ({exc})") from None

    @property
    def schema(self) -> dict[str, Any]:
        """The body of `GET /schema`. Raises `Broken` or `Missing`."""
        body = self.body("http.schema")
        expect(isinstance(body, dict), "GET /schema is no object")
        return dict(body)


def _request(event: Event) -> dict[str, Any] | None:
    """A frame of ours; None where it is none, or was sent as a binary message."""
    frame = parsed(event.payload) if event.opcode == "text" else None
    return frame if isinstance(frame, dict) else None


def _type(reply: Reply) -> Any:
    try:
        return reply.type
    except Broken:
        return None


def _why(socket: Socket) -> str:
    return socket.error or (f"HTTP {socket.status}" if socket.status else "no answer")


def _how_it_ended(socket: Socket) -> str:
    end = socket.end
    last = next((event for event in reversed(socket.events) if event.kind == "receive" and event.is_message), None)
    words = f", after {short(last.payload.decode(errors='replace'))}" if last and end else ""
    if end is None:
        waited = next((event.seconds for event in reversed(socket.events) if event.kind == "timeout"), None)
        return f"nothing came in {waited:g} s" if waited is not None else "the scenario ended before"
    if end.kind == "close":
        return f"the server closed with {end.code} {end.text!r}{words}"
    return f"the connection broke ({end.text or 'no close frame'}){words}"
