"""Defects of section 6: order, isolation, capacity, timeouts and the end of sessions."""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import replace
from typing import Any

from conformance.broken import SLOW, defect
from conformance.broken.healthy import Counter, Ending, Frame, Healthy, Session, error
from conformance.broken.tools import CALLS, Tools
from conformance.broken.wire import Channel, Request, Response

IDLE = replace(SLOW, idle_timeout=1.5)


def _open(server: Healthy, id: str) -> Session | None:
    """The open session that is in the episode of an id."""
    return next((it for it in list(server.sessions.values()) if it.env.state["episode_id"] == id), None)


# Order


def _states_last(self: Healthy, channel: Channel, session: Any, request: Any, reply: Frame) -> None:
    held = getattr(session, "held", None)
    if held is None and reply["type"] == "state" and not channel.messages.empty():
        session.held = reply
        return
    Healthy.say(self, channel, session, request, reply)
    if held is not None:
        session.held = None
        Healthy.say(self, channel, session, request, held)


class Busy(Channel):
    """Makes nonsense of a message that comes while another waits."""

    def take(self, frame: Any) -> None:
        """Put a whole message into the queue."""
        super().take(frame if self.messages.empty() else replace(frame, data=b'{"type":"busy"}'))


class Narrow(Channel):
    """Reads on only while few messages wait."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.messages = queue.Queue(8)


def _stale_state(self: Healthy, session: Session, frame: Frame) -> Frame:
    """A state as if it had been read while the slow step before it ran."""
    reply = Healthy.on_state(self, session, frame)
    if getattr(session.env, "slept", 0.0) > time.monotonic() - 0.5:
        reply["data"]["step_count"] -= 1
    return reply


class Hasty(Counter):
    """A counter whose slow step is done at once where another one just was, as if both had run together."""

    slept = 0.0

    def step(self, action: Frame) -> Frame:
        """Add."""
        if action.get("op") != "slow":
            return super().step(action)
        if self.slept > time.monotonic() - 0.5:
            return super().step({**action, "op": "add"})
        data = super().step(action)
        self.slept = time.monotonic()
        return data


class Sleeper(Hasty):
    """A counter that knows when it slept."""

    def step(self, action: Frame) -> Frame:
        """Add."""
        self.slept = 0.0
        return super().step(action)


# Isolation


def _share(self: Healthy) -> Counter:
    """Who comes while the first of two sessions plays gets its environment."""
    shared = _open(self, "conformance-apart-a")
    return shared.env if shared is not None else Counter()


def _step_both(self: Healthy, session: Session, frame: Frame) -> Frame:
    """What the second session adds is seen by the first."""
    first = _open(self, "conformance-apart-a")
    if first is not None and session.env.state["episode_id"] == "conformance-apart-b":
        first.env.state["value"] += 1
    return Healthy.on_step(self, session, frame)


def _count_both(self: Healthy, session: Session, frame: Frame) -> Frame:
    """Steps of the second session are counted in the first one's, too."""
    first = _open(self, "conformance-apart-a")
    if first is not None and session.env.state["episode_id"] == "conformance-apart-b":
        first.env.state["step_count"] += 1
    return Healthy.on_step(self, session, frame)


ONE_AT_A_TIME = threading.Lock()


def _one_at_a_time(self: Healthy, session: Session, frame: Frame) -> Frame:
    with ONE_AT_A_TIME:
        return Healthy.on_step(self, session, frame)


def _health_waits(self: Healthy, request: Request) -> Response:
    if request.path != "/health":
        return Healthy.route(self, request)
    with ONE_AT_A_TIME:
        return Healthy.route(self, request)


def _post_alone(self: Healthy, request: Request) -> Response:
    """Steps of `POST /step` hold what `/health` waits for."""
    with ONE_AT_A_TIME:
        return Healthy.post_step(self, request)


def _remember_failure(self: Healthy, call: Any) -> Frame:
    frame = Healthy.observe(self, call)
    if frame["data"].get("code") == "EXECUTION_ERROR" and frame["data"]["message"] == "too far":
        self.said.append("failed")
    return frame


def _unhealthy(self: Healthy, request: Request) -> Response:
    if (request.method, request.path) == ("GET", "/health") and self.said:
        return Response(503, b"{}", {"Content-Type": "application/json"})
    return Healthy.route(self, request)


def _exit_takes_along(self: Healthy, session: Session, payload: bytes, text: bool) -> Frame | None:
    """An environment that exits takes another session with it."""
    try:
        if session.id in self.said:
            raise Ending(error("SESSION_ERROR", "the process is gone"))
        return Healthy.answer(self, session, payload, text)
    except SystemExit:
        other = _open(self, "conformance-beside")
        self.said.append(other.id if other is not None else "")
        raise


# The end


def _resume(self: Healthy) -> Counter:
    """A new session gets the environment of one that has ended."""
    ended: list[Any] = self.said
    deadline = time.monotonic() + 0.5
    while any(_is_ended(it.env) for it in self.sessions.values()) and not ended and time.monotonic() < deadline:
        time.sleep(0.01)  # its client has gone already, and its thread has not come to `leave` yet
    left = next((env for env in ended if _is_ended(env)), None)
    if left is not None:
        ended.remove(left)
    return left or Counter()


def _is_ended(env: Any) -> bool:
    return bool(env.state["episode_id"] == "conformance-ended")


def _leave_behind(self: Healthy, session: Session) -> None:
    if _is_ended(session.env):
        self.said.append(session.env)
    self.end(session)


def _end_attached(self: Tools, session: Session) -> None:
    """A session ends with the socket that was attached to it."""
    if session.env.state["episode_id"] == "conformance-kept":
        self.end(session)
    else:
        Tools.leave(self, session)


defect("states are answered late", "SES-1", say=_states_last)
defect("a message that comes early is not understood", "SES-2", channel=Busy)
defect("a state is read while a step runs", "SES-3", inputs=SLOW, build=lambda self: Sleeper(), on_state=_stale_state)
defect("two steps run at once", "SES-3", inputs=SLOW, build=lambda self: Hasty())
defect("eight messages are read ahead", "SES-5", inputs=SLOW, channel=Narrow)
defect("two sessions share an environment", "SES-6", "SES-7", build=_share)
defect("a session's steps move another environment", "SES-7", on_step=_step_both)
defect("a session's steps are counted in another", "SES-7", on_step=_count_both)
defect("one step at a time", "SES-8", inputs=SLOW, on_step=_one_at_a_time)
defect("no health after a failure", "SES-9", observe=_remember_failure, route=_unhealthy)
defect("an exit takes another session along", "SES-9", answer=_exit_takes_along)
defect("health waits for steps of POST /step", "SES-10", inputs=SLOW, post_step=_post_alone, route=_health_waits)
defect("a new session continues one that ended", "SES-23", build=_resume, leave=_leave_behind)
defect("a session ends with its socket", "SES-24", base=Tools, inputs=CALLS, leave=_end_attached)
