"""Section 6 of the specification: order, isolation, capacity, timeouts and the end of sessions."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from typing import Any

from conformance.probe import Probe
from conformance.recorder import Ended, WebSocket
from conformance.scenarios import scenario

STATE = {"type": "state"}
SEED = 7
PATTERN = "rssts" "tssts" "rtstt" "sssrs" "ttsts"  # fmt: skip
"""Resets, steps and states that are sent without waiting; a reply out of order has another type or count."""
WAITING = 16
ENDINGS = ("close_frame", "closing_handshake", "broken_connection")
MOST_IDLE = 15.0


@scenario("sessions.order")
def order(probe: Probe) -> None:
    """Frames in one go; the replies are read afterwards."""
    with probe.session("sessions.order") as session:
        session.ask(STATE, "state")
        frames = {"r": probe.reset(), "s": STATE, "t": probe.step() if probe.actions else STATE}
        for number, letter in enumerate(PATTERN):
            session.send(frames[letter], f"burst.{number}")
        _receive(session, len(PATTERN))


@scenario("sessions.apart", alone=True)
def apart(probe: Probe) -> None:
    """Two sessions at a time: the second comes and plays while the first is in the middle of an episode."""
    if probe.capacity == 1:
        return
    with ExitStack() as stack:
        one = stack.enter_context(probe.session("sessions.apart.a"))
        one.ask(probe.reset(seed=SEED, episode_id="conformance-apart-a"), "reset")
        one.ask(probe.step(0), "step.0")
        other = stack.enter_context(probe.session("sessions.apart.b"))
        other.ask(STATE, "fresh")
        other.ask(probe.reset(seed=SEED + 1, episode_id="conformance-apart-b"), "reset")
        for number in range(3):
            other.ask(probe.step(number), f"step.{number}")
        for number in (1, 2):
            one.ask(probe.step(number), f"step.{number}")
        one.ask(STATE, "state")
        other.ask(STATE, "state")


@scenario("sessions.ended", alone=True)
def ended(probe: Probe) -> None:
    """An episode whose session ends, and new connections that come after it."""
    own = None
    with probe.session("sessions.ended") as session:
        session.ask(probe.reset(episode_id="conformance-ended"), "reset")
        session.ask(STATE, "state.0")
        if probe.actions:
            session.ask(probe.step(), "step")
        session.ask(STATE, "state")
        own = _session_id(_data(session.ask({"type": "mcp", "data": _rpc("create")}, "id")))
        session.finish()
    with probe.session("sessions.ended.next") as session:
        session.ask(STATE, "state")
    if own is not None:
        with probe.connect("sessions.ended.by_id", f"/ws?session_id={own}") as socket:
            socket.ask(STATE, "state")


@scenario("sessions.kept", alone=True)
def kept(probe: Probe) -> None:
    """A session of `POST /mcp` whose socket closes, and another socket for it."""
    own = _create(probe, "sessions.kept.create")
    if own is None:
        return
    path = f"/ws?session_id={own}"
    with probe.connect("sessions.kept", path) as socket:
        socket.ask(probe.reset(episode_id="conformance-kept"), "reset")
        if probe.actions:
            socket.ask(probe.step(), "step")
        socket.ask(STATE, "state")
    with probe.session("sessions.kept.again", path, busy=_is_attached) as socket:
        socket.ask(STATE, "state")
    probe.http("sessions.kept.close", "POST", "/mcp", _rpc("close", session_id=own))


# Time


@scenario("sessions.slow", alone=True)
def slow(probe: Probe) -> None:
    """Two slow steps in a row, frames that wait behind them, and a ping behind all."""
    if probe.inputs.slow is None:
        return
    with probe.session("sessions.slow") as session:
        session.ask(probe.reset(), "reset")
        for number in range(2):
            session.send({"type": "step", "data": probe.inputs.slow}, f"slow.{number}")
        for number in range(1, WAITING):
            session.send(STATE, f"waiting.{number}")
        session.ping(b"behind sixteen", "ping")
        _receive(session, 1 + WAITING)


@scenario("sessions.busy", alone=True)
def busy(probe: Probe) -> None:
    """What another session and `/health` take while slow steps run, one in a session and one of `POST /step`."""
    if probe.inputs.slow is None:
        return
    with ExitStack() as stack, ThreadPoolExecutor(1) as pool:
        other = _beside(probe, "sessions.busy.other", stack)
        session = stack.enter_context(probe.session("sessions.busy"))
        session.ask(probe.reset(), "reset")
        if other is not None:
            _work(probe, other, "before")
        session.send({"type": "step", "data": probe.inputs.slow}, "slow")
        body = {"action": dict(probe.inputs.slow)}
        wait([pool.submit(probe.http, "sessions.busy.step", "POST", "/step", body)], probe.timing.quiet)
        probe.http("sessions.busy.health", "GET", "/health")
        if other is not None:
            _work(probe, other, "meanwhile")
        session.receive()


@scenario("sessions.failing", alone=True)
def failing(probe: Probe) -> None:
    """Another session and `/health` after an environment raised, and after one ended its process."""
    for role in ("raises", "exits"):
        action: Mapping[str, Any] | None = getattr(probe.inputs, role)
        if action is None:
            continue
        with ExitStack() as stack:
            other = _beside(probe, f"sessions.failing.{role}.other", stack)
            with probe.session(f"sessions.failing.{role}") as session:
                session.ask(probe.reset(), "reset")
                session.send({"type": "step", "data": action}, "action")
                session.receive()
            probe.http(f"sessions.failing.{role}.health", "GET", "/health")
            if other is not None:
                _work(probe, other, "after")
        with probe.session(f"sessions.failing.{role}.next") as session:
            session.ask(STATE, "state")


@scenario("sessions.idle")
def idle(probe: Probe) -> None:
    """A session that says nothing for longer than the server allows, and frames after its end."""
    limit = probe.inputs.idle_timeout
    if limit is None:
        return
    with probe.session("sessions.idle") as session:
        session.ask(probe.reset(), "reset")
        session.until_end(min(limit, MOST_IDLE) + probe.timing.settle)
        session.ask(STATE, "late.state")
        session.ask(probe.reset(), "late.reset")


@scenario("sessions.active")
def active(probe: Probe) -> None:
    """Sessions that are not idle: one asks for states only, one runs a slow step."""
    limit = min(probe.inputs.idle_timeout or 0.0, MOST_IDLE)
    if not limit:
        return
    with probe.session("sessions.active.state") as session:
        session.ask(probe.reset(), "reset")
        for number in range(6):
            session.until_end(limit * 0.4)
            session.ask(STATE, f"state.{number}")
    if probe.inputs.slow is None:
        return
    with probe.session("sessions.active.slow") as session:
        session.ask(probe.reset(), "reset")
        session.ask({"type": "step", "data": probe.inputs.slow}, "slow")
        session.until_end(limit * 0.4)
        session.ask(STATE, "state")


# Capacity


@scenario("sessions.places", alone=True)
def places(probe: Probe) -> None:
    """A full server, of which one session ends in each of three ways, and a new session."""
    if probe.capacity is None:
        return
    for how in ENDINGS:
        with ExitStack() as stack:
            leaving = stack.enter_context(probe.session(f"sessions.places.{how}"))
            leaving.ask(probe.reset(episode_id="conformance-leaving"), "reset")
            for number in range(1, probe.capacity):
                stack.enter_context(probe.session(f"sessions.places.{how}.{number}")).ask(STATE, "state")
            {"close_frame": leaving.finish, "closing_handshake": leaving.close, "broken_connection": leaving.abort}[
                how
            ]()
            stack.enter_context(probe.session(f"sessions.places.{how}.next")).ask(STATE, "state")


@scenario("sessions.rush", alone=True)
def rush(probe: Probe) -> None:
    """More sessions than there are places, all opened at once and held."""
    if probe.capacity is None:
        return
    names = [f"sessions.rush.{number}" for number in range(probe.capacity + 3)]
    with ExitStack() as stack, ThreadPoolExecutor(len(names)) as pool:
        for socket in pool.map(lambda name: _admitted(probe, name), names):
            stack.enter_context(socket)


@scenario("sessions.doors", alone=True)
def doors(probe: Probe) -> None:
    """Sessions through `POST /mcp` and `WS /mcp`, then as many of `/ws` as there are places."""
    if probe.capacity is None:
        return
    with ExitStack() as stack:
        own = _create(probe, "sessions.doors.create")
        if own is not None:
            close = _rpc("close", session_id=own)
            stack.callback(probe.http, "sessions.doors.close", "POST", "/mcp", close)
        socket = stack.enter_context(probe.connect("sessions.doors.mcp", "/mcp"))
        if socket.is_open:
            socket.ask(_rpc(method="tools/list"), "list")
        for number in range(probe.capacity):
            stack.enter_context(_admitted(probe, f"sessions.doors.{number}"))


def _receive(session: WebSocket, count: int) -> None:
    for _ in range(count):
        if session.receive() is None:
            raise Ended


def _beside(probe: Probe, name: str, stack: ExitStack) -> WebSocket | None:
    """A second session in an episode; None where the server allows one at a time."""
    if probe.capacity == 1:
        return None
    session = stack.enter_context(probe.session(name))
    session.ask(probe.reset(episode_id="conformance-beside"), "reset")
    return session


def _work(probe: Probe, session: WebSocket, label: str) -> None:
    session.ask(STATE, f"{label}.state")
    if probe.actions:
        session.ask(probe.step(), f"{label}.step")


def _admitted(probe: Probe, name: str) -> WebSocket:
    """A connection that was admitted or refused by the time it is returned."""
    socket = probe.connect(name)
    if socket.is_open:
        with suppress(Ended):
            socket.ask(STATE, "state")
    return socket


def _is_attached(reply: Any) -> bool:
    """Whether the server takes the session to be in use still."""
    return "code" in (_data(reply) or {})


def _rpc(session: str = "", *, method: str = "", **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method or f"openenv/session/{session}", "params": params}


def _create(probe: Probe, name: str) -> str | None:
    """The id of a session of `POST /mcp`; None where the server has none."""
    exchange = probe.http(name, "POST", "/mcp", _rpc("create"))
    try:
        return _session_id(exchange.json)
    except ValueError:
        return None


def _data(reply: Any) -> dict[str, Any] | None:
    data = reply.get("data") if isinstance(reply, dict) else None
    return data if isinstance(data, dict) else None


def _session_id(response: Any) -> str | None:
    result = response.get("result") if isinstance(response, dict) else None
    found = result.get("session_id") if isinstance(result, dict) else None
    return found if isinstance(found, str) else None
