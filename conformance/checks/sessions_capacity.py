"""Section 6.3 of the specification: how many sessions a server admits, and when a place is free again."""

from __future__ import annotations

from conformance.checks import check
from conformance.evidence import Exchange, Socket
from conformance.probe import MOST_SESSIONS
from conformance.recorder import parsed
from conformance.scenarios.sessions import ENDINGS
from conformance.view import Missing, NotApplicable, Reply, Untested, View, expect, short

SOON = 2.0


@check("SES-12")
def one_capacity(view: View) -> None:
    capacity = _capacity(view)
    others = [name for name in ("sessions.doors.create", "sessions.doors.mcp") if _has_result(view, name)]
    if not others:
        raise NotApplicable("the server has sessions of `/ws` only")
    admitted = _admitted(view, "sessions.doors")
    expect(
        len(admitted) + len(others) <= capacity,
        f"the capacity is {capacity}; beside {len(others)} sessions through /mcp, {len(admitted)} of /ws were admitted",
    )


@check("SES-13")
def places_become_free(view: View) -> None:
    _capacity(view)
    for how in ENDINGS:
        name = f"sessions.places.{how}.next"
        reply = first_reply(view.socket(name))
        if reply is None:
            raise Missing(f"the connection `{name}` got no reply")
        first = view.evidence.conversations.get(f"{name}~1", reply.socket)
        waited = reply.event.at - first.at
        after = f"after a session of the full server ended by a {how.replace('_', ' ')}"
        expect(reply.type == "state", f"{after}, no new one was admitted in {waited:.1f} s: {short(reply.raw)}")
        expect(waited <= SOON, f"{after}, a new one was admitted {waited:.1f} s later, not within {SOON:g} s")


@check("SES-14")
def not_more(view: View) -> None:
    capacity = _capacity(view)
    admitted = _admitted(view, "capacity")
    refusal = first_reply(view.any_socket(f"capacity.{capacity}"))
    announced = refusal.data.get("max_sessions") if refusal is not None else None
    limit = announced if isinstance(announced, int) else capacity
    expect(len(admitted) <= limit, f"{len(admitted)} sessions were admitted; the refusal says that {limit} are allowed")
    rushed = _admitted(view, "sessions.rush")
    if not rushed:
        raise Missing(f"of {capacity + 3} sessions opened at once, none was admitted")
    expect(len(rushed) <= limit, f"of sessions opened at once, {len(rushed)} were admitted; {limit} are allowed")


def first_reply(socket: Socket) -> Reply | None:
    """The first message, which can be a refusal that came before anything was asked."""
    return next((Reply(socket, index, event) for index, event in socket.received()), None)


def _capacity(view: View) -> int:
    capacity = view.fact("capacity")
    if capacity is None:
        raise Untested(
            f"no session was refused: the server allows more than the {MOST_SESSIONS} that are opened at a time; "
            f"serve it with a limit of at most {MOST_SESSIONS}"
        )
    return int(capacity)


def _admitted(view: View, scenario: str) -> list[Socket]:
    """The sessions of a scenario, numbered, that answered their `state` with something other than a refusal."""
    found = []
    for socket in view.json_sockets():
        if socket.name.rpartition(".")[0] != scenario or not socket.name.rpartition(".")[2].isdigit():
            continue
        reply = first_reply(socket)
        if reply is not None and reply.code != "CAPACITY_REACHED":
            view.look(socket.name, reply.index)
            found.append(socket)
    return found


def _has_result(view: View, name: str) -> bool:
    """Whether a JSON-RPC request through another door opened a session."""
    conversation = view.evidence.conversations.get(name)
    if isinstance(conversation, Exchange):
        body = conversation.body
    elif isinstance(conversation, Socket) and conversation.is_open:
        body = next((event.payload for _, event in conversation.received()), b"")
    else:
        return False
    view.look(name)
    response = parsed(body)
    refused = isinstance(response, dict) and isinstance(response.get("error"), dict)
    # A method that is unknown on `WS /mcp` is answered in a session all the same; -32000 alone refuses one.
    if isinstance(conversation, Socket):
        return bool(body) and not (refused and response["error"].get("code") == -32000)
    return isinstance(response, dict) and isinstance(response.get("result"), dict)
