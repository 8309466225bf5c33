"""Section 6 of the specification: order, isolation and the end of sessions. Capacity and timeouts are beside it."""

from __future__ import annotations

from typing import Any

from conformance.checks import check
from conformance.checks.sessions_capacity import first_reply
from conformance.episodes import Call, calls, episodes
from conformance.scenarios.sessions import PATTERN, WAITING
from conformance.view import Broken, Missing, NotApplicable, Reply, Untested, View, expect, short

NO_SLOW = "no action is known that takes 2 seconds"
TOO_FAST = "the slow action took {:.1f} s, which is too short to judge by; give one that takes 2 seconds or more"


# Order


@check("SES-1")
def in_order(view: View) -> None:
    for call in _burst(view):
        wanted = "state" if call.kind == "state" else "observation"
        if call.answered not in (wanted, "error"):
            view.look("sessions.order", call.reply.index)
            raise Broken(f"where the reply to a {call.kind} was due came {short(call.reply.raw)}")


@check("SES-2")
def before_the_reply(view: View) -> None:
    burst = _burst(view)
    for call in burst:
        if call.kind != "step" and call.answered == "error":
            view.look("sessions.order", call.reply.index)
            raise Broken(f"a {call.kind} that came before the reply to the one before it got {short(call.reply.raw)}")


@check("SES-3")
def one_after_another(view: View) -> str | None:
    steps = 0
    for call in _burst(view):
        steps = 0 if call.kind == "reset" else steps + (call.kind == "step" and call.answered == "observation")
        if call.kind == "state" and call.answered == "state":
            _expect_counted(view, call, steps)
    if not (view.fact("inputs") or {}).get("slow"):
        return "judged without an action that takes time"
    first, second = _slow_steps(view)
    if (first.type, second.type) == ("observation", "observation"):
        alone = first.event.at - first.socket.events[first.socket.find("slow.0") or 0].at
        apart = second.event.at - first.event.at
        expect(apart >= alone / 2, f"a step takes {alone:.2f} s, and the one behind it was done {apart:.2f} s later")
        _expect_counted(view, list(calls(first.socket))[-1], 2)
    return None


@check("SES-5")
def reads_on(view: View) -> None:
    first, _ = _slow_steps(view)
    socket = first.socket
    pong = next((it for it in socket.events if it.kind == "receive" and it.opcode == "pong"), None)
    good = pong is not None and pong.at < first.event.at
    expect(good, f"a ping behind {WAITING} messages was not answered while a step ran")
    answered = len(list(calls(socket))) - 2
    expect(answered >= WAITING, f"{WAITING} messages waited behind a step, and {answered} were answered")


# Isolation


@check("SES-6")
def environment_of_its_own(view: View) -> None:
    _two_sessions(view)
    fresh = view.ask("sessions.apart.b", "fresh")
    fresh.expect_type("state")
    expect(
        fresh.data.get("episode_id") != "conformance-apart-a" and not fresh.data.get("step_count"),
        f"a new session, opened while another was in an episode, has the state {short(fresh.raw)}",
    )


@check("SES-7")
def no_influence(view: View) -> None:
    _two_sessions(view)
    state = view.ask("sessions.apart.a", "state")
    state.expect_type("state")
    played = next(iter(episodes(view, "sessions.apart.a")), None)
    if played is None:
        raise Missing("the first session's reset was not answered with an observation")
    expect(
        state.data.get("episode_id") != "conformance-apart-b" and state.data.get("step_count") == len(played.steps),
        f"after {len(played.steps)} steps, while another session played too, the state is {short(state.raw)}",
    )
    alone, again = (episodes(view, f"semantics.same.{number}")[:1] for number in range(2))
    if alone and again and alone[0].shown == again[0].shown:
        for number, (got, due) in enumerate(zip(played.shown, alone[0].shown, strict=False)):
            expect(
                got == due,
                f"with the same seed and actions as alone, but another session beside it, reply {number} is "
                f"{short(got)} and was {short(due)}",
            )


@check("SES-8")
def not_delayed(view: View) -> None:
    view.given("slow", NO_SLOW)
    _two_sessions(view)
    for label in ("state", "step"):
        if label == "step" and not view.fact("actions"):
            continue
        usual, took = (seconds(view, "sessions.busy.other", f"{it}.{label}") for it in ("before", "meanwhile"))
        expect(
            took <= usual + 1.0, f"while another session's step ran, a {label} took {took:.2f} s, else {usual:.2f} s"
        )
    _expect_slow(view)


@check("SES-9")
def survives_others(view: View) -> None:
    given = view.fact("inputs") or {}
    places = {"raises": "sessions.failing.raises", "exits": "sessions.failing.exits", "slow": "sessions.busy"}
    tried = [(role, name) for role, name in places.items() if given.get(role)]
    if not tried:
        view.given("raises", "no action is known on which the environment raises, nor one that is slow")
    for role, name in tried:
        health = view.exchange(f"{name}.health")
        expect(health.status == 200, f"with an environment that {_does(role)}, /health is answered {health.status}")
        if view.fact("capacity") != 1:
            label = "meanwhile" if role == "slow" else "after"
            view.ask(f"{name}.other", f"{label}.state").expect_type("state")
        if role != "slow":
            view.ask(f"{name}.next", "state").expect_type("state")


@check("SES-10")
def health_at_once(view: View) -> str:
    view.given("slow", NO_SLOW)
    view.exchange("sessions.busy.health")
    for it in view.evidence.exchanges():
        if it.path.endswith("/health") and it.status and it.seconds > 1.0:
            view.look(it.name)
            raise Broken(f"while an environment was busy, /health took {it.seconds:.2f} s")
    _expect_slow(view)
    return "judged while steps ran; a constructor that takes time cannot be asked for"


# The end


@check("SES-23")
def ended_is_ended(view: View) -> None:
    view.ask("sessions.ended", "state")
    for name in ("sessions.ended.next", "sessions.ended.by_id"):
        if name not in view.evidence.conversations and name.endswith("by_id"):
            continue  # the server did not tell the session's id
        reply = first_reply(view.any_socket(name))
        going_on = reply is not None and reply.type == "state" and _goes_on(reply.data)
        expect(not going_on, f"a new connection continues a session that ended: {short(reply.raw if reply else '')}")


@check("SES-24")
def attached_is_kept(view: View) -> None:
    created = view.exchange("sessions.kept.create")
    if "sessions.kept" not in view.evidence.conversations:
        text = created.body.decode(errors="replace")
        if '"code":-32000' in text.replace(" ", ""):
            raise Missing(f"no session could be created: {short(text)}")
        raise NotApplicable("the server has no `openenv/session/create` on `POST /mcp`")
    before, after = (view.ask(name, "state") for name in ("sessions.kept", "sessions.kept.again"))
    before.expect_type("state")
    expect(
        after.type == "state" and after.data == before.data,
        f"the socket of a session closed, the next one found {short(after.raw)}, not {short(before.raw)}",
    )


def _burst(view: View) -> list[Call]:
    """The frames that were sent without waiting, all of them answered. Raises `Missing`."""
    socket = view.socket("sessions.order")
    burst = list(calls(socket))[1:]
    if len(burst) < len(PATTERN):
        raise Missing(f"of {len(PATTERN)} frames that were sent without waiting, {len(burst)} were answered")
    return burst


def _expect_counted(view: View, call: Call, steps: int) -> None:
    """Raise `Broken` where a state was read before the steps that were sent before it."""
    count = call.reply.data.get("step_count") if call.answered == "state" else None
    if isinstance(count, int) and count < steps:
        view.look(call.reply.socket.name, call.reply.index)
        raise Broken(f"a state behind {steps} steps says that {count} were done: {short(call.reply.raw)}")


def _slow_steps(view: View) -> tuple[Reply, Reply]:
    view.given("slow", NO_SLOW)
    found = list(calls(view.socket("sessions.slow")))[1:3]
    if len(found) < 2:
        raise Missing("two slow steps, one sent behind the other, were not both answered")
    for call in found:
        view.look("sessions.slow", call.reply.index)
    took = found[0].reply.event.at - found[0].reply.socket.events[found[0].sent].at
    if took < 1.5:
        raise Untested(TOO_FAST.format(took))
    return found[0].reply, found[1].reply


def _expect_slow(view: View) -> None:
    took = seconds(view, "sessions.busy", "slow")
    if took < 1.5:
        raise Untested(TOO_FAST.format(took))


def seconds(view: View, name: str, label: str) -> float:
    """How long a reply took. Raises `Missing`."""
    reply = view.ask(name, label)
    return reply.event.at - reply.socket.events[reply.socket.find(label) or 0].at


def _two_sessions(view: View) -> None:
    if view.fact("capacity") == 1:
        raise NotApplicable("the server allows one session at a time")


def _does(role: str) -> str:
    return {"raises": "raised", "exits": "ended its process", "slow": "is busy"}[role]


def _goes_on(state: dict[str, Any]) -> bool:
    return state.get("episode_id") == "conformance-ended" or bool(state.get("step_count"))
