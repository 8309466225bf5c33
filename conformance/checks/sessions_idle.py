"""Section 6.4 of the specification: how idle sessions and long steps end."""

from __future__ import annotations

from conformance.checks import check
from conformance.checks.sessions import NO_SLOW, seconds
from conformance.evidence import Socket
from conformance.view import Broken, Reply, Untested, View, expect, short


@check("SES-15")
def idle_limit(view: View) -> str:
    limit = (view.fact("inputs") or {}).get("idle_timeout")
    if limit is None:
        return "no idle session was waited for"
    went_on = view.socket("sessions.idle").find("late.state") is not None
    return f"an idle session was {'not ended' if went_on else 'ended'}, with a limit of {limit:g} s"


@check("SES-16")
def idle_end_is_told(view: View) -> None:
    limit = _idle_limit(view)
    socket = view.socket("sessions.idle")
    late = socket.find("late.state")  # sent only where the session did not end before
    expect(
        late is None, f"the limit for idle sessions is {limit:g} s, and nothing was heard {_silence(socket):g} s long"
    )
    last = next((Reply(socket, index, event) for index, event in reversed(list(socket.received()))), None)
    if last is None or last.code != "SESSION_ERROR":
        raise Broken("an idle session was ended without an error frame SESSION_ERROR")
    view.look("sessions.idle", last.index)
    message = str(last.data.get("message"))
    expect(f"{limit:g}" in message or "idle" in message.lower(), f"the idle limit is not named: {short(message)}")
    end = socket.end
    expect(end is not None and end.kind == "close", "after SESSION_ERROR the connection was dropped, not closed")


@check("SES-17")
def work_is_not_idle(view: View) -> None:
    limit = _idle_limit(view)
    view.given("slow", NO_SLOW)
    took = seconds(view, "sessions.active.slow", "slow")
    if took <= limit:
        raise Untested(f"the slow step took {took:.1f} s and the idle limit is {limit:g} s; give a shorter limit")
    view.ask("sessions.active.slow", "state").expect_type("state")


@check("SES-18")
def states_are_activity(view: View) -> None:
    _idle_limit(view)
    for number in range(6):
        view.ask("sessions.active.state", f"state.{number}").expect_type("state")


@check("SES-19")
def closed_is_closed(view: View) -> None:
    _idle_limit(view)
    socket = view.socket("sessions.idle")
    for index, event in list(socket.received())[1:]:
        reply = Reply(socket, index, event)
        if reply.type in ("state", "observation"):
            view.look("sessions.idle", index)
            raise Broken(f"an idle session whose time was over ran on: {short(reply.raw)}")


@check("SES-20")
def long_steps(view: View) -> str:
    if not (view.fact("inputs") or {}).get("slow"):
        return "no long step was run"
    reply = view.answer("sessions.busy", "slow")
    return "the slow step was not ended" if reply is None or reply.code != "SESSION_ERROR" else short(reply.raw)


def _idle_limit(view: View) -> float:
    return float(view.given("idle_timeout", "it is not known that the server ends idle sessions soon"))


def _silence(socket: Socket) -> float:
    return max((event.seconds for event in socket.events if event.kind == "timeout"), default=0.0)
