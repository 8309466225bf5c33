"""Section 5.3 of the specification: errors that refuse or end the session."""

from __future__ import annotations

import re
from collections.abc import Iterator

from conformance.checks import check
from conformance.checks.errors import ENDING, LIVING
from conformance.evidence import Exchange, Socket
from conformance.probe import MOST_SESSIONS
from conformance.recorder import parsed
from conformance.view import Broken, Missing, NotApplicable, Reply, Untested, View, expect, short

CAUSE = re.compile(r"Traceback|\n|File \"|\b[A-Za-z]+(Error|Exception)\b")
"""What the text of an exception looks like."""
TRIED = re.compile(r"(capacity\.\d+|errors\.(unknown_id\.\w+|taken\.second))")
"""Conversations that a server refuses, or may."""


@check("ERR-27")
def one_error_and_close(view: View) -> None:
    refused = [socket for socket in view.json_sockets() if _is_refused(socket)]
    if not refused:
        raise Untested("no session was refused")
    for socket in view.one_by_one(refused):
        view.look(socket.name)
        errors = [reply for reply in _messages(socket) if reply.type == "error"]
        what = ", then ".join(short(reply.raw) for reply in errors) or "no message"
        expect(len(errors) == 1, f"a session is refused with {what}; expected is one error frame")
        expect(_is_closed(socket), f"a session is refused with {what}, and then not closed by a close frame")


@check("ERR-28")
def full(view: View) -> None:
    number = max(int(it.name[9:]) for it in view.evidence.sockets() if re.fullmatch(r"capacity\.\d+", it.name))
    socket = view.any_socket(f"capacity.{number}")
    first = _first(socket)
    if socket.is_open and (number == 0 or not _is_refused(socket) or (first and first.code == "FACTORY_ERROR")):
        raise Untested(f"no session was refused for capacity: {_why_not_full(view)}")
    how = short(first.raw) if first else "no message" if socket.is_open else f"status {socket.status}"
    good = first is not None and first.code == "CAPACITY_REACHED"
    expect(good, f"a session beyond the {number} that are open is refused with {how}, not CAPACITY_REACHED")


@check("ERR-29")
def numbers(view: View) -> None:
    for reply in _with_code(view, "CAPACITY_REACHED", _why_not_full(view)):
        for key in ("active_sessions", "max_sessions"):
            value = reply.data.get(key)
            good = isinstance(value, int) and not isinstance(value, bool)
            expect(good, f"CAPACITY_REACHED has no integer `{key}`: {short(reply.raw, 240)}")


@check("ERR-30")
def cannot_be_built(view: View) -> None:
    # Where nothing else is open, a session can only be refused because its environment cannot be built.
    socket = view.any_socket("capacity.0")
    first = _first(socket)
    if socket.is_open and _is_refused(socket) and (first is None or first.code != "CAPACITY_REACHED"):
        what = short(first.raw) if first else "no message"
        good = first is not None and first.code == "FACTORY_ERROR"
        expect(good, f"the first session is refused with {what}, not FACTORY_ERROR")
    for _ in _factory_errors(view):
        return


@check("ERR-31")
def factory_name(view: View) -> None:
    for reply in _factory_errors(view):
        good = isinstance(reply.data.get("factory_name"), str)
        expect(good, f"FACTORY_ERROR has no string `factory_name`: {short(reply.raw, 240)}")


@check("ERR-32")
def no_cause(view: View) -> None:
    for reply in _factory_errors(view):
        message = str(reply.data.get("message"))
        expect(not CAUSE.search(message), f"the message of FACTORY_ERROR tells the cause: {short(message)}")


@check("ERR-33")
def unknown_session(view: View) -> None:
    for name in ("errors.unknown_id.uuid", "errors.unknown_id.word"):
        _expect_session_error(view, name, "an unknown session_id is answered")


@check("ERR-34")
def second_socket(view: View) -> None:
    exchange = view.exchange("errors.create")
    if _has_no_sessions(exchange):
        raise NotApplicable("the server has no `openenv/session/create` on `POST /mcp`")
    view.ask("errors.taken.first", "state").expect_type("state")
    _expect_session_error(view, "errors.taken.second", "a second socket for one session is answered")


@check("ERR-35")
def last_words(view: View) -> str | None:
    view.given("exits", "no action is known on which the environment ends its process")
    socket = view.socket("errors.exits")
    if socket.find("exits") is None:
        raise Missing("the action on which the environment ends could not be sent")
    said = [reply for reply in _messages(socket) if reply.index > (socket.find("exits") or 0)]
    for reply in said:
        view.look(socket.name, reply.index)
    if socket.end is None:
        return "the session went on"
    words = ", then ".join(short(reply.raw) for reply in said) or "not a word"
    good = any(reply.code == "SESSION_ERROR" for reply in said)
    expect(good, f"the environment ended, and the server said {words} before it closed; expected is SESSION_ERROR")
    return None


@check("ERR-36")
def nothing_after(view: View) -> None:
    ended = [reply for reply in view.replies("error") if reply.code in ENDING]
    view.trail.clear()
    if not ended:
        raise Untested("no session was refused or ended by the server")
    for error in view.one_by_one(ended):
        for reply in _messages(error.socket, error.index + 1):
            view.look(error.socket.name, error.index)
            view.look(error.socket.name, reply.index)
            expect(reply.code in ENDING, f"after {error.code} a frame is still answered: {short(reply.raw)}")
    second = view.evidence.conversations.get("errors.taken.second")
    if isinstance(second, Socket) and _is_refused(second):
        before = view.ask("errors.taken.first", "state").data.get("episode_id")
        after = view.ask("errors.taken.first", "state after the second socket").data.get("episode_id")
        expect(
            before == after, f"a reset on the refused second socket changed the episode from {before!r} to {after!r}"
        )


def _messages(socket: Socket, start: int = 0) -> list[Reply]:
    return [Reply(socket, index, event) for index, event in socket.received(start)]


def _first(socket: Socket) -> Reply | None:
    return next(iter(_messages(socket)), None)


def _is_refused(socket: Socket) -> bool:
    """Whether the first message is an error that ends the session, or there is none before the server ends it."""
    first = _first(socket)
    if first is None:
        return bool(TRIED.fullmatch(socket.name)) and socket.end is not None and socket.end.kind != "violation"
    frame = parsed(first.event.payload)
    data = frame.get("data") if isinstance(frame, dict) and frame.get("type") == "error" else None
    if not isinstance(data, dict):
        return False
    return data.get("code") not in LIVING or (bool(TRIED.fullmatch(socket.name)) and _is_closed(socket))


def _is_closed(socket: Socket) -> bool:
    """Whether the server closes first: where it does not in time, its close frame only answers ours."""
    end = socket.end
    return end is not None and end.kind == "close" and all(event.kind != "timeout" for event in socket.events)


def _with_code(view: View, code: str, why: str) -> Iterator[Reply]:
    found = [reply for reply in view.replies("error") if reply.code == code]
    view.trail.clear()
    if not found:
        raise Untested(f"no {code} was received: {why}")
    for reply in view.one_by_one(found):
        view.look(reply.socket.name, reply.index)
        yield reply


def _why_not_full(view: View) -> str:
    return view.fact("stopped") or f"the server allows more than {MOST_SESSIONS} at a time"


def _factory_errors(view: View) -> Iterator[Reply]:
    why = "the environment could be built; run the suite once against a server whose environment cannot"
    return _with_code(view, "FACTORY_ERROR", why)


def _expect_session_error(view: View, name: str, what: str) -> None:
    socket = view.socket(name)
    first = _first(socket)
    if first is None:
        raise Broken(f"{what} with no message")
    view.look(name, first.index)
    expect(first.code == "SESSION_ERROR", f"{what} with {short(first.raw)}, not SESSION_ERROR")


def _has_no_sessions(exchange: Exchange) -> bool:
    """Whether the server says that it makes no sessions over HTTP."""
    response = parsed(exchange.body)
    error = response.get("error") if isinstance(response, dict) else None
    return exchange.status == 404 or (isinstance(error, dict) and error.get("code") == -32601)
