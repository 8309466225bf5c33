"""Defects of sections 6.3 and 6.4: capacity and timeouts."""

from __future__ import annotations

import queue
import time
from dataclasses import replace
from typing import Any

from conformance.broken import SLOW, defect
from conformance.broken.healthy import Ending, Frame, Healthy, Session, error
from conformance.broken.tools import CALLS, Tools
from conformance.broken.wire import Channel, Gone

IDLE = replace(SLOW, idle_timeout=1.5)


class Impatient(Healthy):
    """The healthy server that ends idle sessions."""

    idle_timeout = 1.5

    def listen(self, channel: Channel, session: Session) -> tuple[bytes, bool]:
        """The next message of a session. Raises `Gone` or, where none comes in time, `Ending`."""
        try:
            message = channel.messages.get(timeout=self.idle_timeout)
        except queue.Empty:
            raise self.idle() from None
        if message is None:
            raise Gone
        return message

    def idle(self) -> Exception:
        """What ends an idle session."""
        return Ending(error("SESSION_ERROR", f"no request in {self.idle_timeout:g} s (idle_timeout)"))


# Capacity


def _count_sockets(self: Tools) -> Session:
    """A new session, for which those of `POST /mcp` take no place."""
    with self.lock:
        active = sum(id not in self.created for id in self.sessions)
        if active >= self.capacity:
            raise Ending(self.full(active))
        session = Session(self.build())
        self.sessions[session.id] = session
        return session


def _mcp_is_free(self: Tools, channel: Channel) -> None:
    """A session of `WS /mcp` that takes no place."""
    if channel.request.path != "/mcp" or len(self.sessions) >= self.capacity:
        Tools.session(self, channel)
        return
    try:
        self.serve_rpc(channel, Session(self.build()))
    except Gone:
        pass


def _keep_place(how: str) -> dict[str, Any]:
    """Methods that keep the place of a session for three seconds if it ended in a certain way."""

    def listen(self: Healthy, channel: Channel, session: Any) -> tuple[bytes, bool]:
        session.channel = channel
        return Healthy.listen(self, channel, session)

    def answer(self: Healthy, session: Any, payload: bytes, text: bool) -> Frame | None:
        reply = Healthy.answer(self, session, payload, text)
        session.said_goodbye = reply is None
        return reply

    def leave(self: Healthy, session: Any) -> None:
        handshake = "closing handshake" if session.channel.protocol.close_rcvd else "broken connection"
        ended = "close frame" if getattr(session, "said_goodbye", False) else handshake
        if ended == how and session.env.state["episode_id"] == "conformance-leaving":
            time.sleep(3)
        self.end(session)

    return {"listen": listen, "answer": answer, "leave": leave}


def _race(self: Healthy) -> Session:
    """Look whether there is room, build, and only then take the place."""
    if len(self.sessions) >= self.capacity:
        raise Ending(self.full(len(self.sessions)))
    session = Session(self.build())
    time.sleep(0.02)
    self.sessions[session.id] = session
    return session


def _promise_less(self: Healthy, active: int) -> Frame:
    frame = Healthy.full(self, active)
    return {**frame, "data": {**frame["data"], "max_sessions": active - 1}}


# Timeouts


def _cut_after_work(self: Impatient, channel: Channel, session: Any) -> tuple[bytes, bool]:
    """The time in which a step ran counts as idle."""
    last = getattr(session, "heard", time.monotonic())
    if channel.messages.empty() and time.monotonic() - last > self.idle_timeout:
        raise self.idle()
    message = Impatient.listen(self, channel, session)
    session.heard = time.monotonic()
    return message


def _states_are_idle(self: Impatient, channel: Channel, session: Any) -> tuple[bytes, bool]:
    """States do not count as activity."""
    began = time.monotonic()
    message = Impatient.listen(self, channel, session)
    waited = getattr(session, "waited", 0.0) + time.monotonic() - began
    session.waited = waited if b'"state"' in message[0] else 0.0
    if session.waited > self.idle_timeout:
        raise self.idle()
    return message


def _vanish(self: Impatient) -> Exception:
    """The connection is closed without a word."""
    return Gone()


def _close_after_gone(self: Impatient, channel: Channel) -> None:
    Impatient.session(self, channel)
    channel.close(1000)


def _in_silence(self: Impatient, channel: Channel, session: Session) -> tuple[bytes, bool]:
    """The environment is closed and stepped on, and nobody is told."""
    try:
        return Impatient.listen(self, channel, session)
    except Ending:
        session.env.close()
        return channel.receive()


defect("a session of POST /mcp takes no place", "SES-12", base=Tools, inputs=CALLS, start=_count_sockets)
defect("a session of WS /mcp takes no place", "SES-12", base=Tools, inputs=CALLS, session=_mcp_is_free)
for how in ("close frame", "closing handshake", "broken connection"):
    defect(f"a place stays taken after a {how}", "SES-13", **_keep_place(how))
defect("places are taken late", "SES-14", start=_race)
defect("more sessions than are promised", "SES-14", full=_promise_less)
defect(
    "an idle session is dropped without a word",
    "SES-16",
    base=Impatient,
    inputs=IDLE,
    idle=_vanish,
    session=_close_after_gone,
)
defect(
    "an idle session is ended with a riddle", "SES-16", base=Impatient, inputs=IDLE,
    idle=lambda self: Ending(error("SESSION_ERROR", "Goodbye.")),
)  # fmt: skip
defect("work counts as idle", "SES-17", base=Impatient, inputs=IDLE, listen=_cut_after_work)
defect("states count as idle", "SES-18", base=Impatient, inputs=IDLE, listen=_states_are_idle)
defect("an idle session runs on", "SES-16", "SES-19", base=Impatient, inputs=IDLE, listen=_in_silence)
